from __future__ import annotations

from dataclasses import replace

import pytest

from core.config import DataConfig, SyntheticConfig
from core.data.dataset import Dataset, load_dataset
from search.confirmation.notices import short_test_notice


def _dataset(interval: str) -> Dataset:
    return load_dataset(DataConfig(synthetic=SyntheticConfig(bars=5000), interval=interval))


def test_a_short_test_span_is_said_with_the_days_that_it_takes() -> None:
    notice = short_test_notice(_dataset("5m"))
    assert notice is not None
    assert "its 2.4 days hold 2 blocks of 288 bars, and at least 20 are needed" in notice
    assert "Take 145 days or more instead of 17." in notice


def test_a_test_span_that_may_be_long_enough_needs_no_word() -> None:
    assert short_test_notice(_dataset("1h")) is None


@pytest.mark.parametrize("bars", [0, 1])
def test_a_test_span_of_hardly_anything_is_short(bars: int) -> None:
    dataset = _dataset("1h")
    start = dataset.borders.test[0]
    borders = replace(dataset.borders, test=(start, start + bars * dataset.bar))
    assert short_test_notice(replace(dataset, borders=borders)) is not None
