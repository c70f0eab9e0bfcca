"""Where time is cut: train, val and test, and the folds of confirmation.

All borders are instants, the same for every symbol. A label lies in a split if its row opens at or
after the split's start and its last bar t+h opens before the split's stop; an embargo keeps labels
out of the bars that follow a border, in which windows may still look back.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import ceil

from core.config import DataConfig

EMBARGO_SHARE = 0.01
"""Least embargo, as a share of the span."""
FOLD_SPAN = (0.35, 0.70)
"""The part of the span that the test blocks of the folds tile: before val, so that no fold touches val or test."""
INNER_VAL_SHARE = 0.15
"""Share of a fold's own train that is its inner val."""


@dataclass(frozen=True)
class Borders:
    """Start and stop of each split, in epoch microseconds."""

    train: tuple[int, int]
    val: tuple[int, int]
    test: tuple[int, int]


@dataclass(frozen=True)
class Span:
    """A stretch of time on a grid of bars.

    Attributes:
        start: opening of the first bar, in epoch microseconds.
        stop: end of the last bar, likewise.
        bar: length of a bar in microseconds.
    """

    start: int
    stop: int
    bar: int

    @property
    def bars(self) -> int:
        """Bars that a symbol without a gap has in it."""
        return (self.stop - self.start) // self.bar

    def at(self, share: float) -> int:
        """The border between bars that lies at this share of the span."""
        return self.start + round(self.bars * share) * self.bar


def embargo(span: Span, config: DataConfig) -> int:
    """Length of the embargo in microseconds: the horizon, the window less one, or 1 % of the span."""
    return max(config.horizon, config.window - 1, ceil(EMBARGO_SHARE * span.bars)) * span.bar


def main_borders(span: Span, config: DataConfig) -> Borders:
    """Train, val and test, in this order in time."""
    wait = embargo(span, config)
    val_start = span.at(1 - config.val_fraction - config.test_fraction)
    test_start = span.at(1 - config.test_fraction)
    return Borders((span.start, val_start), (val_start + wait, test_start), (test_start + wait, span.stop))


def fold_borders(span: Span, config: DataConfig, folds: int) -> list[Borders]:
    """The folds of confirmation: equal test blocks that tile 35 % to 70 % of the span.

    Each trains on all before its block. The embargo lies before the block, so that the blocks stay
    whole; the last 15 % of the fold's own train is its inner val, behind an embargo of its own.
    """
    wait = embargo(span, config)
    first, last = FOLD_SPAN
    edges = [span.at(first + (last - first) * number / folds) for number in range(folds + 1)]
    found = []
    for start, stop in pairwise(edges):
        own = Span(span.start, start - wait, span.bar)
        inner = own.at(1 - INNER_VAL_SHARE)
        found.append(Borders((span.start, inner), (inner + wait, own.stop), (start, stop)))
    return found
