"""All features: which of them a file has the columns for, and their values."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np

from core.data.features.base import Feature
from core.data.features.momentum import OSCILLATORS
from core.data.features.orderbook import BOOK_FEATURES
from core.data.features.price import BAR_FEATURES
from core.data.features.volume import VOLUME_FEATURES
from core.data.file_format import Array, Columns

__all__ = ["FEATURES", "Feature", "available_features", "compute_features", "compute_in_pieces", "longest_warmup"]

FEATURES: tuple[Feature, ...] = (*BAR_FEATURES, *OSCILLATORS, *VOLUME_FEATURES, *BOOK_FEATURES)
"""All features, in the order of the columns of a dataset."""
_PIECE = 16_384
"""Rows of a piece: its columns and what is computed from them stay in the caches of a processor."""


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
    warmup = longest_warmup(features)
    length = len(columns["timestamp"])
    if length <= warmup:
        return np.zeros((length, len(features))), length
    values = np.empty((length, len(features)))
    for index, feature in enumerate(features):
        values[:, index] = feature.compute(columns)
    return values, warmup


def compute_in_pieces(columns: Columns, features: Sequence[Feature]) -> Iterator[tuple[int, Array]]:
    """Compute features of one segment piece by piece, for those who need not hold the values of all rows at once.

    A piece is computed from its own rows and the warm-up before them, so that its values are those of
    `compute_features` to 1e-6.

    Args:
        columns: columns of the segment, each `[T]`; `timestamp` is in microseconds since 1970.
        features: features to compute, at least one.

    Yields:
        The first row of each piece and its values, float64 `[N, F]`; together they are all rows after the warm-up.
    """
    warmup = longest_warmup(features)
    for start in range(warmup, len(columns["timestamp"]), _PIECE):
        piece = {name: values[start - warmup : start + _PIECE] for name, values in columns.items()}
        yield start, compute_features(piece, features)[0][warmup:]


def longest_warmup(features: Sequence[Feature]) -> int:
    """Return how many rows in front of a segment are not valid yet in at least one of these features."""
    return max(feature.warmup for feature in features)
