from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core import baselines, dataset
from core.config import DataConfig, SyntheticConfig
from core.dataset import Dataset
from core.market.labels import HOLD
from core.metrics import evaluate
from tests.core.samples import HORIZON, WINDOW


def test_majority_is_the_class_shares_of_train(dataset: Dataset) -> None:
    predicted = baselines.majority(dataset, dataset.val)
    shares = np.bincount(dataset.labels[dataset.train]) / len(dataset.train)
    assert predicted.shape == (len(dataset.val), 3)
    assert (predicted == shares).all()
    assert (predicted.argmax(axis=1) == HOLD).all()


def test_majority_knows_nothing_of_the_rows_it_predicts(dataset: Dataset) -> None:
    labels = dataset.labels.copy()
    labels[dataset.val] = 0
    assert np.array_equal(
        baselines.majority(replace(dataset, labels=labels), dataset.val), baselines.majority(dataset, dataset.val)
    )


def test_a_class_that_train_lacks_has_no_probability(dataset: Dataset) -> None:
    only_hold = replace(dataset, labels=np.full_like(dataset.labels, HOLD))
    assert baselines.majority(only_hold, dataset.val)[0].tolist() == [0.0, 1.0, 0.0]


MARKET = SyntheticConfig(bars=9000, symbols=("AAA", "BBB"), signal=0.8, seed=3)


# A cut span shifts rows against the bars that the recipe made.
@pytest.mark.parametrize("days", [None, 20.0])
def test_one_who_knows_the_recipe_beats_the_majority_for_each_symbol(days: float | None) -> None:
    made = dataset.load(DataConfig(synthetic=MARKET, window=WINDOW, horizon=HORIZON, days=days))
    for symbol in range(2):
        rows = made.val[made.symbols[made.val] == symbol]
        knows = evaluate(made.labels[rows], baselines.bayes(made, MARKET, rows))
        naive = evaluate(made.labels[rows], baselines.majority(made, rows))
        assert knows["nll"] < naive["nll"] - 0.2
        assert knows["direction_auc"] > 0.9
