"""Statistics of a confirmation, as pure functions over arrays."""
