"""Trains one model: losses, augmentation, optimizer, epochs; and a whole training from data to files."""
