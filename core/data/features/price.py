"""Features of plain bars: returns, volatility, the shape of the candle, the time of day and week.

All are computed from logarithms or ratios of prices, so that the price level does not matter.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from core.data.features.base import Feature
from core.data.features.rolling import MIN_MOVE, correlation, lagged, log_move, log_return, mean, quotient
from core.data.file_format import DAY, SECOND, Array, Columns

CLOSE = ("close",)
RANGE = ("high", "low")
OHLC = ("open", *RANGE, "close")


def _return(span: int) -> Feature:
    return Feature(
        f"return_{span}",
        f"log return over {span} bars",
        "log(c[t] / c[t-n])",
        span,
        lambda bars: log_return(bars, span),
        CLOSE,
    )


def _mean_gap(span: int) -> Feature:
    def compute(bars: Columns) -> Array:
        close = np.log(bars["close"])
        return np.asarray(close - mean(close, span))

    return Feature(
        f"mean_gap_{span}",
        f"log of close over its geometric mean of {span} bars",
        "log(c) - mean(log(c)); Brock, Lakonishok & LeBaron 1992",
        span - 1,
        compute,
        CLOSE,
    )


def _realised_volatility(bars: Columns, span: int) -> Array:
    return np.asarray(np.sqrt(mean(log_return(bars) ** 2, span)))


def _volatility(span: int) -> Feature:
    return Feature(
        f"volatility_{span}",
        f"log of the root mean square one-bar return over {span} bars",
        "realised volatility, Andersen & Bollerslev 1998",
        span,
        lambda bars: log_move(_realised_volatility(bars, span)),
        CLOSE,
    )


def _volatility_ratio(short: int, long: int) -> Feature:
    return Feature(
        f"volatility_ratio_{short}_{long}",
        f"log of the realised volatility of {short} bars over that of {long}",
        "log(rms(r, short) / rms(r, long)); after Corsi 2009",
        long,
        lambda bars: log_move(_realised_volatility(bars, short)) - log_move(_realised_volatility(bars, long)),
        CLOSE,
    )


def _parkinson(bars: Columns) -> Array:
    high, low = np.log(bars["high"]), np.log(bars["low"])
    return np.asarray((high - low) ** 2 / (4 * np.log(2)))


def _garman_klass(bars: Columns) -> Array:
    """Estimate the variance of each bar; never negative: the body lies within the range, and 2 log 2 - 1 < 1/2."""
    opened, high, low, close = (np.log(bars[name]) for name in OHLC)
    return np.asarray(0.5 * (high - low) ** 2 - (2 * np.log(2) - 1) * (close - opened) ** 2)


def _rogers_satchell(bars: Columns) -> Array:
    """Estimate the variance of each bar; negative by rounding at most: high is above, low below, open and close."""
    opened, high, low, close = (np.log(bars[name]) for name in OHLC)
    return np.asarray((high - close) * (high - opened) + (low - close) * (low - opened))


def _range_volatility(
    name: str, variance: Callable[[Columns], Array], span: int, source: str, needs: tuple[str, ...]
) -> Feature:
    return Feature(
        f"{name}_{span}",
        f"log of the one-bar volatility estimated from the candles of {span} bars",
        source,
        span - 1,
        lambda bars: log_move(np.sqrt(np.maximum(mean(variance(bars), span), 0.0))),
        needs,
    )


def _semivariance_balance(span: int) -> Feature:
    def compute(bars: Columns) -> Array:
        returns = log_return(bars)
        return np.asarray(mean(returns * np.abs(returns), span) / (mean(returns**2, span) + MIN_MOVE**2))

    return Feature(
        f"semivariance_balance_{span}",
        f"share of the squared returns of {span} bars that came from rises, less that from falls",
        "(RS+ - RS-) / RV; Barndorff-Nielsen, Kinnebrock & Shephard 2010",
        span,
        compute,
        CLOSE,
    )


def _autocorrelation(span: int) -> Feature:
    def compute(bars: Columns) -> Array:
        returns = log_return(bars)
        return correlation(returns, lagged(returns, 1), span, MIN_MOVE, MIN_MOVE)

    return Feature(
        f"autocorrelation_{span}",
        f"correlation of one-bar returns with the ones before them, over {span} bars",
        "corr(r[t], r[t-1]); Lo & MacKinlay 1988",
        span + 1,
        compute,
        CLOSE,
    )


def _high_low_range(bars: Columns) -> Array:
    return np.asarray(bars["high"] - bars["low"])


def _body(bars: Columns) -> Array:
    return quotient(bars["close"] - bars["open"], _high_low_range(bars))


def _close_in_range(bars: Columns) -> Array:
    return quotient((bars["close"] - bars["low"]) - (bars["high"] - bars["close"]), _high_low_range(bars))


def _wick_balance(span: int) -> Feature:
    def compute(bars: Columns) -> Array:
        upper = bars["high"] - np.maximum(bars["open"], bars["close"])
        lower = np.minimum(bars["open"], bars["close"]) - bars["low"]
        return mean(quotient(lower - upper, _high_low_range(bars)), span)

    return Feature(
        f"wick_balance_{span}",
        f"lower less upper wick as a share of the range, mean of {span} bars",
        "mean((min(o,c) - l - h + max(o,c)) / (h - l)), 0 for a bar without range",
        span - 1,
        compute,
        OHLC,
    )


def _clock(name: str, doc: str, days: int, wave: Callable[[Array], Array]) -> Feature:
    period = days * DAY // SECOND
    return Feature(
        name,
        doc,
        f"{name.partition('_')[2]}(2 pi seconds / {period})",
        0,
        lambda bars: wave(2 * np.pi * (bars["timestamp"] // SECOND % period) / period),
        ("timestamp",),
    )


BAR_FEATURES: tuple[Feature, ...] = (
    *(_return(span) for span in (1, 3, 6, 12, 24, 48, 96)),
    *(_mean_gap(span) for span in (12, 48)),
    _volatility(48),
    _volatility_ratio(6, 48),
    _range_volatility("parkinson", _parkinson, 96, "Parkinson 1980", RANGE),
    _range_volatility("garman_klass", _garman_klass, 24, "Garman & Klass 1980", OHLC),
    _range_volatility("rogers_satchell", _rogers_satchell, 48, "Rogers & Satchell 1991", OHLC),
    _semivariance_balance(48),
    _autocorrelation(48),
    Feature(
        "body",
        "close less open as a share of the range",
        "(c - o) / (h - l), 0 for a bar without range",
        0,
        _body,
        OHLC,
    ),
    Feature(
        "close_in_range",
        "where the bar closed between its low (-1) and its high (1)",
        "(2c - h - l) / (h - l), 0 for a bar without range",
        0,
        _close_in_range,
        (*RANGE, *CLOSE),
    ),
    _wick_balance(12),
    _clock("day_sin", "time of day on a circle (UTC)", 1, np.sin),
    _clock("day_cos", "time of day on a circle (UTC)", 1, np.cos),
    _clock("week_sin", "time of week on a circle (UTC)", 7, np.sin),
    _clock("week_cos", "time of week on a circle (UTC)", 7, np.cos),
)
