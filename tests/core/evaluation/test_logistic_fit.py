from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_sample_weight

from core.data.dataset import Dataset
from core.data.labels import BUY, HOLD, SELL
from core.evaluation import baselines
from core.evaluation.logistic_fit import (
    DEFAULT_INVERSE_PENALTY,
    INVERSE_PENALTIES,
    choose_inverse_penalty,
    fit_logistic_regression,
)


def _with_features(dataset: Dataset, seed: int = 0, skill: float = 0.0) -> Dataset:
    """Return the dataset with 80 features of noise, the first of which adds `skill` times the label to it."""
    features = np.random.default_rng(seed).standard_normal((len(dataset.labels), 80)).astype(np.float32)
    features[:, 0] += skill * (dataset.labels - 1)
    return replace(dataset, features=features)


def _without(dataset: Dataset, label: int, instead: int) -> Dataset:
    return replace(dataset, labels=np.where(dataset.labels == label, instead, dataset.labels).astype(np.int8))


def _features(dataset: Dataset) -> np.ndarray:
    return dataset.features[dataset.train].astype(np.float64)


def test_the_fit_minimises_the_balanced_loss_with_the_chosen_penalty(dataset: Dataset) -> None:
    coefficients, intercepts = fit_logistic_regression(dataset)
    features, labels = _features(dataset), dataset.labels[dataset.train]
    model = LogisticRegression(
        C=choose_inverse_penalty(dataset, features), class_weight="balanced", tol=1e-8, max_iter=10_000
    ).fit(features, labels)
    assert coefficients.shape == (dataset.features.shape[1], 3)
    np.testing.assert_allclose(coefficients, model.coef_.T, atol=1e-3)
    probabilities = softmax(features @ coefficients + intercepts, axis=1)
    np.testing.assert_allclose(probabilities, model.predict_proba(features), atol=1e-3)


def test_the_baseline_is_the_fit(dataset: Dataset) -> None:
    coefficients, intercepts = fit_logistic_regression(dataset)
    expected = softmax(dataset.features[dataset.val] @ coefficients + intercepts, axis=1)
    np.testing.assert_array_equal(baselines.logistic_regression(dataset, dataset.val), expected)


def test_noise_calls_for_the_strongest_penalty_and_a_signal_for_a_weaker_one(dataset: Dataset) -> None:
    noise, signal = _with_features(dataset), _with_features(dataset, skill=3.0)
    assert choose_inverse_penalty(noise, _features(noise)) == INVERSE_PENALTIES[0]
    assert choose_inverse_penalty(signal, _features(signal)) > INVERSE_PENALTIES[1]


def test_among_features_of_noise_the_baseline_is_no_worse_than_chance(dataset: Dataset) -> None:
    noise = _with_features(dataset)
    labels = noise.labels[noise.val]
    weights = compute_sample_weight("balanced", labels)
    loss = log_loss(labels, baselines.logistic_regression(noise, noise.val), sample_weight=weights)
    assert loss < np.log(3) + 0.005


def test_the_penalty_is_chosen_on_the_end_of_train_apart_from_what_is_fitted(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[np.ndarray] = []
    predicted: list[np.ndarray] = []
    fit, predict = LogisticRegression.fit, LogisticRegression.predict_proba
    numbers = np.arange(len(dataset.labels), dtype=np.float32)[:, None]
    numbered = replace(dataset, features=np.hstack([dataset.features, numbers / len(numbers)]))

    def recording_fit(self: LogisticRegression, x: np.ndarray, *args: object, **kwargs: object) -> LogisticRegression:
        fitted.append(np.rint(x[:, -1] * len(numbers)).astype(int))
        return fit(self, x, *args, **kwargs)

    def recording_predict(self: LogisticRegression, x: np.ndarray) -> np.ndarray:
        predicted.append(np.rint(x[:, -1] * len(numbers)).astype(int))
        return np.asarray(predict(self, x))

    monkeypatch.setattr(LogisticRegression, "fit", recording_fit)
    monkeypatch.setattr(LogisticRegression, "predict_proba", recording_predict)
    fit_logistic_regression(numbered)
    assert len(fitted) == len(INVERSE_PENALTIES) + 1
    assert fitted[-1].tolist() == dataset.train.tolist()
    for earlier, later in zip(fitted[:-1], predicted, strict=True):
        assert later[-1] == dataset.train[-1]
        assert 0.15 < len(later) / len(dataset.train) < 0.25
        assert later[0] - dataset.window - dataset.horizon > earlier[-1]


def test_rows_outside_train_do_not_matter(dataset: Dataset) -> None:
    outside = np.ones(len(dataset.labels), dtype=bool)
    outside[dataset.train] = False
    other = replace(
        dataset,
        labels=np.where(outside, SELL, dataset.labels).astype(np.int8),
        features=np.where(outside[:, None], 0, dataset.features),
    )
    for expected, value in zip(fit_logistic_regression(dataset), fit_logistic_regression(other), strict=True):
        np.testing.assert_array_equal(expected, value)


@pytest.mark.parametrize(("missing", "instead"), [(SELL, HOLD), (HOLD, BUY), (BUY, SELL)])
def test_a_class_that_train_lacks_is_nearly_impossible_and_the_others_are_told_apart(
    dataset: Dataset, missing: int, instead: int
) -> None:
    made = _with_features(_without(dataset, missing, instead), skill=3.0)
    coefficients, intercepts = fit_logistic_regression(made)
    assert not coefficients[:, missing].any()
    assert np.isfinite(intercepts).all()
    probabilities = baselines.logistic_regression(made, made.val)
    assert probabilities[:, missing].max() < 0.01
    assert (probabilities.argmax(axis=1) == made.labels[made.val]).mean() > 0.8


def test_a_single_class_is_predicted_always(dataset: Dataset) -> None:
    made = replace(dataset, labels=np.full_like(dataset.labels, HOLD))
    assert not fit_logistic_regression(made)[0].any()
    assert baselines.logistic_regression(made, made.val)[:, HOLD].min() > 0.99


def test_without_enough_rows_to_choose_the_penalty_is_the_default(dataset: Dataset) -> None:
    labels = dataset.labels.copy()
    later = dataset.train[len(dataset.train) // 2 :]
    labels[later] = np.where(labels[later] == BUY, HOLD, labels[later])
    made = replace(dataset, labels=labels)
    assert choose_inverse_penalty(made, _features(made)) == DEFAULT_INVERSE_PENALTY
    few = replace(dataset, train=dataset.train[: dataset.window])
    assert choose_inverse_penalty(few, _features(few)) == DEFAULT_INVERSE_PENALTY
