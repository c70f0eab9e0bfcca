"""The training loop as one would write it with Lightning and a DataLoader."""

from __future__ import annotations

import logging
import time
import warnings
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from sklearn.metrics import f1_score
from torch.utils.data import DataLoader

from benchmarks.stock import StockHybrid
from core.config import TrainingConfig
from core.data.dataset import Dataset
from core.training import class_balance
from core.training.augment import Augmenter
from core.training.losses import MultiTaskLoss

warnings.filterwarnings("ignore")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Windows(torch.utils.data.Dataset[Any]):
    """A window at a time."""

    def __init__(self, dataset: Dataset, rows: np.ndarray) -> None:
        self.window = dataset.window
        self.features = torch.from_numpy(dataset.features)
        self.targets = torch.nn.functional.one_hot(torch.from_numpy(dataset.labels).long().clamp_min(0), 3).float()
        self.returns = torch.from_numpy(dataset.returns)
        self.rows = rows.tolist()

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> Any:
        """Window `[L, F]`, target `[3]`, return."""
        row = self.rows[place]
        return self.features[row - self.window + 1 : row + 1], self.targets[row], self.returns[row]


class Module(lightning.LightningModule):
    """The stock network with the recipe's loss and augmentation."""

    def __init__(self, config: TrainingConfig, dataset: Dataset, device: torch.device) -> None:
        super().__init__()
        self.config = config
        self.model = StockHybrid(config.model, dataset.features.shape[1], dataset.window)
        weights = class_balance.compute_class_weights(dataset.labels[dataset.train], config.balance.class_weights)
        self.loss = MultiTaskLoss(config.loss, torch.tensor(weights, dtype=torch.float32))
        generator = torch.Generator(device).manual_seed(0)
        self.augment = Augmenter(config.augment, generator, np.random.default_rng(0))
        self.called: list[torch.Tensor] = []
        self.labels: list[torch.Tensor] = []
        self.macro_f1 = 0.0

    def training_step(self, batch: Any, _: int) -> Any:
        """The loss of one batch."""
        changed = self.augment(*batch)
        heads = self.model(changed.windows)
        return self.loss(*(head.float() for head in heads), changed.targets, changed.returns, changed.mixed)

    def validation_step(self, batch: Any, _: int) -> None:
        """Keep what is predicted of one batch."""
        windows, targets, _ = batch
        self.called.append(self.model(windows).direction.argmax(dim=1))
        self.labels.append(targets.argmax(dim=1))

    def on_validation_epoch_end(self) -> None:
        """Score the epoch."""
        self.macro_f1 = float(f1_score(torch.cat(self.labels), torch.cat(self.called), average="macro"))
        self.called.clear()
        self.labels.clear()

    def configure_optimizers(self) -> Any:
        """AdamW as torch makes it."""
        trainer = self.config.trainer
        return torch.optim.AdamW(self.parameters(), lr=trainer.learning_rate, weight_decay=trainer.weight_decay)


class Clock(Callback):
    """Seconds of each epoch."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.started = 0.0

    def on_train_epoch_start(self, *_: Any) -> None:
        """Start the clock."""
        self.started = time.perf_counter()

    def on_train_epoch_end(self, *_: Any) -> None:
        """Stop it, when the device is done."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds.append(time.perf_counter() - self.started)


def lightning_loop(
    config: TrainingConfig, dataset: Dataset, device: torch.device, epochs: int, workers: int
) -> list[float]:
    """Seconds of each training epoch, without evaluation."""
    clock, on_gpu = Clock(), device.type == "cuda"
    loader: DataLoader[Any] = DataLoader(
        Windows(dataset, dataset.train),
        config.trainer.batch_size,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=on_gpu,
    )
    lightning.Trainer(
        max_epochs=epochs,
        accelerator="gpu" if on_gpu else "cpu",
        devices=1,
        precision="bf16-mixed" if on_gpu else "32-true",
        gradient_clip_val=config.trainer.clip_norm,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[clock],
    ).fit(Module(config, dataset, device), loader)
    return clock.seconds
