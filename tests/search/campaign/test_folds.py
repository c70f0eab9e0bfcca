from __future__ import annotations

import pytest

from core.config import DataConfig, SyntheticConfig
from core.data.dataset import load_dataset
from core.data.sources.reader import read_market
from core.data.splits import main_borders
from search.campaign.folds import MIN_FOLD_ROWS, load_folds

DATA = DataConfig(synthetic=SyntheticConfig(bars=5000), window=8)


@pytest.mark.parametrize(
    ("fractions", "end"),
    [({}, 0.70), ({"val_fraction": 0.2, "test_fraction": 0.2}, 0.6), ({"test_fraction": 0.4}, 0.45)],
)
def test_folds_end_with_the_block_that_they_predict_and_none_reaches_val_or_test(
    fractions: dict[str, float], end: float
) -> None:
    data = DATA.model_copy(update=fractions)
    folds, dataset = load_folds(data, 2), load_dataset(data)
    for fold in folds:
        assert fold.timestamps.max() < fold.borders.test[1]
        assert len(fold.test) >= MIN_FOLD_ROWS
        assert fold.borders.test[1] <= dataset.borders.val[0]
    assert folds[0].borders.test[1] == folds[1].borders.test[0]
    span = folds[1].borders.test[1] - folds[0].borders.train[0]
    assert span / (5000 * dataset.bar) == pytest.approx(end, abs=0.001)


def test_folds_within_val_begin_after_its_embargo_and_end_before_that_of_test() -> None:
    borders = main_borders(read_market(DATA).span, DATA)
    folds = load_folds(DATA, 2, borders.val)
    assert folds[0].borders.test[0] == borders.val[0] > load_folds(DATA, 2)[1].borders.test[1]
    assert folds[1].borders.test[1] == borders.val[1] < borders.test[0]
    assert folds[0].borders.test[1] == folds[1].borders.test[0]
