from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.metrics import f1_score

from core.config import SyntheticConfig
from core.config.data import SignalShape
from core.data import labels
from core.data.bars import Bars, bars_fingerprint
from core.data.file_format import REQUIRED
from core.data.labels import BUY, HOLD, SELL
from core.data.sources import synthetic
from core.data.sources.synthetic import PHI, SIGMA

HORIZON = 3
LONG = SyntheticConfig(bars=60_000, signal=0.5, seed=1)


def _news(bars: Bars) -> np.ndarray:
    """Compute the news of each bar from its share of taker buying."""
    return np.asarray(2 * norm.ppf(bars.frame["taker_buy_base"] / bars.frame["volume"]))


def test_the_same_seed_makes_the_same_market() -> None:
    config = SyntheticConfig(bars=300, symbols=("A", "B"))
    assert bars_fingerprint(synthetic.make_bars(config, "5m")) == bars_fingerprint(synthetic.make_bars(config, "5m"))
    other = config.model_copy(update={"seed": config.seed + 1})
    assert bars_fingerprint(synthetic.make_bars(config, "5m")) != bars_fingerprint(synthetic.make_bars(other, "5m"))


def test_symbols_are_independent_of_each_other() -> None:
    a, b = synthetic.make_bars(SyntheticConfig(bars=20_000, symbols=("A", "B")), "5m")
    moves = [np.diff(np.log(bars.frame["close"])) for bars in (a, b)]
    assert abs(np.corrcoef(*moves)[0, 1]) < 4 / np.sqrt(20_000)


def test_its_bars_pass_the_checks_of_recorded_ones() -> None:
    (bars,) = synthetic.make_bars(SyntheticConfig(bars=500), "15m")
    frame = bars.frame
    assert list(frame.columns[: len(REQUIRED)]) == list(REQUIRED)
    assert (frame["timestamp"].diff().dropna() == pd.Timedelta(minutes=15)).all()
    assert (frame["low"] <= frame[["open", "close"]].min(axis=1)).all()
    assert (frame["high"] >= frame[["open", "close"]].max(axis=1)).all()
    assert (frame["low"] > 0).all()
    assert frame["taker_buy_base"].between(0, frame["volume"]).all()


def test_without_signal_prices_are_a_martingale() -> None:
    config = LONG.model_copy(update={"signal": 0.0})
    (bars,) = synthetic.make_bars(config, "5m")
    returns = np.diff(np.log(bars.frame["close"]))
    bound = 4 / np.sqrt(len(returns))
    for lag in range(1, 11):
        assert abs(np.corrcoef(returns[lag:], returns[:-lag])[0, 1]) < bound
    assert abs(np.corrcoef(synthetic.pressure(config, 0)[:-1], returns)[0, 1]) < bound


def test_with_signal_returns_follow_the_pressure_as_strongly_as_configured() -> None:
    (bars,) = synthetic.make_bars(LONG, "5m")
    returns = np.diff(np.log(bars.frame["close"]))
    assert np.corrcoef(synthetic.pressure(LONG, 0)[:-1], returns)[0, 1] == pytest.approx(0.5, abs=0.02)
    assert returns.std() == pytest.approx(SIGMA, rel=0.02)


def test_the_pressure_can_be_computed_from_the_bars() -> None:
    (bars,) = synthetic.make_bars(LONG, "5m")
    news = _news(bars)
    z = synthetic.pressure(LONG, 0)
    expected = PHI * z[:-1] + np.sqrt(1 - PHI**2) * news[1:]
    np.testing.assert_allclose(z[1:], expected, atol=1e-6)


@pytest.mark.parametrize("shape", ["linear", "delayed"])
@pytest.mark.parametrize("signal", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("horizon", [1, 3, 20])
def test_forward_moments_agree_with_the_generated_market(shape: SignalShape, signal: float, horizon: int) -> None:
    config = LONG.model_copy(update={"shape": shape, "signal": signal})
    (bars,) = synthetic.make_bars(config, "5m")
    returns = labels.forward_returns(bars.frame["close"].to_numpy(), horizon)[:-horizon]
    mean, deviation = synthetic.forward_moments(config, 0, horizon)
    surprise = ((returns - mean[:-horizon]) / deviation)[::horizon]
    assert abs(surprise.mean()) < 4 / np.sqrt(len(surprise))
    assert surprise.std() == pytest.approx(1, abs=4 / np.sqrt(2 * len(surprise)))
    for earlier in range(15):  # no news that is known says anything more
        news = np.roll(_news(bars), earlier)[:-horizon:horizon]
        assert abs(np.corrcoef(surprise[1:], news[1:])[0, 1]) < 5 / np.sqrt(len(surprise))


def _labelled(config: SyntheticConfig) -> tuple[np.ndarray, np.ndarray]:
    """Return the true labels, and their probabilities given the model of the market."""
    (bars,) = synthetic.make_bars(config, "5m")
    returns = labels.forward_returns(bars.frame["close"].to_numpy(), HORIZON)[:-HORIZON]
    borders = labels.quantile_thresholds(returns, (0.25, 0.75))
    mean, deviation = synthetic.forward_moments(config, 0, HORIZON)
    best = synthetic.bayes_probabilities(mean[:-HORIZON], deviation, *borders)
    return labels.by_thresholds(returns, *borders), best


def test_the_best_forecast_beats_the_majority_with_signal() -> None:
    truth, best = _labelled(LONG)
    assert np.mean(best.argmax(axis=1) == truth) > np.mean(truth == HOLD) + 0.02
    majority = np.full_like(truth, HOLD)
    assert f1_score(truth, best.argmax(axis=1), average="macro") > f1_score(truth, majority, average="macro") + 0.1


def test_the_best_forecast_is_the_class_shares_without_signal() -> None:
    _, best = _labelled(LONG.model_copy(update={"signal": 0.0}))
    np.testing.assert_allclose(best, np.broadcast_to([0.25, 0.5, 0.25], best.shape), atol=0.01)


def test_the_best_forecast_is_calibrated() -> None:
    truth, best = _labelled(LONG)
    for label in (SELL, HOLD, BUY):
        for part in np.array_split(np.argsort(best[:, label]), 5):
            assert np.mean(truth[part] == label) == pytest.approx(best[part, label].mean(), abs=0.02)


def test_the_best_forecast_is_a_probability_even_in_extremes() -> None:
    mean = 8 * SIGMA * np.linspace(-1, 1, 1001)
    best = synthetic.bayes_probabilities(mean, 0.4 * SIGMA, -0.67 * SIGMA, 0.67 * SIGMA)
    assert (best >= 0).all()
    np.testing.assert_allclose(best.sum(axis=1), 1)


def test_switching_returns_follow_the_pressure_only_with_the_side_that_volume_shows() -> None:
    config = LONG.model_copy(update={"shape": "switching"})
    (bars,) = synthetic.make_bars(config, "5m")
    returns, pressure = np.diff(np.log(bars.frame["close"])), synthetic.pressure(config, 0)[:-1]
    side = synthetic.side(config, 0)
    assert np.corrcoef(side[:-1] * pressure, returns)[0, 1] == pytest.approx(0.5, abs=0.02)
    assert abs(np.corrcoef(pressure, returns)[0, 1]) < 0.1
    assert 0.4 < np.mean(side > 0) < 0.6
    side_by_volume = np.where(bars.frame["volume"] > 200, -1, 1)
    assert np.mean(side_by_volume == side) > 0.98
    assert not synthetic.has_known_optimum(config)


def test_delayed_returns_follow_the_news_of_six_and_seven_bars_before_and_turn_back() -> None:
    config = LONG.model_copy(update={"shape": "delayed"})
    (bars,) = synthetic.make_bars(config, "5m")
    returns, news = np.diff(np.log(bars.frame["close"])), _news(bars)[:-1]
    for lag in range(15):
        expected = {6: 0.25, 7: 0.25, 10: -0.25, 11: -0.25}.get(lag, 0.0)
        assert np.corrcoef(returns[lag:], news[: len(news) - lag])[0, 1] == pytest.approx(expected, abs=0.02)


def test_no_average_of_the_taker_flow_tells_delayed_returns() -> None:
    config = LONG.model_copy(update={"shape": "delayed"})
    (bars,) = synthetic.make_bars(config, "5m")
    mean, _ = synthetic.forward_moments(config, 0, HORIZON)
    for span in (1, 4, 12, 48):
        average = np.convolve(_news(bars), np.ones(span) / span)[: len(mean)]
        assert abs(np.corrcoef(average, mean)[0, 1]) < 0.02
