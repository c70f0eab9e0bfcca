from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.config import DataConfig, SyntheticConfig
from core.data.dataset import Dataset, load_dataset
from core.data.labels import HOLD
from core.evaluation import baselines
from core.evaluation.baselines import BASELINES
from core.evaluation.metrics import direction_auc, evaluate
from tests.helpers.market import HORIZON, WINDOW


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
    made = load_dataset(DataConfig(synthetic=MARKET, window=WINDOW, horizon=HORIZON, days=days))
    for symbol in range(2):
        rows = made.val[made.symbols[made.val] == symbol]
        knows = evaluate(made.labels[rows], baselines.bayes(made, MARKET, rows), made.timestamps[rows])
        naive = evaluate(made.labels[rows], baselines.majority(made, rows), made.timestamps[rows])
        assert knows["nll"] < naive["nll"] - 0.2
        assert knows["direction_auc"] > 0.9


def test_persistence_repeats_the_last_label_that_is_complete() -> None:
    made = load_dataset(DataConfig(synthetic=MARKET, window=WINDOW, horizon=HORIZON))
    called = baselines.persistence(made, made.val).argmax(axis=1)
    assert called.tolist() == made.labels[made.val - HORIZON].tolist()
    # Not that of the bar before, whose future is still open.
    assert (called != made.labels[made.val - 1]).any()


def test_persistence_does_not_look_across_a_gap_or_a_symbol() -> None:
    market = MARKET.model_copy(update={"gaps": 12})
    made = load_dataset(DataConfig(synthetic=market, window=2, horizon=HORIZON))
    before = baselines._last_complete_labels(made, made.train)
    for row, label in zip(made.train[:400], before[:400], strict=True):
        reach = made.timestamps[row] - made.timestamps[row - HORIZON]
        if reach != HORIZON * made.bar:
            assert label == HOLD


def test_every_yardstick_gives_probabilities_and_learns_from_train_alone() -> None:
    made = load_dataset(DataConfig(synthetic=MARKET, window=WINDOW, horizon=HORIZON))
    other = made.labels.copy()
    other[made.val] = 0
    for name, predict in BASELINES.items():
        found = predict(made, made.val)
        assert found.shape == (len(made.val), 3), name
        np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-6)
        if name != "persistence":
            np.testing.assert_array_equal(found, predict(replace(made, labels=other), made.val))


def test_the_learners_find_the_planted_signal() -> None:
    made = load_dataset(DataConfig(synthetic=MARKET, window=WINDOW, horizon=HORIZON))
    for predict in (baselines.logistic_regression, baselines.gradient_boosting):
        assert direction_auc(made.labels[made.val], predict(made, made.val)) > 0.7
