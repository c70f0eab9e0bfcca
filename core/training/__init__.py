"""Trains one model: losses, augmentation, optimizer, epochs; and a whole training from data to files.

Nothing is imported here, because torch takes long to load: import `train_model` from `core.training.run`, and `Trainer`
from `core.training.trainer`.
"""
