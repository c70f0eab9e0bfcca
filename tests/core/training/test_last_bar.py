from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from core.config import BalanceConfig, LossConfig, TrainingConfig
from core.data.dataset import Dataset
from core.data.labels import BUY, HOLD, SELL
from core.evaluation.logistic_fit import fit_logistic_regression
from core.training.class_balance import compute_class_weights
from core.training.last_bar import fit_last_bar
from core.training.losses import focal_loss, smooth_targets


def _config(weights: Any = "balanced", oversample: bool = False, **loss: Any) -> TrainingConfig:
    balance = BalanceConfig(class_weights=weights, oversample=oversample, allow_double=True)
    return TrainingConfig(loss=LossConfig(**loss), balance=balance)


def _loss_at(dataset: Dataset, config: TrainingConfig, scores: np.ndarray) -> float:
    labels = dataset.labels[dataset.train]
    weights = torch.tensor(compute_class_weights(labels, config.balance.class_weights))
    targets = functional.one_hot(torch.from_numpy(labels).long(), 3).double()
    smoothed = smooth_targets(targets, config.loss.label_smoothing)
    return float(focal_loss(torch.from_numpy(scores), smoothed, config.loss.focal_gamma, weights))


@pytest.mark.parametrize("gamma", [0.0, 2.5])
@pytest.mark.parametrize("weights", ["none", "balanced"])
def test_no_other_scale_and_shift_of_the_regression_has_a_smaller_loss(
    dataset: Dataset, gamma: float, weights: str
) -> None:
    config = _config(weights, focal_gamma=gamma)
    fit = fit_last_bar(dataset, config)
    scores = (dataset.features[dataset.train] @ fit.coefficients + fit.intercepts) * fit.scale + fit.shift
    fitted = _loss_at(dataset, config, scores)
    for scale in (0.9, 1.1):
        assert _loss_at(dataset, config, scores * scale) > fitted
    for name in (SELL, HOLD, BUY):
        for shift in (-0.1, 0.1):
            assert _loss_at(dataset, config, scores + shift * np.eye(3)[name]) > fitted


def test_the_path_is_the_regression_whatever_the_loss(dataset: Dataset) -> None:
    for config in (_config(), _config("none", focal_gamma=0.0)):
        fit, (coefficients, intercepts) = fit_last_bar(dataset, config), fit_logistic_regression(dataset)
        # Two fits of the same rows differ by rounding, which depends on where the rows lie in memory.
        np.testing.assert_allclose(fit.coefficients, coefficients, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(fit.intercepts, intercepts, rtol=1e-8, atol=1e-10)


def test_focusing_and_smoothing_ask_for_less_certain_scores(dataset: Dataset) -> None:
    plain = fit_last_bar(dataset, _config(focal_gamma=0.0, label_smoothing=0.0)).scale
    focused = fit_last_bar(dataset, _config(focal_gamma=2.5, label_smoothing=0.1)).scale
    assert focused < 0.8 * plain
    assert plain == pytest.approx(1, abs=0.15)


def test_oversampling_moves_the_shift_as_balanced_weights_do(dataset: Dataset) -> None:
    weighted, drawn = (fit_last_bar(dataset, config).shift for config in (_config(), _config("none", oversample=True)))
    np.testing.assert_allclose(weighted, drawn, atol=1e-4)
    assert fit_last_bar(dataset, _config("none")).shift[HOLD] > weighted[HOLD] + 0.1


def test_a_loss_without_an_optimum_leaves_a_finite_scale(dataset: Dataset) -> None:
    fit = fit_last_bar(dataset, _config(kind="directional_accuracy"))
    assert 0 < fit.scale < 10
    assert np.abs(fit.shift).max() < 10


def test_rows_outside_train_are_not_read(dataset: Dataset) -> None:
    before = fit_last_bar(dataset.without_test(), _config())
    features, labels = dataset.features.copy(), dataset.labels.copy()
    outside = np.setdiff1d(np.arange(len(labels)), dataset.train)
    features[outside], labels[outside] = 1e6, BUY

    after = fit_last_bar(replace(dataset, features=features, labels=labels), _config())
    for first, second in zip(before, after, strict=True):
        np.testing.assert_array_equal(first, second)
