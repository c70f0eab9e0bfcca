"""The machines of a Ray cluster: what each has and runs, and whether it can take part."""
