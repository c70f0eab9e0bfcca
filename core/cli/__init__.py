"""The command line `preset-train`."""
