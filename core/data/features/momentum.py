"""Features of momentum: oscillators, each centred on 0, on log prices, so that the price level does not matter.

TA-Lib is used where its results keep the contract of `Feature`: extremes, directional movement, true range, Wilder's
means, Aroon, MACD. The others are computed here:

- TA-Lib's RSI and ADX are ratios of means over all the past. In bars that do not move both means fade alike, so that
  the ratio never forgets; here it fades to 0 (`MIN_MOVE`).
- Its money flow and standard deviation use running sums, which keep the rounding errors of large bars that have left.
- Its CCI magnifies rounding errors where prices hardly move.
- Its ultimate oscillator calls bars without range a strong fall.

Its CMO equals its RSI, and its Williams %R its fast stochastic: neither is repeated.
"""

from __future__ import annotations

import numpy as np
import talib

from core.data.features.base import Feature
from core.data.features.rolling import MIN_MOVE, deviation, forgetting, lagged, log_move, log_return, mean, quotient
from core.data.file_format import Array, Columns

_CLOSE = ("close",)
_RANGE = ("high", "low")
_HLC = (*_RANGE, "close")
_WILDER = 7
"""Period of Wilder's means. His 14 would need a warm-up of 400 bars to forget what came before a segment."""
_SETTLED = _WILDER + forgetting(_WILDER)
_SETTLED_TWICE = 2 * _WILDER + forgetting(_WILDER, stages=2)


def _log_hlc(bars: Columns) -> tuple[Array, Array, Array]:
    return np.log(bars["high"]), np.log(bars["low"]), np.log(bars["close"])


def _settled(values: Array) -> Array:
    """Replace the NaN in front of a result of TA-Lib by 0, in place; a NaN after the first number would stay."""
    values[: np.argmin(np.isnan(values))] = 0.0
    return values


def _true_range(bars: Columns) -> Array:
    return _settled(talib.ATR(*_log_hlc(bars), _WILDER))


def _relative_strength(bars: Columns) -> Array:
    returns = log_return(bars)
    gains = _settled(talib.RMA(np.maximum(returns, 0.0), _WILDER))
    losses = _settled(talib.RMA(np.maximum(-returns, 0.0), _WILDER))
    return np.asarray((gains - losses) / (gains + losses + MIN_MOVE))


def _directional_movement(bars: Columns) -> tuple[Array, Array]:
    """Compute Wilder's means of the upward and of the downward movement."""
    high, low = np.log(bars["high"]), np.log(bars["low"])
    up, down = talib.PLUS_DM(high, low, _WILDER), talib.MINUS_DM(high, low, _WILDER)
    return _settled(up) / _WILDER, _settled(down) / _WILDER


def _direction(bars: Columns) -> Array:
    up, down = _directional_movement(bars)
    return np.asarray((up - down) / (_true_range(bars) + MIN_MOVE))


def _trend(bars: Columns) -> Array:
    up, down = _directional_movement(bars)
    return _settled(talib.RMA(np.abs(up - down) / (up + down + MIN_MOVE), _WILDER))


def _macd(bars: Columns) -> Array:
    _, _, histogram = talib.MACD(np.log(bars["close"]), 6, 13, 5)
    return np.asarray(_settled(histogram) / (_true_range(bars) + MIN_MOVE))


def _commodity_channel(bars: Columns) -> Array:
    high, low, close = _log_hlc(bars)
    typical = (high + low + close) / 3
    centre = mean(typical, 20)
    distance = sum(np.abs(lagged(typical, rows) - centre) for rows in range(20)) / 20
    return np.asarray((typical - centre) / (1.5 * (distance + MIN_MOVE)))


def _aroon(bars: Columns) -> Array:
    return _settled(talib.AROONOSC(bars["high"], bars["low"], 25)) / 100


def _stochastic(bars: Columns) -> Array:
    high, low = _settled(talib.MAX(bars["high"], 14)), _settled(talib.MIN(bars["low"], 14))
    return mean(quotient((bars["close"] - low) - (high - bars["close"]), high - low), 3)


def _chande(bars: Columns) -> Array:
    returns = log_return(bars)
    return np.asarray(mean(returns, 24) / (mean(np.abs(returns), 24) + MIN_MOVE))


def _ultimate(bars: Columns) -> Array:
    high, low, close = _log_hlc(bars)
    before = lagged(close, 1)
    bottom, top = np.minimum(low, before), np.maximum(high, before)
    pressure, true_range = (close - bottom) - (top - close), top - bottom
    terms = [weight * quotient(mean(pressure, n), mean(true_range, n)) for n, weight in ((7, 4), (14, 2), (28, 1))]
    return np.asarray(sum(terms) / 7)


def _bollinger_position(bars: Columns) -> Array:
    close = np.log(bars["close"])
    return np.asarray((close - mean(close, 48)) / (2 * deviation(close, 48) + MIN_MOVE))


def _bollinger_width(bars: Columns) -> Array:
    return log_move(deviation(np.log(bars["close"]), 48))


def _money_flow(bars: Columns) -> Array:
    """Compute the money flow; a bar that moved by less than MIN_MOVE counts in proportion.

    So no rounding error decides whether a bar that did not move counts as rising or as falling.
    """
    typical = (bars["high"] + bars["low"] + bars["close"]) / 3
    level = np.log(typical)
    direction = np.clip((level - lagged(level, 1)) / MIN_MOVE, -1, 1)
    money = typical * bars["volume"]
    return quotient(mean(money * direction, 14), mean(money, 14))


OSCILLATORS: tuple[Feature, ...] = (
    Feature(
        f"true_range_{_WILDER}",
        f"log of the mean true range of about {_WILDER} bars",
        "log(ATR), Wilder 1978",
        _SETTLED,
        lambda bars: log_move(_true_range(bars)),
        _HLC,
    ),
    Feature(
        f"relative_strength_{_WILDER}",
        "mean gain less mean loss, over their sum",
        "2 RSI/100 - 1, Wilder 1978; (G - L) / (G + L + 1e-6)",
        _SETTLED,
        _relative_strength,
        _CLOSE,
    ),
    Feature(
        f"direction_{_WILDER}",
        "upward less downward movement, over the true range",
        "(DI+ - DI-)/100, Wilder 1978; (DM+ - DM-) / (ATR + 1e-6)",
        _SETTLED,
        _direction,
        _HLC,
    ),
    Feature(
        f"trend_{_WILDER}",
        "how much of the movement goes in one direction",
        "ADX/100, Wilder 1978; mean of |DM+ - DM-| / (DM+ + DM- + 1e-6)",
        _SETTLED_TWICE,
        _trend,
        _RANGE,
    ),
    Feature(
        "macd_6_13_5",
        "difference of two exponential means less its own mean, over the true range",
        "MACD histogram / (ATR + 1e-6), Appel 1979, at half its usual spans",
        _SETTLED_TWICE,
        _macd,
        _HLC,
    ),
    Feature(
        "commodity_channel_20",
        "typical price less its mean of 20 bars, over the mean absolute deviation from it",
        "CCI/100, Lambert 1980; (x - mean(x)) / (1.5 (mean(|x - mean(x)|) + 1e-6))",
        19,
        _commodity_channel,
        _HLC,
    ),
    Feature(
        "aroon_25",
        "how much more recent the highest high of 26 bars is than their lowest low",
        "Aroon oscillator/100, Chande 1995; of equal extremes the last counts",
        25,
        _aroon,
        _RANGE,
    ),
    Feature(
        "stochastic_14",
        "where close lies between the low (-1) and high (1) of 14 bars, mean of 3",
        "slow %K/50 - 1, Lane 1984; 0 where these are equal",
        15,
        _stochastic,
        _HLC,
    ),
    Feature(
        "chande_24",
        "net move of 24 bars over the sum of their absolute moves",
        "CMO/100, Chande & Kroll 1994 (efficiency ratio, Kaufman 1995); sum(r) / (sum(|r|) + 24e-6)",
        24,
        _chande,
        _CLOSE,
    ),
    Feature(
        "ultimate_7_14_28",
        "where close lies in the true range, over three spans",
        "2 ultimate oscillator/100 - 1, Williams 1985; 0 for a span without range",
        28,
        _ultimate,
        _HLC,
    ),
    Feature(
        "bollinger_position_48",
        "close less its mean of 48 bars, over two standard deviations",
        "2 %B - 1, Bollinger 2001; (log(c) - mean) / (2 sd + 1e-6)",
        47,
        _bollinger_position,
        _CLOSE,
    ),
    Feature(
        "bollinger_width_48",
        "log of the standard deviation of log close over 48 bars",
        "band width, Bollinger 2001; log(sd + 1e-6)",
        47,
        _bollinger_width,
        _CLOSE,
    ),
    Feature(
        "money_flow_14",
        "money traded in rising bars less that in falling ones, over all money traded in 14 bars",
        "2 MFI/100 - 1, Quong & Soudack 1989; 0 where nothing was traded",
        14,
        _money_flow,
        (*_HLC, "volume"),
    ),
)
