"""All features, which of them a file has, and their values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.data.features.base import Feature
from core.data.features.momentum import OSCILLATORS
from core.data.features.orderbook import BOOK_FEATURES
from core.data.features.price import BAR_FEATURES
from core.data.features.volume import VOLUME_FEATURES
from core.data.file_format import Array, Columns

__all__ = ["FEATURES", "Feature", "available_features", "compute_features"]

FEATURES: tuple[Feature, ...] = (*BAR_FEATURES, *OSCILLATORS, *VOLUME_FEATURES, *BOOK_FEATURES)
"""All features, in the order of the dataset's columns."""


def available_features(columns: Sequence[str]) -> list[Feature]:
    """The features that can be computed from these columns."""
    return [feature for feature in FEATURES if set(feature.needs) <= set(columns)]


def compute_features(bars: Columns, features: Sequence[Feature]) -> tuple[Array, int]:
    """All features of one segment.

    Args:
        bars: columns of the segment, each `[T]`; `seconds` is the row's time since 1970.
        features: which features.

    Returns:
        values `[T, F]` in float64, and the warm-up: the rows in front that are not yet valid.
    """
    warmup = max(feature.warmup for feature in features)
    length = len(bars["seconds"])
    if length <= warmup:
        return np.zeros((length, len(features))), length
    values = np.empty((length, len(features)))
    for column, feature in enumerate(features):
        values[:, column] = feature.compute(bars)
    return values, warmup
