"""The borders in time of the splits train, val and test, and of the folds of confirmation.

All borders are instants, the same for every symbol. A label lies in a split if its row opens at or after the start of
the split and its last bar t+h opens before the stop; an embargo keeps labels out of the bars that follow a border, in
which windows may still look back across it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import ceil

from core.config import DataConfig

EMBARGO_SHARE = 0.01
"""Minimum embargo, as a share of the span."""
FOLD_SPAN = (0.35, 0.70)
"""Part of the span that the test blocks of the folds cover; it ends before val, so that no fold touches val or test."""
INNER_VAL_SHARE = 0.15
"""Share of the time before a fold's test block that is the val split of the fold."""


@dataclass(frozen=True)
class Borders:
    """Start and stop of each split, in microseconds since 1970."""

    train: tuple[int, int]
    val: tuple[int, int]
    test: tuple[int, int]


@dataclass(frozen=True)
class Span:
    """A stretch of time on a grid of bars.

    Attributes:
        start: opening of the first bar, in microseconds since 1970.
        stop: end of the last bar, in microseconds since 1970.
        bar: length of a bar in microseconds.
    """

    start: int
    stop: int
    bar: int

    @property
    def bars(self) -> int:
        """Number of bars that a symbol without a gap has in the span."""
        return (self.stop - self.start) // self.bar

    def border_at(self, share: float) -> int:
        """Return the border between two bars that lies at this share of the span, in microseconds since 1970."""
        return self.start + round(self.bars * share) * self.bar


def embargo(span: Span, config: DataConfig) -> int:
    """Compute the embargo in microseconds: the longest of the horizon, the window less one, and 1 % of the span."""
    return max(config.horizon, config.window - 1, ceil(EMBARGO_SHARE * span.bars)) * span.bar


def main_borders(span: Span, config: DataConfig) -> Borders:
    """Compute the borders of train, val and test, which follow each other in this order."""
    gap = embargo(span, config)
    val_start = span.border_at(1 - config.val_fraction - config.test_fraction)
    test_start = span.border_at(1 - config.test_fraction)
    return Borders((span.start, val_start), (val_start + gap, test_start), (test_start + gap, span.stop))


def fold_span(span: Span, config: DataConfig) -> tuple[int, int]:
    """Return start and stop of the time that the test blocks of all folds cover, in microseconds since 1970."""
    first, last = _fold_shares(config)
    return span.border_at(first), span.border_at(last)


def _fold_shares(config: DataConfig) -> tuple[float, float]:
    """Return the part of the span that the test blocks cover; where val begins early, they end with train."""
    first, last = FOLD_SPAN
    last = min(last, 1 - config.val_fraction - config.test_fraction)
    return min(first, last / 2), last


def fold_borders(span: Span, config: DataConfig, folds: int, within: tuple[int, int] | None = None) -> list[Borders]:
    """Compute the borders of folds whose equal test blocks tile a part of the span: `fold_span` if not given.

    Each fold trains on everything before its test block. The embargo lies before the block, so that the blocks stay
    whole; the last 15 % of the time before it is the fold's inner val, behind an embargo as well.

    Args:
        span: span of all data.
        config: settings of window, horizon and splits, which embargo and blocks depend on.
        folds: number of folds, and so of test blocks.
        within: where the blocks begin and end, in microseconds since 1970.
    """
    gap = embargo(span, config)
    if within is None:
        first, last = _fold_shares(config)
        edges = [span.border_at(first + (last - first) * number / folds) for number in range(folds + 1)]
    else:
        bars = (within[1] - within[0]) // span.bar
        edges = [within[0] + bars * number // folds * span.bar for number in range(folds + 1)]
    borders = []
    for start, stop in pairwise(edges):
        before_test = Span(span.start, start - gap, span.bar)
        inner = before_test.border_at(1 - INNER_VAL_SHARE)
        borders.append(Borders((span.start, inner), (inner + gap, before_test.stop), (start, stop)))
    return borders
