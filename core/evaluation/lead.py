"""The lead of a model over others on the same rows, with the interval of what luck could have made of it.

How long the memory of a lead is, a few weeks of rows cannot tell; so a lead is measured with blocks of `min_block`,
twice that, four times and so on while there are `MIN_BLOCKS` of them, and the widest bounds are taken.

Shapes: N rows, T instants, D draws, B blocks of a draw.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from core.data.labels import CLASSES
from core.evaluation.block_bootstrap import DRAWS, MIN_BLOCKS, Interval, confidence_interval, draw_blocks
from core.evaluation.confusion import macro_f1

_CLASSES = len(CLASSES)


def macro_f1_lead(
    labels: np.ndarray,
    calls: np.ndarray,
    baseline_calls: Mapping[str, np.ndarray],
    timestamps: np.ndarray,
    min_block: int,
    rng: np.random.Generator,
    draws: int = DRAWS,
) -> Interval:
    """Compute macro-F1 less that of the best baseline, both on the same draws of blocks of time.

    In each draw, the best baseline is the one that is best there.

    Args:
        labels: true classes, int `[N]`.
        calls: the classes that the model calls, int `[N]`.
        baseline_calls: by baseline's name, the classes that it calls for the same rows, int `[N]`.
        timestamps: instants of the rows in any unit, `[N]`; all rows of an instant are drawn together.
        min_block: the fewest instants of a block, from `core.evaluation.block_bootstrap.minimum_block_length`.
        rng: source of the draws.
        draws: number of draws D.

    Returns:
        the lead with its 95 % interval; without bounds where there are fewer than `MIN_BLOCKS` of the shortest blocks.
    """
    instants, positions = np.unique(timestamps, return_inverse=True)
    everyone = [
        _running_counts(labels, of_one, positions, len(instants)) for of_one in (calls, *baseline_calls.values())
    ]

    def lead(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        model, *baselines = (_macro_f1_draws(counts, starts, lengths) for counts in everyone)
        return np.asarray(model - np.max(baselines, axis=0))

    return _widest_interval(len(instants), min_block, rng, draws, lead)


def mean_lead(
    gains: np.ndarray, timestamps: np.ndarray, min_block: int, rng: np.random.Generator, draws: int = DRAWS
) -> Interval:
    """Compute the mean of what a model gains over another on each row, such as how much smaller its loss is.

    Args:
        gains: what is gained on each row, `[N]`.
        timestamps: instants of the rows in any unit, `[N]`; all rows of an instant are drawn together.
        min_block: the fewest instants of a block, from `core.evaluation.block_bootstrap.minimum_block_length`.
        rng: source of the draws.
        draws: number of draws D.

    Returns:
        the mean with its 95 % interval; without bounds where there are fewer than `MIN_BLOCKS` of the shortest blocks.
    """
    instants, positions = np.unique(timestamps, return_inverse=True)
    sums_and_counts = np.column_stack([np.bincount(positions, weights=gains), np.bincount(positions)])
    running = np.concatenate([np.zeros_like(sums_and_counts[:1]), sums_and_counts.cumsum(axis=0)])

    def lead(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        of_draws = (running[starts + lengths] - running[starts]).sum(axis=1)
        sums, counts = np.concatenate([running[-1:], of_draws]).T
        return np.asarray(sums / counts)

    return _widest_interval(len(instants), min_block, rng, draws, lead)


def _widest_interval(
    instants: int,
    min_block: int,
    rng: np.random.Generator,
    draws: int,
    lead: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> Interval:
    """Return a lead with the widest bounds of all lengths of a block.

    Args:
        instants: number of instants T.
        min_block: the fewest instants of a block.
        rng: source of the draws.
        draws: number of draws D.
        lead: computes the lead on the rows themselves, then on each draw, `[1 + D]`, given where the blocks of the
            draws begin, `[D, B]`, and how long they are, `[B]`.
    """
    intervals: list[Interval] = []
    block = min_block
    while not intervals or instants >= MIN_BLOCKS * block:
        starts, lengths = draw_blocks(instants, block, rng, draws)
        intervals.append(confidence_interval(lead(starts, lengths), instants / block))
        block *= 2
    return Interval(
        intervals[0].value, min(interval.low for interval in intervals), max(interval.high for interval in intervals)
    )


def _running_counts(labels: np.ndarray, calls: np.ndarray, positions: np.ndarray, instants: int) -> np.ndarray:
    """Count the rows by label and call before each instant and, last, in all: int `[T + 1, 9]`."""
    cell = (positions * _CLASSES + labels) * _CLASSES + calls
    by_instant = np.bincount(cell, minlength=instants * _CLASSES**2).reshape(instants, -1)
    return np.concatenate([np.zeros_like(by_instant[:1]), by_instant.cumsum(axis=0)])


def _macro_f1_draws(running_counts: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Compute macro-F1 on the rows themselves, then on each draw, `[1 + D]`.

    Args:
        running_counts: int `[T + 1, 9]`; the counts of a block are the difference of those at its end and its start.
        starts: int `[D, B]`, where each block of each draw begins.
        lengths: int `[B]`, how many instants each block of a draw holds.
    """
    of_draws = (running_counts[starts + lengths] - running_counts[starts]).sum(axis=1)
    counts = np.concatenate([running_counts[-1:], of_draws])
    return macro_f1(counts.reshape(-1, _CLASSES, _CLASSES))
