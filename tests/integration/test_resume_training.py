"""A training that is interrupted at any epoch and goes on in another process ends with the same bits."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import torch

from core.config import AugmentConfig, BalanceConfig
from core.data.dataset import load_dataset
from core.models import checkpoint
from core.training.trainer import Trainer
from tests.helpers.market import cut, market_config, recipe
from tests.helpers.processes import HANG_SECONDS

EPOCHS = 6
CONFIG = recipe(
    AugmentConfig(mixup_alpha=0.4, time_mask=0.3, noise_std=0.05, feature_dropout=0.1),
    epochs=EPOCHS,
    schedule="warm_restarts",
    warmup_steps=7,
).model_copy(update={"balance": BalanceConfig(class_weights="none", oversample=True)})
BY_CONTINUING = "from pathlib import Path; from tests.integration.test_resume_training import go_on; go_on(Path({!r}))"


def _trainer() -> Trainer:
    return Trainer(CONFIG, cut(load_dataset(market_config()), train=160), torch.device("cpu"))


def go_on(state: Path) -> None:
    """What the other process does: run what is left, and write what it came to beside the state."""
    torch.set_num_threads(1)
    trainer = _trainer()
    trainer.load_state_dict(checkpoint.load_checkpoint(state))
    rows = [result.as_row() | {"seconds": None} for result in trainer]
    checkpoint.save_checkpoint(state.with_name("end.pt"), trainer.state_dict())
    state.with_name("rows.json").write_text(json.dumps(rows))


def test_the_rest_is_bit_identical_in_a_new_process(tmp_path: Path) -> None:
    stop = random.SystemRandom().randrange(1, EPOCHS)
    whole = _trainer()
    rows = []
    for result in whole:
        rows.append(result.as_row() | {"seconds": None})
        if result.epoch == stop:
            checkpoint.save_checkpoint(tmp_path / "state.pt", whole.state_dict())
    command = [sys.executable, "-c", BY_CONTINUING.format(str(tmp_path / "state.pt"))]
    subprocess.run(command, check=True, timeout=HANG_SECONDS)
    assert json.loads((tmp_path / "rows.json").read_text()) == rows[stop:], f"interrupted after epoch {stop}"
    end, expected = checkpoint.load_checkpoint(tmp_path / "end.pt"), whole.state_dict()
    for group in ("model", "best_weights"):
        assert all(torch.equal(end[group][name], value) for name, value in expected[group].items())
    moments = expected["optimizer"]["state"]
    assert all(torch.equal(end["optimizer"]["state"][p]["exp_avg"], moments[p]["exp_avg"]) for p in moments)
    assert end["random"]["rng"] == expected["random"]["rng"]
