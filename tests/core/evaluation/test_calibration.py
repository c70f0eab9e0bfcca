from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import check_grad
from scipy.special import softmax

from core.evaluation import calibration
from core.evaluation.calibration import Calibration, fit_calibration, logits_of, nll


def _sample(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return logits, and labels drawn from the probabilities that they mean."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (count, 3))
    cumulated = softmax(logits, axis=1).cumsum(axis=1)
    return logits, (rng.random((count, 1)) > cumulated[:, :2]).sum(axis=1)


@settings(max_examples=15)
@given(temperature=st.floats(0.3, 3), sell=st.floats(-1, 1), hold=st.floats(-1, 1))
def test_a_known_distortion_is_undone(temperature: float, sell: float, hold: float) -> None:
    logits, labels = _sample(20_000)
    shift = np.array([sell, hold, -sell - hold])
    fitted = fit_calibration((logits - shift) * temperature, labels)
    assert fitted.temperature == pytest.approx(temperature, rel=0.15)
    np.testing.assert_allclose(fitted.bias, shift, atol=0.15)


def test_honest_logits_are_left_as_they_are() -> None:
    fitted = fit_calibration(*_sample(50_000))
    assert fitted.temperature == pytest.approx(1, abs=0.03)
    np.testing.assert_allclose(fitted.bias, 0, atol=0.03)


def test_the_identity_calibrates_nothing() -> None:
    logits, _ = _sample(10)
    np.testing.assert_allclose(Calibration().apply(logits), softmax(logits, axis=1))


def test_a_class_without_a_row_sends_nothing_to_infinity() -> None:
    logits, labels = _sample(500)
    fitted = fit_calibration(logits, np.minimum(labels, 1))
    assert np.isfinite([fitted.temperature, *fitted.bias]).all()


def test_a_shifted_prior_costs_nothing_after_calibration() -> None:
    logits, labels = _sample(6000)
    weighted = logits + np.array([1.5, -1.0, 0.5])  # what class weights do
    assert nll(softmax(weighted, axis=1), labels) > nll(softmax(logits, axis=1), labels) + 0.2
    plain, shifted = (nll(fit_calibration(z, labels).apply(z), labels) for z in (logits, weighted))
    assert shifted == pytest.approx(plain, abs=1e-3)


def test_exchanging_sell_and_buy_exchanges_their_biases() -> None:
    logits, labels = _sample(300)
    logits, labels = logits[labels != 0], labels[labels != 0]  # without a SELL the pull decides on its bias
    there = fit_calibration(logits, labels)
    back = fit_calibration(logits[:, ::-1], 2 - labels)
    assert back.temperature == pytest.approx(there.temperature, rel=1e-3)
    assert back.bias[::-1] == pytest.approx(there.bias, abs=1e-3)


def test_probabilities_and_logits_mean_the_same() -> None:
    logits, _ = _sample(50)
    probabilities = softmax(logits, axis=1)
    np.testing.assert_allclose(softmax(logits_of(probabilities), axis=1), probabilities)
    assert np.isfinite(logits_of(np.eye(3))).all()


def test_the_slope_is_the_slope(monkeypatch: pytest.MonkeyPatch) -> None:
    captured = {}
    monkeypatch.setattr(
        calibration, "minimize", lambda loss, start, **options: captured.update(loss=loss) or _Minimum()
    )
    fit_calibration(*_sample(200))
    for point in (np.zeros(3), np.array([0.3, -0.5, 0.8])):
        assert check_grad(lambda x: captured["loss"](x)[0], lambda x: captured["loss"](x)[1], point) < 1e-5


class _Minimum:
    x = np.zeros(3)
