from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier

from core.data.dataset import Dataset
from core.data.labels import BUY, HOLD, SELL
from core.training import forest_fit
from core.training.forest_fit import fit_forest


def test_the_forest_predicts_what_scikit_learns_trees_predict(dataset: Dataset) -> None:
    features, labels = dataset.features[dataset.train], dataset.labels[dataset.train]
    reference = ExtraTreesClassifier(
        100, max_depth=12, max_features=0.3, min_samples_leaf=50, class_weight="balanced", random_state=0
    ).fit(features, labels)
    assert len(labels) < 50 * 400  # so that the smallest leaf is that of the reference
    for rows in (dataset.train, dataset.val):
        expected = reference.predict_proba(dataset.features[rows])
        np.testing.assert_allclose(fit_forest(dataset).probabilities(dataset.features[rows]), expected, atol=1e-6)


def test_the_same_dataset_gives_the_same_forest(dataset: Dataset) -> None:
    first, second = fit_forest(dataset).arrays(), fit_forest(dataset).arrays()
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name])


def test_rows_outside_train_are_not_read(dataset: Dataset) -> None:
    features, labels = dataset.features.copy(), dataset.labels.copy()
    outside = np.setdiff1d(np.arange(len(labels)), dataset.train)
    features[outside], labels[outside] = 1e6, BUY
    before, after = fit_forest(dataset), fit_forest(replace(dataset, features=features, labels=labels))
    for name, values in before.arrays().items():
        np.testing.assert_array_equal(values, after.arrays()[name])


@pytest.mark.parametrize("present", [[HOLD], [SELL, BUY]])
def test_a_class_that_train_lacks_gets_no_share(dataset: Dataset, present: list[int]) -> None:
    labels = dataset.labels.copy()
    labels[dataset.train] = np.resize(present, len(dataset.train))
    forest = fit_forest(replace(dataset, labels=labels))
    probabilities = forest.probabilities(dataset.features[dataset.val])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert not probabilities[:, np.setdiff1d([SELL, HOLD, BUY], present)].any()
    assert np.isfinite(forest.logits(dataset.features[dataset.val])).all()


def test_trees_grow_no_larger_with_more_rows(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forest_fit, "MIN_LEAF_ROWS", 1)
    monkeypatch.setattr(forest_fit, "MAX_LEAVES", 8)
    forest = fit_forest(dataset)
    leaves = np.add.reduceat(forest.left == forest.right, forest.roots)
    assert leaves.max() <= 8
    assert len(forest.roots) == forest_fit.TREES
