"""What the README and docs/experiments.md claim of speed and memory: each a command that prints a ratio."""
