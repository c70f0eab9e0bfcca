"""All features: which of them a file has the columns for, and their values."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from core.data.features.base import Feature
from core.data.features.momentum import OSCILLATORS
from core.data.features.orderbook import BOOK_FEATURES
from core.data.features.price import BAR_FEATURES
from core.data.features.volume import VOLUME_FEATURES
from core.data.file_format import Array, Columns

__all__ = ["FEATURES", "Feature", "available_features", "compute_features"]

FEATURES: tuple[Feature, ...] = (*BAR_FEATURES, *OSCILLATORS, *VOLUME_FEATURES, *BOOK_FEATURES)
"""All features, in the order of the columns of a dataset."""


def available_features(columns: Collection[str]) -> list[Feature]:
    """Return the features that can be computed from columns of these names."""
    return [feature for feature in FEATURES if set(feature.needs) <= set(columns)]


def compute_features(columns: Columns, features: Sequence[Feature]) -> tuple[Array, int]:
    """Compute features of one segment.

    Args:
        columns: columns of the segment, each `[T]`; `timestamp` is in microseconds since 1970.
        features: features to compute, at least one.

    Returns:
        Values, float64 `[T, F]`, and the warm-up: how many rows in front are not valid yet.
    """
    warmup = max(feature.warmup for feature in features)
    length = len(columns["timestamp"])
    if length <= warmup:
        return np.zeros((length, len(features))), length
    values = np.empty((length, len(features)))
    for index, feature in enumerate(features):
        values[:, index] = feature.compute(columns)
    return values, warmup
