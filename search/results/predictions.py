"""The tables that a training leaves beside its figures: its predictions, and the returns of following them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from core.data.dataset import Dataset
from core.data.labels import CLASSES
from core.evaluation.backtest import compute_trade_returns

VAL, TEST = "val", "test"
INCUMBENT = -1
"""The incumbent's number in these tables, where a trial has its own."""
_PROBABILITIES = [name.lower() for name in CLASSES]


@dataclass(frozen=True)
class Source:
    """The training and the rows that a table is of.

    Attributes:
        number: number of the trial whose hyperparameters were trained with, or `INCUMBENT`.
        seed: seed of the training.
        split: the rows predicted: `val` of the search, `fold 1` and so on (out of fold), or `test`.
    """

    number: int
    seed: int
    split: str


def make_predictions_table(
    source: Source, dataset: Dataset, rows: np.ndarray, probabilities: np.ndarray
) -> pd.DataFrame:
    """Make the table of a training's predictions, with a row for each row predicted.

    Args:
        source: the training and the split.
        dataset: holds the labels, the symbols and the timestamps of the rows.
        rows: the rows predicted, `[N]`, as indices into the dataset.
        probabilities: SELL, HOLD, BUY for each of these rows, `[N, 3]`, not calibrated.

    Returns:
        number, seed, split, timestamp, symbol, label and the three probabilities, N rows.
    """
    return _with_source(
        source,
        {
            "timestamp": pd.to_datetime(dataset.timestamps[rows], unit="us", utc=True),
            "symbol": np.array(dataset.symbol_names)[dataset.symbols[rows]],
            "label": dataset.labels[rows],
            **{name: probabilities[:, k].astype(np.float32) for k, name in enumerate(_PROBABILITIES)},
        },
    )


def make_returns_table(source: Source, dataset: Dataset, rows: np.ndarray, calls: np.ndarray) -> pd.DataFrame:
    """Make the table of the returns of following a training's calls, with a row for each instant of exits.

    Args:
        source: the training and the split.
        dataset: holds the returns and the timestamps of the rows.
        rows: the rows predicted, `[N]`, as indices into the dataset.
        calls: SELL, HOLD or BUY for each of these rows, `[N]`.

    Returns:
        number, seed, split, timestamp and net return: what the trades of all symbols that end at that instant add to
        the capital, after costs, as a fraction of all capital.
    """
    exits, net_returns = compute_trade_returns(dataset, rows, calls)
    sums = pd.Series(net_returns, index=pd.to_datetime(exits, unit="us", utc=True)).groupby(level=0).sum()
    return _with_source(source, {"timestamp": sums.index, "net_return": sums.to_numpy()})


def _with_source(source: Source, columns: dict[str, object]) -> pd.DataFrame:
    """Return a table of these columns, with those that say where its rows come from before them."""
    table = pd.DataFrame(columns)
    table.insert(0, "number", np.int32(source.number))
    table.insert(1, "seed", np.int64(source.seed))
    table.insert(2, "split", source.split)
    return table


def timestamps_of(table: pd.DataFrame) -> np.ndarray:
    """Return the timestamps of a table of predictions or returns, int64 `[N]`, in epoch microseconds."""
    naive = table["timestamp"].dt.tz_convert("UTC").dt.tz_localize(None)
    return np.asarray(naive.to_numpy("datetime64[us]").astype(np.int64))


def probabilities_of(predictions: pd.DataFrame) -> np.ndarray:
    """Return the probabilities of SELL, HOLD, BUY in a table of predictions, float64 `[N, 3]`."""
    return predictions[_PROBABILITIES].to_numpy(dtype=np.float64)
