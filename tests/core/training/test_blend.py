from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax

from core.data.dataset import Dataset
from core.evaluation.calibration import fit_calibration, nll
from core.models.forest import EQUAL_WEIGHT, blend
from core.training import blend as blend_module
from core.training.blend import ForestOnVal, fit_weight
from core.training.forest_fit import fit_forest

ROWS = 2000


def _models(noise: float, other_noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the logits of two models that see the same truth through noise, and labels drawn from the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.standard_normal((ROWS, 3))
    labels = (truth + rng.gumbel(size=truth.shape)).argmax(axis=1)
    first, second = (truth + level * rng.standard_normal(truth.shape) for level in (noise, other_noise))
    return first, second, labels


def _loss(network: np.ndarray, forest: np.ndarray, labels: np.ndarray, weight: float) -> float:
    logits = blend(network, forest, weight)
    return nll(fit_calibration(logits, labels).apply(logits), labels)


def test_the_better_model_weighs_more_and_equals_weigh_the_same() -> None:
    better, worse, labels = _models(0.1, 3.0)
    assert fit_weight(better, worse, labels) < 0.2
    assert fit_weight(worse, better, labels) > 0.8
    assert fit_weight(*_models(1.0, 1.0)) == pytest.approx(0.5, abs=0.05)


def test_without_a_pull_no_other_weight_has_a_smaller_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blend_module, "_PULL", 0.0)
    network, forest, labels = _models(0.5, 1.0)
    weight = fit_weight(network, forest, labels)
    fitted = _loss(network, forest, labels, weight)
    for other in np.linspace(0, 1, 21):
        assert _loss(network, forest, labels, float(other)) > fitted - 1e-5


def test_the_pull_keeps_the_weight_from_following_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """On rows without a signal, the best weight is anywhere; with the pull it stays near equal weights."""
    rng = np.random.default_rng(1)
    cases = [(0.05 * rng.standard_normal((2, ROWS, 3)), _models(1, 1, seed)[2]) for seed in range(8)]

    def distance() -> float:
        return float(np.mean([abs(fit_weight(*models, labels) - EQUAL_WEIGHT) for models, labels in cases]))

    with_pull = distance()
    monkeypatch.setattr(blend_module, "_PULL", 0.0)
    assert with_pull < 0.15 < 0.3 < distance()


@given(st.integers(0, 2**32 - 1), st.floats(-5, 5), st.integers(0, 30))
def test_it_does_not_depend_on_what_all_classes_have_in_common(seed: int, shift: float, rows: int) -> None:
    network, forest, labels = (part[:rows] for part in _models(1.0, 0.5, seed))
    weight = fit_weight(network, forest, labels)
    assert 0 <= weight <= 1
    shifted = network + shift * np.arange(rows)[:, None]
    assert fit_weight(shifted, forest, labels) == pytest.approx(weight, abs=1e-3)


def test_without_rows_the_weights_are_equal() -> None:
    assert fit_weight(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0, dtype=np.int64)) == EQUAL_WEIGHT


def test_each_half_of_val_is_blended_with_the_weight_of_the_other(dataset: Dataset) -> None:
    forest = fit_forest(dataset)
    on_val, val = ForestOnVal(forest, dataset), dataset.val
    np.testing.assert_array_equal(on_val.logits, forest.logits(dataset.features[val]))
    rng = np.random.default_rng(0)
    network, labels, times = rng.standard_normal((len(val), 3)), dataset.labels[val], dataset.timestamps[val]
    blended = on_val.blend_by_half(network)
    early = times <= np.median(times)
    for of_half, half in zip(blended, (early, ~early), strict=True):
        weight = fit_weight(network[~half], on_val.logits[~half], labels[~half])
        np.testing.assert_array_equal(of_half, blend(network, on_val.logits, weight))
    assert on_val.fit_weight(network) == fit_weight(network, on_val.logits, labels)
    # The labels of a half do not enter its own predictions.
    changed = dataset.labels.copy()
    changed[val[early]] = (changed[val[early]] + 1) % 3
    again = ForestOnVal(forest, replace(dataset, labels=changed)).blend_by_half(network)
    np.testing.assert_array_equal(again[0], blended[0])
    assert not np.array_equal(again[1], blended[1])


def test_val_of_one_instant_is_blended_with_equal_weights(dataset: Dataset) -> None:
    one = replace(dataset, val=dataset.val[:1])
    on_val = ForestOnVal(fit_forest(dataset), one)
    network = log_softmax(np.array([[1.0, 2.0, 0.5]]), axis=1)
    for of_half in on_val.blend_by_half(network):
        np.testing.assert_array_equal(of_half, blend(network, on_val.logits, EQUAL_WEIGHT))
