"""Write a small feature table, as your own feature store might hold it, and train from it.

    python examples/own_feature_table.py [FOLDER]

A table has one row for each symbol and bar: when the bar opens (UTC), the symbol, numbers that were known when the bar
closed, a label of what came next, and the log return over the same h bars. Features, label and return are taken as
they are; a feature whose rank correlation with the return exceeds 0.3 is refused, because it seems to know the future.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from core.config import DataConfig, TableConfig
from core.data import load_dataset
from core.presets import load_preset
from core.training import train_model

ROWS, HORIZON = 5000, 3


def write_table(path: Path) -> None:
    """Write a table of one symbol, in which `f_flow` says a little about the next returns, and `f_noise` nothing."""
    rng = np.random.default_rng(0)
    flow = rng.standard_normal(ROWS)
    log_price = np.cumsum(0.001 * (0.4 * np.roll(flow, 1) + rng.standard_normal(ROWS)))
    returns = np.append(log_price[HORIZON:] - log_price[:-HORIZON], np.full(HORIZON, np.nan))
    label = pd.Series(np.where(returns > 0.001, "BUY", np.where(returns < -0.001, "SELL", "HOLD")))
    pd.DataFrame(
        {
            "when": pd.date_range("2024-01-01", periods=ROWS, freq="h", tz="UTC"),
            "ticker": "ACME",
            "f_flow": flow,
            "f_noise": rng.standard_normal(ROWS),
            "y": label.where(np.isfinite(returns)),  # the last h rows do not know their future
            "forward_return": returns,
        }
    ).to_parquet(path)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else scratch)
        write_table(folder / "store.parquet")
        columns = {"timestamp": "when", "symbol": "ticker", "label": "y", "returns": "forward_return"}
        table = TableConfig(files=(folder / "store.parquet",), features=("f_*",), **columns)
        data = DataConfig(table=table, interval="1h", horizon=HORIZON, window=16)
        dataset = load_dataset(data)
        recipe = load_preset("quick_experiment").training_config(size="quick", metric="macro_f1", seed=0)
        recipe = recipe.with_trainer(epochs=4, learning_rate=1e-3)
        result = train_model(recipe, data, dataset, folder / "model", device="cpu")
        print(f"features: {', '.join(dataset.feature_names)}; {len(dataset.train)} train windows")
        print(f"direction AUC on val: {result.best.metrics['direction_auc']:.4f}")
