from .augment import Augmenter, feature_dropout, gaussian_noise, mixup, time_mask
from .class_balance import compute_class_weights
from .device import resolve_device
from .losses import DirectionalAccuracyLoss, FocalLoss, LabelSmoothingCrossEntropy, MultiTaskLoss, make_loss
from .run import TrainingResult, evaluate_training, train_model
from .trainer import Trainer
from .update import UpdateSettings, update_model

__all__ = [
    "Augmenter",
    "DirectionalAccuracyLoss",
    "FocalLoss",
    "LabelSmoothingCrossEntropy",
    "MultiTaskLoss",
    "Trainer",
    "TrainingResult",
    "UpdateSettings",
    "compute_class_weights",
    "evaluate_training",
    "feature_dropout",
    "gaussian_noise",
    "make_loss",
    "mixup",
    "resolve_device",
    "time_mask",
    "train_model",
    "update_model",
]
