"""Columns made with later bars are found, whatever the horizon; columns of the past are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.config import DataConfig, SyntheticConfig, parse
from core.data.bars import Bars, read_bar_file
from core.data.dataset import load_dataset
from core.data.labels import by_thresholds, forward_returns, quantile_thresholds
from core.data.lookahead import find_lookahead
from core.data.market import SymbolData, bars_market
from core.data.sources.synthetic import make_bars
from core.errors import DataError
from tests.helpers.market import random_bars

MakeColumn = Callable[[pd.Series, int], pd.Series]
"""Makes a column from closing prices and a horizon."""

DAY = 288
"""Number of bars of 5 minutes in a day."""


def _held(column: pd.Series, bars: int = DAY) -> pd.Series:
    """Return a column that keeps each value for a number of bars: the one that it has at the first of them."""
    return column[column.index % bars == 0].reindex(column.index).ffill()


def _past(close: pd.Series, bars: int = DAY) -> pd.Series:
    """Return the return over the bars before each bar, which is known when it opens."""
    return np.log(close.shift(1) / close.shift(bars + 1))


def _coming(close: pd.Series, bars: int = DAY) -> pd.Series:
    """Return the return over each bar and those after it, which is not known when it opens."""
    return np.log(close.shift(1 - bars) / close.shift(1))


def _walk(close: pd.Series) -> pd.Series:
    """Return a random walk that has nothing to do with the price."""
    return pd.Series(np.random.default_rng(5).normal(size=len(close)).cumsum(), index=close.index)


LEAKS: dict[str, MakeColumn] = {
    "return over the horizon": lambda close, h: np.log(close.shift(-h) / close),
    "return of the next bar": lambda close, h: np.log(close.shift(-1) / close),
    "return of the last bar": lambda close, h: np.log(close.shift(-h) / close.shift(1 - h)),
    "its negative": lambda close, h: np.log(close / close.shift(-1)),
    "size of the return of the next bar": lambda close, h: np.log(close.shift(-1) / close).abs(),
    "size of the return over the horizon": lambda close, h: np.log(close.shift(-h) / close).abs(),
    "next close": lambda close, h: close.shift(-1),
    "centred mean": lambda close, h: close.rolling(5, center=True).mean(),
    "whether the price will rise": lambda close, h: (close.shift(-h) > close).astype(float),
    "return of the day, held from its opening on": lambda close, h: _held(_coming(close)),
    "its size": lambda close, h: _held(_coming(close).abs()),
    "close of the day, held from its opening on": lambda close, h: _held(close.shift(1 - DAY)),
    "return of the coming eight hours, held": lambda close, h: _held(_coming(close, DAY // 3), DAY // 3),
    "return over a day from each bar on": lambda close, h: np.log(close.shift(-DAY) / close),
    "close in a day": lambda close, h: close.shift(-DAY),
}
HONEST: dict[str, MakeColumn] = {
    "close": lambda close, h: close,
    "return": lambda close, h: np.log(close / close.shift(1)),
    "size of the return": lambda close, h: np.log(close / close.shift(1)).abs(),
    "volatility": lambda close, h: np.log(close / close.shift(1)).rolling(24).std(),
    "trailing mean": lambda close, h: close.rolling(5).mean(),
    "constant": lambda close, h: close * 0 + 1,
    "rare jumps": lambda close, h: (close.index % 500 == 0) * close,
    "return of the day before, held": lambda close, h: _held(_past(close)),
    "its size, held": lambda close, h: _held(_past(close).abs()),
    "close of the day before, held": lambda close, h: _held(close.shift(1)),
    "volatility of the day before, held": lambda close, h: _held(_past(close, 1).rolling(DAY).std()),
    "funding that follows the past": lambda close, h: _held(_past(close, DAY // 3) + 1e-3 * _walk(close), DAY // 3),
    "random walk": lambda close, h: _walk(close),
    "random walk, held": lambda close, h: _held(_walk(close)),
    "mean of a day": lambda close, h: close.rolling(DAY).mean(),
    "highest price so far": lambda close, h: close.cummax(),
    "rounded price": lambda close, h: (close / close.mean() * 100).round(),
    "time": lambda close, h: close * 0 + close.index,
    "hour of the day": lambda close, h: close * 0 + close.index // 12 % 24,
}


def _find(bars: Bars, make: MakeColumn, horizon: int) -> str | None:
    """Return what is found in a column that is made from the closing prices of bars."""
    config = DataConfig(symbols=(bars.symbol,), horizon=horizon)
    data = bars_market([bars], config).symbols[0]
    column = make(bars.frame["close"], horizon).fillna(0.0).to_numpy(dtype=float)
    train = np.flatnonzero(data.usable)
    labels = by_thresholds(data.scores, *quantile_thresholds(data.scores[train], (0.25, 0.75)))
    found = find_lookahead(_with_column(data, column), {"column": 0}, train, labels, horizon)
    return found[1] if found else None


def _with_column(data: SymbolData, column: np.ndarray) -> SymbolData:
    return SymbolData(**{**vars(data), "features": column[:, None]})


@pytest.fixture(scope="module", params=["constant", "garch"])
def bars(request: pytest.FixtureRequest) -> Bars:
    return make_bars(SyntheticConfig(bars=6000, signal=0.1, variance=request.param), "5m")[0]


@pytest.mark.parametrize("horizon", [1, 12, 48])
@pytest.mark.parametrize("leak", LEAKS)
def test_a_column_of_the_future_is_found(bars: Bars, leak: str, horizon: int) -> None:
    assert _find(bars, LEAKS[leak], horizon)


@pytest.mark.parametrize("horizon", [1, 12, 48])
@pytest.mark.parametrize("honest", HONEST)
def test_a_column_of_the_past_is_not_found(bars: Bars, honest: str, horizon: int) -> None:
    assert _find(bars, HONEST[honest], horizon) is None


def test_the_message_says_what_the_column_predicts(bars: Bars) -> None:
    assert _find(bars, LEAKS["next close"], 12) == (
        "its change from bar to bar has rank correlation +1.00 with the return of bar t+1 (the limit is 0.3)"
    )
    finding = _find(bars, LEAKS["size of the return over the horizon"], 12)
    assert finding is not None
    assert "with the size of the return over the horizon (the limit is 0.7)" in finding


def test_a_column_that_separates_a_label_without_following_its_return_is_found(bars: Bars) -> None:
    # HOLD lies in the middle: whether a label is HOLD has no correlation with the return.
    def is_hold(close: pd.Series, horizon: int) -> pd.Series:
        returns = forward_returns(close.to_numpy(), horizon)
        low, high = np.nanquantile(returns, (0.25, 0.75))
        noise = np.random.default_rng(3).normal(0, 0.5, len(close))
        return pd.Series(((returns > low) & (returns < high)) + noise)

    finding = _find(bars, is_hold, 12)
    assert finding is not None
    assert finding.startswith("its value tells HOLD from the rest with an AUC of 0.9")


@pytest.mark.parametrize(("column", "is_leak"), [(_coming, True), (_past, False)])
def test_a_column_that_is_held_for_a_day_may_not_know_that_day(
    tmp_path: Path, column: Callable[[pd.Series], pd.Series], is_leak: bool
) -> None:
    frame = random_bars(DAY * 40).frame
    values = column(frame["close"])
    frame["daily"] = values.where(frame.index % DAY == 0)  # a value at the first bar of each day
    frame.to_parquet(tmp_path / "binance_BTCUSDT_5m.parquet")
    config = parse(DataConfig, {"files": [str(tmp_path)], "features": {"daily": {"hold": "24h"}}}, "test")
    if is_leak:
        with pytest.raises(
            DataError, match=r"Feature daily of BTCUSDT .* over the 287 bars for which it keeps a value"
        ):
            load_dataset(config)
    else:
        assert "daily" in load_dataset(config).feature_names


def test_no_price_after_the_train_rows_is_read(bars: Bars) -> None:
    data = bars_market([bars], DataConfig(symbols=(bars.symbol,), horizon=3)).symbols[0]
    train = np.flatnonzero(data.usable)[:3000]
    labels = by_thresholds(data.scores, -1e-3, 1e-3)
    column = bars.frame["close"].shift(-1).ffill().to_numpy()
    found = find_lookahead(_with_column(data, column), {"column": 0}, train, labels, 3)
    end = train[-1] + 3 + 1
    later = {name: getattr(data, name).copy() for name in ("log_prices", "returns")}
    for values in later.values():
        values[end:] = 7.0
    changed = SymbolData(**{**vars(_with_column(data, column)), **later})
    assert find_lookahead(changed, {"column": 0}, train, labels, 3) == found


@pytest.mark.real_data
@pytest.mark.parametrize("horizon", [1, 12])
@pytest.mark.parametrize("name", ["binance_BTCUSDT_1h", "binance_ETHUSDT_15m"])
def test_no_built_in_feature_of_real_bars_is_found(shared_data: Path, name: str, horizon: int) -> None:
    bars = read_bar_file(shared_data / f"{name}.parquet")
    market = bars_market([bars], DataConfig(symbols=(bars.symbol,), horizon=horizon))
    data = market.symbols[0]
    train = np.flatnonzero(data.usable)
    labels = by_thresholds(data.scores, *quantile_thresholds(data.scores[train], (0.25, 0.75)))
    columns = {feature: index for index, feature in enumerate(market.feature_names)}
    assert find_lookahead(data, columns, train, labels, horizon) is None
