"""Compares the losses of twenty training steps with recorded ones: numbers must not change unintentionally.

After an intended change, record them again: `python -m tests.golden.test_loss_curve`.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from core.config import AugmentConfig, ModelConfig, TrainerConfig, TrainingConfig
from core.data.dataset import load_dataset
from core.training.trainer import Trainer
from tests.helpers.market import cut, market_config

GOLDEN = Path(__file__).parent / "loss_curve.json"
STEPS, BATCH = 20, 32


def losses() -> list[float]:
    """Return the losses in float64 of steps whose weights, order and data all follow from integers."""
    config = TrainingConfig(
        model=ModelConfig(size="quick", dropout=0.0, last_bar="none", forest="none"),  # as the losses were recorded
        augment=AugmentConfig(mixup_alpha=0.0, time_mask=0.0, noise_std=0.0, feature_dropout=0.0),
        trainer=TrainerConfig(learning_rate=1e-3, batch_size=BATCH, warmup_steps=4, schedule="cosine", epochs=2),
    )
    dataset = cut(load_dataset(market_config(bars=4000)), train=STEPS * BATCH)
    trainer = Trainer(config, dataset, torch.device("cpu"), torch.float64)
    # torch's normal numbers differ in their last digits from one processor to another; numpy's do not.
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for parameter in trainer.model.parameters():
            if parameter.ndim >= 2:
                parameter.copy_(torch.from_numpy(rng.uniform(-0.15, 0.15, parameter.shape)))
    trainer.model.train()
    rows = dataset.train[rng.permutation(len(dataset.train))]
    return [trainer._step(torch.from_numpy(batch)).item() for batch in np.split(rows, STEPS)]


def test_the_losses_are_the_recorded_ones() -> None:
    np.testing.assert_allclose(losses(), json.loads(GOLDEN.read_text()), rtol=1e-6)


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(losses(), indent=1) + "\n")
