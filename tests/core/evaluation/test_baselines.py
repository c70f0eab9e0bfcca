from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

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
    dataset = load_dataset(DataConfig(synthetic=MARKET, window=WINDOW, horizon=HORIZON, days=days))
    for symbol in range(2):
        rows = dataset.val[dataset.symbols[dataset.val] == symbol]
        bayes = evaluate(dataset.labels[rows], baselines.bayes(dataset, MARKET, rows), dataset.timestamps[rows])
        majority = evaluate(dataset.labels[rows], baselines.majority(dataset, rows), dataset.timestamps[rows])
        assert bayes["nll"] < majority["nll"] - 0.2
        assert bayes["direction_auc"] > 0.9


def test_persistence_repeats_the_last_label_that_is_complete() -> None:
    dataset = load_dataset(DataConfig(synthetic=MARKET, window=WINDOW, horizon=HORIZON))
    calls = baselines.persistence(dataset, dataset.val).argmax(axis=1)
    assert calls.tolist() == dataset.labels[dataset.val - HORIZON].tolist()
    # Not that of the bar before, whose future is still open.
    assert (calls != dataset.labels[dataset.val - 1]).any()


def test_persistence_does_not_look_across_a_gap_or_a_symbol() -> None:
    market = MARKET.model_copy(update={"gaps": 12})
    dataset = load_dataset(DataConfig(synthetic=market, window=2, horizon=HORIZON))
    labels = baselines._last_complete_labels(dataset, dataset.train)
    for row, label in zip(dataset.train[:400], labels[:400], strict=True):
        distance = dataset.timestamps[row] - dataset.timestamps[row - HORIZON]
        if distance != HORIZON * dataset.bar:
            assert label == HOLD


@pytest.mark.costly
def test_every_baseline_gives_probabilities_and_learns_from_train_alone() -> None:
    dataset = load_dataset(DataConfig(synthetic=MARKET, window=WINDOW, horizon=HORIZON))
    other_labels = dataset.labels.copy()
    other_labels[dataset.val] = 0
    for name, predict in BASELINES.items():
        probabilities = predict(dataset, dataset.val)
        assert probabilities.shape == (len(dataset.val), 3), name
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
        if name != "persistence":
            np.testing.assert_array_equal(probabilities, predict(replace(dataset, labels=other_labels), dataset.val))


@pytest.mark.costly
def test_the_learners_find_the_planted_signal() -> None:
    dataset = load_dataset(DataConfig(synthetic=MARKET, window=WINDOW, horizon=HORIZON))
    for predict in (baselines.logistic_regression, baselines.gradient_boosting):
        assert direction_auc(dataset.labels[dataset.val], predict(dataset, dataset.val)) > 0.7


@pytest.mark.costly
def test_the_trees_are_fitted_on_all_of_train_however_long_it_is(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[HistGradientBoostingClassifier] = []
    fit = HistGradientBoostingClassifier.fit

    def recording_fit(self: HistGradientBoostingClassifier, *args: np.ndarray) -> HistGradientBoostingClassifier:
        made.append(self)
        return fit(self, *args)

    monkeypatch.setattr(HistGradientBoostingClassifier, "fit", recording_fit)
    # Above 10,000 rows, scikit-learn holds some out by default.
    long = replace(dataset, train=np.resize(dataset.train, 10_001))
    baselines.gradient_boosting(long, dataset.val)
    assert len(made[0].validation_score_) == 0
    assert made[0].n_iter_ == made[0].max_iter
