"""What may be claimed of a campaign's winner: pure functions over tables. They know neither Ray nor files."""
