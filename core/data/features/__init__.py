"""Features that are computed from bars and order books, each with its warm-up."""

from core.data.features.base import Feature
from core.data.features.registry import FEATURES, available_features, compute_features

__all__ = ["FEATURES", "Feature", "available_features", "compute_features"]
