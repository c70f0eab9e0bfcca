"""All features, which of them a file has, and their values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.market.bar_features import BAR_FEATURES
from core.market.feature import Array, Columns, Feature
from core.market.orderbook import BOOK_FEATURES
from core.market.oscillators import OSCILLATORS
from core.market.volume_features import VOLUME_FEATURES

__all__ = ["FEATURES", "Feature", "available", "compute"]

FEATURES: tuple[Feature, ...] = (*BAR_FEATURES, *OSCILLATORS, *VOLUME_FEATURES, *BOOK_FEATURES)
"""All features, in the order of the dataset's columns."""


def available(columns: Sequence[str]) -> list[Feature]:
    """The features that can be computed from these columns."""
    return [feature for feature in FEATURES if set(feature.needs) <= set(columns)]


def compute(bars: Columns, features: Sequence[Feature]) -> tuple[Array, int]:
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
