"""Market data: from recorded bars to the windows that a network trains on."""
