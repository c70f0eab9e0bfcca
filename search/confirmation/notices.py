"""Warnings that are shown before a long search or confirmation begins."""

from __future__ import annotations

from datetime import datetime, timedelta

from core.data.dataset import Dataset
from core.evaluation.block_bootstrap import MIN_BLOCKS, minimum_block_length


def short_test_notice(dataset: Dataset) -> str | None:
    """Say that a verdict on this test span can only be "too short to tell"; None if the span may be long enough.

    Args:
        dataset: the data of a campaign.
    """
    start, end = dataset.borders.test
    block = minimum_block_length(dataset.horizon, dataset.bar)
    blocks = (end - start) / dataset.bar / block
    if blocks >= MIN_BLOCKS:
        return None
    first, last = (datetime.fromisoformat(instant) for instant in dataset.span)
    days = (last - first) / timedelta(days=1)
    test_days = timedelta(microseconds=end - start) / timedelta(days=1)
    needed = days * MIN_BLOCKS / max(blocks, 1e-9)
    return (
        f"The test span is too short to certify anything: its {test_days:.1f} days hold {blocks:.0f} blocks of {block} "
        f"bars, and at least {MIN_BLOCKS} are needed. Take {needed:.0f} days or more instead of {days:.0f}."
    )
