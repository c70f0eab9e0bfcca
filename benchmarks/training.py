"""Samples a second and peak memory of our trainer, against Lightning and a DataLoader over the same network.

The network of the other side is `benchmarks.stock`: the same layers from torch's own modules. Its windows come from a
`Dataset` a window at a time, as they do everywhere; recipe, loss and augmentation are the same, AdamW is torch's default. The sides take
turns, each in a process of its own, and each side's best run counts. `python -m benchmarks.training`
"""

from __future__ import annotations

import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from typing import Any

import numpy as np
import torch

from core import preset
from core.config import DataConfig, SyntheticConfig, TrainingConfig
from core.dataset import Dataset, load

EPOCHS = 3
ROUNDS = 3
BATCH = 256


def recipe(dataset_rows: int) -> TrainingConfig:
    """`production_small` with the quick model, whole batches only."""
    config = preset.load("production_small").training_config(size="quick", metric="macro_f1", seed=0)
    return config.with_trainer(batch_size=min(BATCH, dataset_rows))


def data() -> Dataset:
    """30 days of two symbols, 5-minute bars."""
    return load(DataConfig(synthetic=SyntheticConfig(bars=8640, symbols=("AAA", "BBB")))).without_test()


def ours(dataset: Dataset, device: torch.device) -> list[float]:
    """Seconds of each training epoch, without evaluation."""
    from core.trainer import Trainer

    trainer = Trainer(recipe(len(dataset.train)), dataset, device)
    return [_timed(trainer._train_epoch, device) for _ in range(EPOCHS)]


def _timed(run: Any, device: torch.device) -> float:
    started = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def lightning(dataset: Dataset, device: torch.device, workers: int) -> list[float]:
    """The same, by Lightning's Trainer over a DataLoader."""
    import logging
    import warnings

    warnings.filterwarnings("ignore")
    import lightning as pl
    from torch.utils.data import DataLoader

    from benchmarks.stock import StockHybrid
    from core import balance
    from core.augment import Augmenter
    from core.losses import MultiTaskLoss

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    config = recipe(len(dataset.train))

    class Windows(torch.utils.data.Dataset[Any]):
        def __init__(self) -> None:
            self.features = torch.from_numpy(dataset.features)
            self.targets = torch.nn.functional.one_hot(torch.from_numpy(dataset.labels).long().clamp_min(0), 3).float()
            self.returns = torch.from_numpy(dataset.returns)
            self.rows = dataset.train.tolist()

        def __len__(self) -> int:
            return len(self.rows)

        def __getitem__(self, place: int) -> Any:
            row = self.rows[place]
            return self.features[row - dataset.window + 1 : row + 1], self.targets[row], self.returns[row]

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = StockHybrid(config.model, dataset.features.shape[1], dataset.window)
            weights = balance.class_weights(dataset.labels[dataset.train], config.balance.class_weights)
            self.loss = MultiTaskLoss(config.loss, torch.tensor(weights, dtype=torch.float32))
            self.augment = Augmenter(config.augment, torch.Generator(device).manual_seed(0), np.random.default_rng(0))

        def training_step(self, batch: Any, _: int) -> Any:
            changed = self.augment(*batch)
            heads = self.model(changed.windows)
            return self.loss(*(h.float() for h in heads), changed.targets, changed.returns, changed.mixed)

        def configure_optimizers(self) -> Any:
            trainer = config.trainer
            return torch.optim.AdamW(self.parameters(), lr=trainer.learning_rate, weight_decay=trainer.weight_decay)

    class Clock(pl.Callback):
        def __init__(self) -> None:
            self.seconds: list[float] = []

        def on_train_epoch_start(self, *_: Any) -> None:
            self.started = time.perf_counter()

        def on_train_epoch_end(self, *_: Any) -> None:
            if device.type == "cuda":
                torch.cuda.synchronize()
            self.seconds.append(time.perf_counter() - self.started)

    clock = Clock()
    loader = DataLoader(
        Windows(), BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0,
        pin_memory=device.type == "cuda",
    )  # fmt: skip
    pl.Trainer(
        max_epochs=EPOCHS, accelerator="gpu" if device.type == "cuda" else "cpu", devices=1,
        precision="bf16-mixed" if device.type == "cuda" else "32-true",
        gradient_clip_val=config.trainer.clip_norm, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[clock],
    ).fit(Module(), loader)  # fmt: skip
    return clock.seconds


def measure(side: str, threads: int) -> dict[str, float]:
    """Samples a second of one side's best epoch, and the peak of memory that it added to an idle torch process."""
    torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    made = data()
    gc.collect()
    seconds = ours(made, device) if side == "ours" else lightning(made, device, int(side.removeprefix("lightning")))
    return {
        "samples": len(made.train) / min(seconds),
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "matrix": made.features.nbytes / 2**20,
    }


def _child(*arguments: str) -> dict[str, float]:
    threads = arguments[1] if len(arguments) > 1 else "1"
    environment = {**os.environ, "OMP_NUM_THREADS": threads}
    command = [sys.executable, "-m", "benchmarks.training", *arguments]
    told = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    found: dict[str, float] = json.loads(told.splitlines()[-1])
    return found


def main() -> None:
    """Print a line a setting: the ratio of ours to the better of Lightning's; then the memory."""
    print(
        f"quick model, batch {BATCH}, windows of 60 bars, 30 days of 2 symbols; best epoch of {EPOCHS}, median of {ROUNDS} rounds"
    )
    for threads in ("1", "2"):
        sides = ("ours", "lightning0", "lightning1")
        found: dict[str, list[float]] = {side: [] for side in sides}
        for _ in range(ROUNDS):
            for side in sides:
                found[side].append(_child(side, threads)["samples"])
        middle = {side: statistics.median(values) for side, values in found.items()}
        best = max(middle["lightning0"], middle["lightning1"])
        print(
            f"{threads} thread(s): ours {middle['ours']:6.0f} samples/s, Lightning {middle['lightning0']:6.0f} in process, "
            f"{middle['lightning1']:6.0f} with a worker: {middle['ours'] / best:.2f}x the better"
        )
    peak, idle = _child("ours", "2"), _child("idle")
    added, matrix = peak["peak"] - idle["peak"], peak["matrix"]
    print(
        f"peak memory: {added:.0f} MiB above an idle torch process ({idle['peak']:.0f} MiB), features {matrix:.1f} MiB; "
        f"{added / (300 + 3 * matrix):.2f} of 300 MiB + 3x features"
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["idle"]:
        print(json.dumps({"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
    elif len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
    else:
        main()
