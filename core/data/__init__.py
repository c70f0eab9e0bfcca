"""From recorded bars to windows that a network trains on."""
