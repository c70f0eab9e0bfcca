"""Every feature of bars against its formula written out bar by bar, against TA-Lib, and against values by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pytest
import talib

from core.data.features import registry
from core.data.features.registry import Feature
from core.data.file_format import DAY
from tests.helpers import market
from tests.helpers.market import PRICES, Columns

BARS = market.bars(420, seed=5)
O, H, L, C, V = (BARS[name] for name in (*PRICES, "volume"))  # noqa: E741
LO, LH, LL, LC = (np.log(prices) for prices in (O, H, L, C))
FEATURES = {feature.name: feature for feature in registry.available_features(list(BARS))}


def _value(name: str, t: int) -> float:
    return float(FEATURES[name].compute(BARS)[t])


def _mean(terms: Iterable[float]) -> float:
    return float(np.mean(list(terms)))


def _past(t: int, n: int) -> range:
    return range(t - n + 1, t + 1)


def _r(t: int) -> float:
    return float(np.log(C[t] / C[t - 1]))


def _log_root(terms: Iterable[float]) -> float:
    return float(np.log(np.sqrt(_mean(terms)) + 1e-6))


def _corr(x: list[float], y: list[float]) -> float:
    return float(np.corrcoef(x, y)[0, 1])


def _wilder(term: Callable[[int], float], t: int, n: int = 7) -> float:
    """Wilder's mean of the terms from bar 1 on."""
    level = _mean(term(i) for i in range(1, n + 1))
    for i in range(n + 1, t + 1):
        level += (term(i) - level) / n
    return level


def _true_range(t: int) -> float:
    return max(LH[t] - LL[t], abs(LH[t] - LC[t - 1]), abs(LL[t] - LC[t - 1]))


def _moves(t: int) -> tuple[float, float]:
    up, down = LH[t] - LH[t - 1], LL[t - 1] - LL[t]
    return (up if up > max(down, 0) else 0.0), (down if down > max(up, 0) else 0.0)


def _trend(t: int) -> float:
    balance = np.zeros(len(C))
    for i in range(7, t + 1):
        up, down = (_wilder(lambda j, side=side: _moves(j)[side], i) for side in (0, 1))  # type: ignore[misc]
        balance[i] = abs(up - down) / (up + down + 1e-6)
    return _wilder(lambda i: float(balance[i + 6]), t - 6)


def _ema(values: np.ndarray, n: int, t: int) -> float:
    level = float(values[0])
    for value in values[1 : t + 1]:
        level += 2 / (n + 1) * (value - level)
    return level


def _macd(t: int) -> float:
    gaps = np.array([_ema(LC, 6, i) - _ema(LC, 13, i) for i in range(t + 1)])
    return (gaps[t] - _ema(gaps, 5, t)) / (_wilder(_true_range, t) + 1e-6)


def _cci(t: int) -> float:
    typical = [(LH[i] + LL[i] + LC[i]) / 3 for i in _past(t, 20)]
    centre = _mean(typical)
    return (typical[-1] - centre) / 0.015 / (_mean(abs(x - centre) for x in typical) + 1e-6) / 100


def _aroon(t: int) -> float:
    highs, lows = H[t - 25 : t + 1], L[t - 25 : t + 1]
    return float(np.argmax(highs) - np.argmin(lows)) / 25


def _stochastic(t: int) -> float:
    def raw(i: int) -> float:
        low, high = L[_past(i, 14)].min(), H[_past(i, 14)].max()
        return float((C[i] - low) / (high - low))

    return 2 * _mean(raw(i) for i in _past(t, 3)) - 1


def _ultimate(t: int) -> float:
    def ratio(n: int) -> float:
        pressure = sum(LC[i] - min(LL[i], LC[i - 1]) for i in _past(t, n))
        return float(pressure / sum(_true_range(i) for i in _past(t, n)))

    return 2 * (4 * ratio(7) + 2 * ratio(14) + ratio(28)) / 7 - 1


def _money_flow(t: int) -> float:
    typical = (H + L + C) / 3
    rising = sum(typical[i] * V[i] for i in _past(t, 14) if typical[i] > typical[i - 1])
    falling = sum(typical[i] * V[i] for i in _past(t, 14) if typical[i] < typical[i - 1])
    return float((rising - falling) / (rising + falling))


def _taker(t: int) -> float:
    return float(2 * BARS["taker_buy_base"][t] / V[t] - 1)


def _illiquidity(t: int) -> float:
    def impact(i: int) -> float:
        share = C[i] * V[i] / _mean(C[j] * V[j] for j in _past(i, 96))
        return float((abs(_r(i)) + 1e-6) / (share + 0.01))

    return float(np.log(_mean(impact(i) for i in _past(t, 12)) / _mean(abs(_r(i)) + 1e-6 for i in _past(t, 96))))


def _trade_size(t: int) -> float:
    paid, trades = BARS["quote_volume"], BARS["trades"]
    average = sum(paid[i] for i in _past(t, 48)) / sum(trades[i] for i in _past(t, 48))
    return float(np.log(paid[t] / trades[t] / average + 0.01))


def _circle(t: int, days: int, wave: Callable[[float], float]) -> float:
    return wave(2 * np.pi * BARS["timestamp"][t] / (days * DAY))


BY_HAND: dict[str, Callable[[int], float]] = {
    **{f"return_{n}": lambda t, n=n: np.log(C[t] / C[t - n]) for n in (1, 3, 6, 12, 24, 48, 96)},
    **{f"mean_gap_{n}": lambda t, n=n: LC[t] - _mean(LC[i] for i in _past(t, n)) for n in (12, 48)},
    "volatility_48": lambda t: _log_root(_r(i) ** 2 for i in _past(t, 48)),
    "volatility_ratio_6_48": lambda t: (
        _log_root(_r(i) ** 2 for i in _past(t, 6)) - _log_root(_r(i) ** 2 for i in _past(t, 48))
    ),
    "parkinson_96": lambda t: _log_root(np.log(H[i] / L[i]) ** 2 / (4 * np.log(2)) for i in _past(t, 96)),
    "garman_klass_24": lambda t: _log_root(
        np.log(H[i] / L[i]) ** 2 / 2 - (2 * np.log(2) - 1) * np.log(C[i] / O[i]) ** 2 for i in _past(t, 24)
    ),
    "rogers_satchell_48": lambda t: _log_root(
        np.log(H[i] / C[i]) * np.log(H[i] / O[i]) + np.log(L[i] / C[i]) * np.log(L[i] / O[i]) for i in _past(t, 48)
    ),
    "true_range_7": lambda t: np.log(_wilder(_true_range, t) + 1e-6),
    "semivariance_balance_48": lambda t: (
        sum(np.sign(_r(i)) * _r(i) ** 2 for i in _past(t, 48)) / sum(_r(i) ** 2 for i in _past(t, 48))
    ),
    "autocorrelation_48": lambda t: _corr([_r(i) for i in _past(t, 48)], [_r(i - 1) for i in _past(t, 48)]),
    "relative_strength_7": lambda t: _wilder(_r, t) / (_wilder(lambda i: abs(_r(i)), t) + 1e-6),
    "chande_24": lambda t: np.log(C[t] / C[t - 24]) / (sum(abs(_r(i)) for i in _past(t, 24)) + 24e-6),
    "direction_7": lambda t: _wilder(lambda i: _moves(i)[0] - _moves(i)[1], t) / (_wilder(_true_range, t) + 1e-6),
    "trend_7": _trend,
    "macd_6_13_5": _macd,
    "commodity_channel_20": _cci,
    "aroon_25": _aroon,
    "stochastic_14": _stochastic,
    "ultimate_7_14_28": _ultimate,
    "bollinger_position_48": lambda t: (LC[t] - _mean(LC[_past(t, 48)])) / (2 * float(np.std(LC[_past(t, 48)])) + 1e-6),
    "bollinger_width_48": lambda t: np.log(np.std(LC[_past(t, 48)]) + 1e-6),
    "money_flow_14": _money_flow,
    "body": lambda t: (C[t] - O[t]) / (H[t] - L[t]),
    "close_in_range": lambda t: 2 * (C[t] - L[t]) / (H[t] - L[t]) - 1,
    "wick_balance_12": lambda t: _mean(
        (min(O[i], C[i]) - L[i] - (H[i] - max(O[i], C[i]))) / (H[i] - L[i]) for i in _past(t, 12)
    ),
    "day_sin": lambda t: _circle(t, 1, np.sin),
    "day_cos": lambda t: _circle(t, 1, np.cos),
    "week_sin": lambda t: _circle(t, 7, np.sin),
    "week_cos": lambda t: _circle(t, 7, np.cos),
    "volume_surprise_48": lambda t: np.log(V[t] / _mean(V[_past(t, 48)]) + 0.01),
    "volume_trend_12_96": lambda t: np.log(_mean(V[_past(t, 12)]) / _mean(V[_past(t, 96)]) + 0.01),
    "volume_return_correlation_48": lambda t: _corr([V[i] for i in _past(t, 48)], [_r(i) for i in _past(t, 48)]),
    "illiquidity_12": _illiquidity,
    **{f"taker_imbalance_{n}": lambda t, n=n: _mean(_taker(i) for i in _past(t, n)) for n in (1, 4, 12, 48)},
    "flow_agreement_12": lambda t: (
        sum(_taker(i) * _r(i) for i in _past(t, 12)) / (sum(abs(_r(i)) for i in _past(t, 12)) + 12e-6)
    ),
    "flow_impact_48": lambda t: _corr([_taker(i) for i in _past(t, 48)], [_r(i) for i in _past(t, 48)]),
    "trade_size_surprise_48": _trade_size,
    "trades_surprise_48": lambda t: np.log(BARS["trades"][t] / _mean(BARS["trades"][_past(t, 48)]) + 0.01),
    "traded_price_gap_12": lambda t: np.log(C[t] / (BARS["quote_volume"][_past(t, 12)].sum() / V[_past(t, 12)].sum())),
}


@pytest.mark.parametrize("feature", FEATURES.values(), ids=lambda feature: feature.name)
def test_a_feature_equals_its_formula(feature: Feature) -> None:
    for t in (260, 419):
        # Only correlations have a floor that their formula lacks.
        rough = "correlation" in feature.name or feature.name in ("flow_impact_48", "semivariance_balance_48")
        expected = BY_HAND[feature.name](t)
        assert feature.compute(BARS)[t] == pytest.approx(expected, rel=1e-3 if rough else 1e-7, abs=1e-9)


def _wilder_of_ta_lib(name: str) -> np.ndarray:
    up, down = talib.PLUS_DI(LH, LL, LC, 7), talib.MINUS_DI(LH, LL, LC, 7)
    return {
        "relative_strength_7": talib.RSI(LC, 7) / 50 - 1,
        "direction_7": (up - down) / 100,
        "trend_7": talib.ADX(LH, LL, LC, 7) / 100,
        "true_range_7": np.log(talib.ATR(LH, LL, LC, 7)),
        "macd_6_13_5": talib.MACD(LC, 6, 13, 5)[2] / talib.ATR(LH, LL, LC, 7),
        "commodity_channel_20": talib.CCI(LH, LL, LC, 20) / 100,
        "money_flow_14": talib.MFI(H, L, C, V, 14) / 50 - 1,
        "stochastic_14": talib.STOCH(H, L, C, 14, 3, 0, 3, 0)[0] / 50 - 1,
        "ultimate_7_14_28": talib.ULTOSC(LH, LL, LC, 7, 14, 28) / 50 - 1,
        "aroon_25": talib.AROONOSC(H, L, 25) / 100,
        "bollinger_width_48": np.log(talib.STDDEV(LC, 48)),
        "bollinger_position_48": (LC - talib.SMA(LC, 48)) / (2 * talib.STDDEV(LC, 48)),
        "volume_return_correlation_48": talib.CORREL(V[1:], np.diff(LC), 48),
    }[name]


@pytest.mark.parametrize(
    "name",
    [
        "relative_strength_7",
        "direction_7",
        "trend_7",
        "true_range_7",
        "macd_6_13_5",
        "commodity_channel_20",
        "money_flow_14",
        "stochastic_14",
        "ultimate_7_14_28",
        "aroon_25",
        "bollinger_width_48",
        "bollinger_position_48",
        "volume_return_correlation_48",
    ],
)
def test_oscillators_are_those_of_ta_lib_where_bars_move(name: str) -> None:
    feature = FEATURES[name]
    ours, theirs = feature.compute(BARS)[-150:], _wilder_of_ta_lib(name)[-150:]
    # Ours include MIN_MOVE, which is a two-thousandth of a move here.
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=3e-3)


def _candle(opened: float, high: float, low: float, close: float, count: int = 120) -> Columns:
    bars = market.bars(count)
    return bars | {name: np.full(count, price) for name, price in zip(PRICES, (opened, high, low, close), strict=True)}


def test_the_shape_of_a_candle_by_hand() -> None:
    bars = _candle(100.0, 108.0, 98.0, 106.0)
    assert FEATURES["body"].compute(bars)[-1] == pytest.approx(0.6)
    assert FEATURES["close_in_range"].compute(bars)[-1] == pytest.approx(0.6)
    assert FEATURES["wick_balance_12"].compute(bars)[-1] == pytest.approx(0.0)
    assert FEATURES["wick_balance_12"].compute(_candle(100.0, 106.0, 96.0, 106.0))[-1] == pytest.approx(0.4)


def test_range_volatilities_by_hand() -> None:
    e = np.e
    bars = _candle(1.0, e**0.2, e**-0.2, e**0.1)
    # ln(h/l) = 0.4, ln(c/o) = 0.1.
    assert np.exp(FEATURES["parkinson_96"].compute(bars)[-1]) == pytest.approx(0.4 / (2 * np.log(2) ** 0.5), rel=1e-5)
    garman_klass = 0.5 * 0.16 - 0.3862943611 * 0.01
    assert np.exp(FEATURES["garman_klass_24"].compute(bars)[-1]) == pytest.approx(garman_klass**0.5, rel=1e-5)
    rogers_satchell = 0.1 * 0.2 + (-0.3) * (-0.2)
    assert np.exp(FEATURES["rogers_satchell_48"].compute(bars)[-1]) == pytest.approx(rogers_satchell**0.5, rel=1e-5)


def test_without_trades_no_feature_of_volume_is_extreme() -> None:
    silent = market.bars(300, kinds=[("silent", 1)])
    for name in ("taker_imbalance_1", "taker_imbalance_12", "trade_size_surprise_48", "traded_price_gap_12"):
        assert FEATURES[name].compute(silent)[-1] == 0.0
    for name in ("volume_surprise_48", "volume_trend_12_96", "trades_surprise_48"):
        assert FEATURES[name].compute(silent)[-1] == pytest.approx(np.log(1.01))
    assert FEATURES["money_flow_14"].compute(silent)[-1] == 0.0
    assert FEATURES["volume_return_correlation_48"].compute(silent)[-1] == 0.0


def test_a_bar_without_volume_among_others_counts_as_a_hundredth_of_the_average() -> None:
    bars = {name: column.copy() for name, column in BARS.items()}
    for name in ("volume", "quote_volume", "trades", "taker_buy_base"):
        bars[name][-1] = 0.0
    assert FEATURES["volume_surprise_48"].compute(bars)[-1] == pytest.approx(np.log(0.01))
    assert FEATURES["trades_surprise_48"].compute(bars)[-1] == pytest.approx(np.log(0.01))
    assert FEATURES["trade_size_surprise_48"].compute(bars)[-1] == 0.0


def test_bars_that_do_not_move_forget_the_last_move() -> None:
    """In TA-Lib's own RSI and ADX the last move before a standstill stays for ever."""
    moved = market.bars(100, kinds=[("ordinary", 1)])
    still = market.bars(300, price=float(moved["close"][-1]), kinds=[("frozen", 1)])
    bars = market.joined(moved, still)
    assert abs(talib.RSI(np.log(bars["close"]), 7)[-1] / 50 - 1) > 0.01
    for name in ("relative_strength_7", "direction_7", "trend_7", "macd_6_13_5"):
        assert abs(FEATURES[name].compute(bars)[-1]) < 1e-6
