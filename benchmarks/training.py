"""Samples a second and peak memory of our trainer, against Lightning and a DataLoader over the same network.

The network of the other side is `benchmarks.stock`: the same layers from torch's own modules. Its windows come from a
`Dataset` a window at a time, as they do everywhere; recipe, loss and augmentation are the same, AdamW is torch's
default. The sides take turns, each in a process of its own, and each side's best epoch counts.
"""

from __future__ import annotations

import gc
import json
import statistics
import subprocess
import sys
import time
from typing import Any

import torch

from benchmarks.memory import peak
from benchmarks.side import run_side
from core import presets
from core.config import DataConfig, SyntheticConfig, TrainingConfig
from core.data.dataset import Dataset, load_dataset

EPOCHS, ROUNDS, BATCH = 3, 3, 256
IDLE = {
    "a process that has imported torch": "import torch",
    "one that has made an optimizer, too": "import torch; torch.optim.AdamW(torch.nn.Linear(1, 1).parameters())",
}
"""What training's memory is held against; torch's optimizers import its compiler."""


def recipe() -> TrainingConfig:
    """`production_small` with the quick model."""
    config = presets.load_preset("production_small").training_config(size="quick", metric="macro_f1", seed=0)
    return config.with_trainer(batch_size=BATCH)


def earlier_recipe() -> TrainingConfig:
    """The same without the path from the last bar and without averaged weights."""
    config = recipe()
    model = config.model.model_copy(update={"last_bar": "none"})
    return config.model_copy(update={"model": model}).with_trainer(ema_decay=0.0)


def data() -> Dataset:
    """30 days of two symbols, 5-minute bars."""
    return load_dataset(DataConfig(synthetic=SyntheticConfig(bars=8640, symbols=("AAA", "BBB")))).without_test()


def ours(dataset: Dataset, config: TrainingConfig, device: torch.device) -> list[float]:
    """Seconds of each training epoch, without evaluation."""
    from core.training.trainer import Trainer

    trainer = Trainer(config, dataset, device)
    seconds = []
    for _ in range(EPOCHS):
        started = time.perf_counter()
        trainer._train_epoch()
        seconds.append(time.perf_counter() - started)
    return seconds


def measure(side: str, threads: int) -> dict[str, float]:
    """Samples a second of one side's best epoch, and the peak of memory of its process."""
    torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    made = data()
    gc.collect()
    if side in ("ours", "earlier"):
        seconds = ours(made, recipe() if side == "ours" else earlier_recipe(), device)
    else:
        from benchmarks.stock_loop import lightning_loop

        seconds = lightning_loop(recipe(), made, device, EPOCHS, workers=int(side.removeprefix("lightning")))
    return {"samples": len(made.train) / min(seconds), "peak": peak(), "matrix": made.features.nbytes / 2**20}


def _idle(code: str) -> float:
    """Peak of a process that does nothing but what this code says."""
    measured = f"{code}; from benchmarks.memory import peak; print(peak())"
    return float(subprocess.run([sys.executable, "-c", measured], check=True, capture_output=True, text=True).stdout)


def _child(*arguments: str) -> dict[str, Any]:
    measured: dict[str, Any] = run_side("benchmarks.training", *arguments, threads=int(arguments[-1]))
    return measured


def main() -> None:
    """Print a line a setting: the ratio of ours to the better of Lightning's; then the memory."""
    print(f"quick, batch {BATCH}, 60 bars a window, 30 days of 2 symbols; best of {EPOCHS} epochs x {ROUNDS}")
    sides = {"2": ("ours", "earlier", "lightning0", "lightning1"), "1": ("ours", "earlier", "lightning0")}
    for threads, racing in sides.items():
        samples: dict[str, list[float]] = {side: [] for side in racing}
        for _ in range(ROUNDS):
            for side in racing:
                samples[side].append(_child(side, threads)["samples"])
        middle = {side: statistics.median(values) for side, values in samples.items()}
        best = max(value for side, value in middle.items() if side.startswith("lightning"))
        rates = ", ".join(f"{side} {value:.0f}" for side, value in middle.items())
        print(f"{threads} thread(s), samples/s: {rates}; ours is {middle['ours'] / best:.2f}x the better Lightning")
        print(f"  with the path and the average, {middle['ours'] / middle['earlier']:.2f}x the speed without them")
    run = _child("ours", "2")
    allowed = 300 + 3 * run["matrix"]
    print(f"peak memory: {run['peak']:.0f} MiB; 300 MiB + 3x the features' {run['matrix']:.1f} MiB: {allowed:.0f} MiB")
    for what, code in IDLE.items():
        idle = _idle(code)
        added = run["peak"] - idle
        print(f"  above {what} ({idle:.0f} MiB): {added:.0f} MiB, {added / allowed:.2f}x that bound")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
    else:
        main()
