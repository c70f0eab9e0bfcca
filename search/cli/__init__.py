"""The command line `preset-search`."""
