"""Features: causal, stationary functions of the bars of one segment.

A feature at bar t uses bars up to t, at most `warmup` bars before it, and nothing else: its value
does not depend on where the segment began. Rolling means and deviations are therefore computed
window by window, not by running sums that carry rounding errors along.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

Array = np.ndarray
Columns = Mapping[str, Array]
_DAY_SECONDS = 86_400
_SMALLEST_MOVE = 1e-6
"""Added to a volatility before its logarithm: a bar without any move is not infinitely calm."""


@dataclass(frozen=True)
class Feature:
    """One feature.

    Attributes:
        name: column name.
        doc: what it says, in one line.
        source: where its formula comes from.
        warmup: bars before t that it needs; the first `warmup` rows of a segment are dropped.
        compute: columns of one segment, each `[T]`, to values `[T]` (the first `warmup` are ignored).
        needs: columns beside open, high, low, close and volume without which it does not exist.
    """

    name: str
    doc: str
    source: str
    warmup: int
    compute: Callable[[Columns], Array]
    needs: tuple[str, ...] = ()


def _after(values: Array, skipped: int) -> Array:
    """Values that start `skipped` bars late, filled up in front."""
    return np.concatenate([np.zeros(skipped), values])


def _log_return(bars: Columns, span: int) -> Array:
    close = np.log(bars["close"])
    return _after(close[span:] - close[:-span], span)


def _rolling(values: Array, span: int, statistic: Callable[..., Array], fill: float = 0.0) -> Array:
    rolled = statistic(sliding_window_view(values, span), axis=-1)
    return np.concatenate([np.full(span - 1, fill), rolled])


def _log_root(variance: Array) -> Array:
    return np.asarray(np.log(np.sqrt(variance) + _SMALLEST_MOVE))


def _return(span: int) -> Feature:
    return Feature(
        f"return_{span}",
        f"log return over {span} bars",
        "log(close[t] / close[t-n])",
        span,
        lambda bars: _log_return(bars, span),
    )


def _volatility(span: int) -> Feature:
    return Feature(
        f"volatility_{span}",
        f"log of the root mean square one-bar return over {span} bars",
        "realised volatility, Andersen & Bollerslev 1998",
        span,
        lambda bars: _log_root(_rolling(_log_return(bars, 1) ** 2, span, np.mean)),
    )


def _parkinson(span: int) -> Feature:
    def compute(bars: Columns) -> Array:
        squares = np.log(bars["high"] / bars["low"]) ** 2 / (4 * np.log(2))
        return _log_root(_rolling(squares, span, np.mean))

    return Feature(f"parkinson_{span}", f"log range volatility over {span} bars", "Parkinson 1980", span - 1, compute)


def _mean_gap(span: int) -> Feature:
    return Feature(
        f"mean_gap_{span}",
        f"log of close over its mean of {span} bars",
        "log(close / SMA(n))",
        span - 1,
        lambda bars: np.log(bars["close"] / _rolling(bars["close"], span, np.mean, fill=1.0)),
    )


def _volume_surprise(span: int) -> Feature:
    def compute(bars: Columns) -> Array:
        volume = np.log1p(bars["volume"])
        return np.asarray(volume - _rolling(volume, span, np.mean))

    return Feature(
        f"volume_surprise_{span}",
        f"log volume less its mean of {span} bars",
        "log(1+v[t]) - mean(log(1+v))",
        span - 1,
        compute,
    )


def _close_in_range(bars: Columns) -> Array:
    width = bars["high"] - bars["low"]
    inside = (2 * bars["close"] - bars["high"] - bars["low"]) / np.where(width > 0, width, 1.0)
    return np.where(width > 0, inside, 0.0)


def _taker_share(bars: Columns) -> Array:
    """Buying less selling taker volume over all volume, in [-1, 1]; 0 in a bar without volume."""
    volume = bars["volume"]
    return np.where(volume > 0, 2 * bars["taker_buy_base"] / np.where(volume > 0, volume, 1.0) - 1, 0.0)


def _taker_imbalance(span: int) -> Feature:
    return Feature(
        f"taker_imbalance_{span}",
        f"mean taker imbalance over {span} bars",
        "2 taker_buy/volume - 1; Chordia, Roll & Subrahmanyam 2002",
        span - 1,
        lambda bars: _rolling(_taker_share(bars), span, np.mean),
        needs=("taker_buy_base",),
    )


def _clock(name: str, wave: Callable[[Array], Array]) -> Feature:
    return Feature(
        name,
        "time of day on a circle (UTC)",
        f"{name.removeprefix('day_')}(2 pi seconds / 86400)",
        0,
        lambda bars: wave(2 * np.pi * (bars["seconds"] % _DAY_SECONDS) / _DAY_SECONDS),
    )


FEATURES: tuple[Feature, ...] = (
    *(_return(span) for span in (1, 3, 12, 48)),
    *(_volatility(span) for span in (12, 48)),
    _parkinson(12),
    *(_mean_gap(span) for span in (12, 48)),
    Feature(
        "close_in_range",
        "where the bar closed between its low (-1) and its high (1)",
        "(2c - h - l) / (h - l)",
        0,
        _close_in_range,
    ),
    _volume_surprise(48),
    _clock("day_sin", np.sin),
    _clock("day_cos", np.cos),
    *(_taker_imbalance(span) for span in (1, 4, 12)),
)
"""All features, in the order of the dataset's columns. `bars["seconds"]` is the bar's opening in epoch seconds."""


def available(columns: Sequence[str]) -> list[Feature]:
    """The features that can be computed from these columns."""
    return [feature for feature in FEATURES if set(feature.needs) <= set(columns)]


def compute(bars: Columns, features: Sequence[Feature]) -> tuple[Array, int]:
    """All features of one segment.

    Args:
        bars: columns of the segment, each `[T]`.
        features: which features.

    Returns:
        values `[T, F]` in float64, and the warm-up: the rows in front that are not yet valid.
    """
    warmup = max(feature.warmup for feature in features)
    length = len(bars["close"])
    if length <= warmup:
        return np.zeros((length, len(features))), length
    return np.stack([feature.compute(bars) for feature in features], axis=1), warmup
