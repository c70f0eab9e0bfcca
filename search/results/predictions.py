"""What a training leaves beside its figures: what it predicted, and what following it would have earned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from core.data.dataset import Dataset
from core.data.labels import CLASSES
from core.evaluation.backtest import compute_trade_returns

VAL, TEST = "val", "test"
INCUMBENT = -1
"""Stands for a trial's number where the incumbent was trained."""
_PROBABILITIES = [name.lower() for name in CLASSES]


@dataclass(frozen=True)
class Source:
    """Where predictions come from.

    Attributes:
        number: the trial's whose values were trained with, or `INCUMBENT`.
        seed: of the training.
        split: the rows predicted: val of the search, `fold 1` and so on (out of fold), or test.
    """

    number: int
    seed: int
    split: str


def predictions_table(source: Source, dataset: Dataset, rows: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    """A row a row predicted: label and probabilities, which are not calibrated.

    Args:
        source: where they come from.
        dataset: where labels come from.
        rows: `[N]`.
        probabilities: `[N, 3]`.
    """
    return _marked(
        source,
        {
            "timestamp": pd.to_datetime(dataset.timestamps[rows], unit="us", utc=True),
            "symbol": np.array(dataset.symbol_names)[dataset.symbols[rows]],
            "label": dataset.labels[rows],
            **{name: probabilities[:, k].astype(np.float32) for k, name in enumerate(_PROBABILITIES)},
        },
    )


def returns_table(source: Source, dataset: Dataset, rows: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    """A row an instant at which trades end: what they add, net, to the capital of all symbols."""
    when, net = compute_trade_returns(dataset, rows, probabilities.argmax(axis=1))
    sums = pd.Series(net, index=pd.to_datetime(when, unit="us", utc=True)).groupby(level=0).sum()
    return _marked(source, {"timestamp": sums.index, "net_return": sums.to_numpy()})


def _marked(source: Source, columns: dict[str, object]) -> pd.DataFrame:
    table = pd.DataFrame(columns)
    table.insert(0, "number", np.int32(source.number))
    table.insert(1, "seed", np.int64(source.seed))
    table.insert(2, "split", source.split)
    return table


def probabilities_of(predictions: pd.DataFrame) -> np.ndarray:
    """The probabilities `[N, 3]` of a table of predictions."""
    return predictions[_PROBABILITIES].to_numpy(dtype=np.float64)
