"""Features of volume and taker flow: how much is traded, who initiates it, and how far it moves the price.

Volumes enter as shares of each other, so that the unit of volume does not matter.
"""

from __future__ import annotations

import numpy as np

from core.data.features.base import Feature
from core.data.features.rolling import MIN_MOVE, MIN_SHARE, correlation, log_return, log_share, mean, quotient
from core.data.file_format import UNTRADED, Array, Columns

_LONG_RUN = 96
"""Bars of the long span that a short one is compared with."""


def _volume_surprise(bars: Columns) -> Array:
    return log_share(bars["volume"], mean(bars["volume"], 48))


def _volume_trend(bars: Columns) -> Array:
    return log_share(mean(bars["volume"], 12), mean(bars["volume"], _LONG_RUN))


def _volume_return_correlation(bars: Columns) -> Array:
    volume = bars["volume"]
    return correlation(log_return(bars), volume, 48, MIN_MOVE, MIN_SHARE * mean(volume, 48))


def _illiquidity(bars: Columns) -> Array:
    size = np.abs(log_return(bars)) + MIN_MOVE
    money = bars["close"] * bars["volume"]
    share = quotient(money, mean(money, _LONG_RUN), otherwise=1.0)
    return np.asarray(np.log(mean(size / (share + MIN_SHARE), 12) / mean(size, _LONG_RUN)))


def _taker_share(bars: Columns) -> Array:
    """Compute buying less selling taker volume over all volume, in [-1, 1]; 0 in a bar without volume."""
    return quotient(2 * bars["taker_buy_base"] - bars["volume"], bars["volume"])


def _taker_imbalance(span: int) -> Feature:
    return Feature(
        f"taker_imbalance_{span}",
        f"mean taker imbalance over {span} bars",
        "mean((buys - sells) / volume), 0 for a bar without volume; Chordia, Roll & Subrahmanyam 2002",
        span - 1,
        lambda bars: mean(_taker_share(bars), span),
        ("volume", "taker_buy_base"),
    )


def _flow_agreement(bars: Columns) -> Array:
    returns = log_return(bars)
    return np.asarray(mean(_taker_share(bars) * returns, 12) / (mean(np.abs(returns), 12) + MIN_MOVE))


def _flow_impact(bars: Columns) -> Array:
    return correlation(log_return(bars), _taker_share(bars), 48, MIN_MOVE, MIN_SHARE)


def _trade_size_surprise(bars: Columns) -> Array:
    size = quotient(bars["quote_volume"], bars["trades"])
    average = quotient(mean(bars["quote_volume"], 48), mean(bars["trades"], 48))
    return np.where(size > 0, log_share(size, average), 0.0)


def _trades_surprise(bars: Columns) -> Array:
    return log_share(bars["trades"], mean(bars["trades"], 48))


def _traded_price_gap(bars: Columns) -> Array:
    price = quotient(mean(bars["quote_volume"], 12), mean(bars["volume"], 12))
    return np.asarray(np.log(bars["close"] / np.where(price > 0, price, bars["close"])))


VOLUME_FEATURES: tuple[Feature, ...] = (
    Feature(
        "volume_surprise_48",
        "log of volume over its mean of 48 bars",
        "log(v / mean(v) + 0.01); 0.01 where nothing was traded",
        47,
        _volume_surprise,
        ("volume",),
    ),
    Feature(
        f"volume_trend_12_{_LONG_RUN}",
        f"log of the mean volume of 12 bars over that of {_LONG_RUN}",
        "log(mean(v, 12) / mean(v, 96) + 0.01); 0.01 where nothing was traded",
        _LONG_RUN - 1,
        _volume_trend,
        ("volume",),
    ),
    Feature(
        "volume_return_correlation_48",
        "correlation of volume with the return of its bar, over 48 bars",
        "corr(v, r), 0 where nothing was traded; Karpoff 1987",
        48,
        _volume_return_correlation,
        ("close", "volume"),
    ),
    Feature(
        "illiquidity_12",
        f"log of the absolute return over money traded, mean of 12 bars relative to {_LONG_RUN} bars",
        "Amihud 2002: log(mean((|r| + 1e-6) / (m / mean(m) + 0.01)) / mean(|r| + 1e-6)), m = c v",
        _LONG_RUN + 10,
        _illiquidity,
        ("close", "volume"),
    ),
    *(_taker_imbalance(span) for span in (1, 4, 12, 48)),
    Feature(
        "flow_agreement_12",
        "how far returns had the sign of the taker flow, over 12 bars",
        "mean(imbalance r) / (mean(|r|) + 1e-6); after Hasbrouck 1991",
        12,
        _flow_agreement,
        ("close", "volume", "taker_buy_base"),
    ),
    Feature(
        "flow_impact_48",
        "correlation of taker imbalance with the return of its bar, over 48 bars",
        "corr(imbalance, r); after Kyle 1985",
        48,
        _flow_impact,
        ("close", "volume", "taker_buy_base"),
    ),
    Feature(
        "trade_size_surprise_48",
        "log of the mean size of a trade over that of 48 bars",
        "log(s / mean(s) + 0.01), s = quote volume / trades; 0 in a bar without trades",
        47,
        _trade_size_surprise,
        ("quote_volume", "trades"),
    ),
    Feature(
        "trades_surprise_48",
        "log of the number of trades over its mean of 48 bars",
        "log(k / mean(k) + 0.01); 0.01 where nothing was traded",
        47,
        _trades_surprise,
        ("trades",),
    ),
    Feature(
        "traded_price_gap_12",
        "log of close over the mean price paid in 12 bars",
        "log(c / VWAP), VWAP = sum(quote volume) / sum(volume); 0 where nothing was traded",
        11,
        _traded_price_gap,
        ("close", "volume", "quote_volume"),
    ),
    Feature(
        UNTRADED,
        "whether the bar was filled into a gap, because nothing was traded",
        "1 in such bars, 0 in others",
        0,
        lambda bars: bars[UNTRADED],
        (UNTRADED,),
    ),
)
"""Features of volume; those of taker flow are available only where the exchange records it."""
