"""Train a preset on the synthetic market, print its metrics, and predict with the trained model.

    python examples/train_a_preset.py
    python examples/train_a_preset.py production_small --epochs 10 --output checkpoints/example

For recorded bars, replace `synthetic=…` by `files=(Path("data/binance_BTCUSDT_5m.parquet"),)`. The command line does
the same: `preset-train --preset quick_experiment --synthetic --output-dir checkpoints/example`.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch

from core.config import DataConfig, SyntheticConfig
from core.data import load_dataset, read_market
from core.inference import TrainedModel
from core.presets import load_preset
from core.training import train_model


def main(preset: str, epochs: int, output: Path) -> None:
    """Train, evaluate and predict.

    Args:
        preset: name of a preset, or path of its file.
        epochs: number of epochs to train.
        output: folder for the checkpoint, the metrics and the curves.
    """
    data = DataConfig(synthetic=SyntheticConfig(bars=5000))
    recipe = load_preset(preset).training_config(seed=0).with_trainer(epochs=epochs)
    result = train_model(
        recipe, data, load_dataset(data), output, device="cpu",
        on_epoch=lambda epoch: print(f"epoch {epoch.epoch}: macro-F1 {epoch.score:.4f} on val"),
    )  # fmt: skip
    print("on val, which chose the epoch:")
    for name, value in result.best.metrics.items():
        print(f"  {name:17s} {value:8.4f}")
    # Anyone who has the checkpoint can predict bars of the same interval and with the same columns.
    trained = TrainedModel.load(output / "checkpoint.pt")
    calls = trained.predict(read_market(data, labelled=False, features=trained.features), torch.device("cpu"))
    print("the newest predictions:")
    print(calls[["timestamp", "symbol", "sell", "hold", "buy", "call"]].tail(3).to_string(index=False))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset", nargs="?", default="quick_experiment")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--output", type=Path, help="a temporary folder, if none is named")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        main(arguments.preset, arguments.epochs, arguments.output or Path(scratch))
