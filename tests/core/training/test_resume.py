from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from core.config import AugmentConfig, Schedule
from core.data.dataset import Dataset
from core.errors import ConfigError
from core.evaluation.history import EpochResult
from core.models import checkpoint
from core.training.trainer import Trainer
from tests.core.training.conftest import Scripted, rows_of, same_weights
from tests.helpers.market import cut, recipe

CPU = torch.device("cpu")
EVERYTHING = AugmentConfig(mixup_alpha=0.4, time_mask=0.3, noise_std=0.05, feature_dropout=0.1)


@pytest.mark.parametrize("schedule", get_args(Schedule))
@pytest.mark.parametrize("stop", [1, 3])
def test_a_training_resumed_from_its_checkpoint_is_the_same_to_the_last_bit(
    short: Dataset, tmp_path: Path, schedule: Schedule, stop: int
) -> None:
    # Two epochs read all windows once, so that one of the stops lies between the two.
    config = recipe(EVERYTHING, dropout=0.3, schedule=schedule, epochs=5, epoch_windows=len(short.train) // 2 + 1)
    whole = Trainer(config, short, CPU)
    expected = list(whole)

    first = Trainer(config, short, CPU)
    before = [first.run_epoch() for _ in range(stop)]
    checkpoint.save_checkpoint(tmp_path / "state.pt", {"trainer": first.state_dict()})
    second = Trainer(config, short, CPU)
    second.load_state_dict(checkpoint.load_checkpoint(tmp_path / "state.pt")["trainer"])

    assert rows_of(before + list(second)) == rows_of(expected)
    assert same_weights(second, whole)
    assert second.best == replace(whole.best, seconds=second.best.seconds)
    assert all(torch.equal(second.best_weights[name], value) for name, value in whole.best_weights.items())


def test_the_learning_rate_is_restored_after_a_plateau(short: Dataset, tmp_path: Path, scripted: Scripted) -> None:
    config = recipe(schedule="plateau", epochs=20)
    tiny = cut(short, 64)
    scripted([0.5] * 30)
    first = Trainer(config, tiny, CPU)
    for _ in range(8):
        first.run_epoch()
    checkpoint.save_checkpoint(tmp_path / "state.pt", first.state_dict())
    second = Trainer(config, tiny, CPU)
    second.load_state_dict(checkpoint.load_checkpoint(tmp_path / "state.pt"))
    # Half after seven epochs, and again six later: the count of epochs without improvement is restored too.
    assert [second.run_epoch().learning_rate for _ in range(6)] == [5e-4] * 5 + [2.5e-4]


def test_the_state_of_another_recipe_is_refused(short: Dataset) -> None:
    state = Trainer(recipe(), short, CPU).state_dict()
    with pytest.raises(ConfigError, match="another recipe"):
        Trainer(recipe(learning_rate=0.05), short, CPU).load_state_dict(state)


class _Interruption:
    """Raises KeyboardInterrupt at a batch of the model, in training or in evaluation mode."""

    def __init__(self, training: bool, batch: int) -> None:
        self.training = training
        self.batches_left = batch

    def __call__(self, model: torch.nn.Module, _: Any) -> None:
        self.batches_left -= model.training == self.training
        if self.batches_left == 0:
            raise KeyboardInterrupt


def _interrupt_second_epoch(trainer: Trainer, moment: str, monkeypatch: pytest.MonkeyPatch) -> EpochResult:
    """Run one epoch, then begin another that is interrupted; return the result of the first."""
    first = trainer.run_epoch()
    with monkeypatch.context() as patch:
        if moment == "copying the weights":
            patch.setattr("copy.deepcopy", _interrupt)
        else:
            interruption = _Interruption(training=moment == "training", batch=2 if moment == "training" else 1)
            network = trainer.model if moment == "training" else trainer.evaluated
            handle = network.register_forward_pre_hook(interruption)
        with pytest.raises(KeyboardInterrupt):
            trainer.run_epoch()
    if moment != "copying the weights":
        handle.remove()
    return first


def _interrupt(_: Any) -> Any:
    raise KeyboardInterrupt


MOMENTS = ["training", "evaluation", "copying the weights"]


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_interrupted_epoch_changes_neither_the_count_nor_the_best_one(
    short: Dataset, monkeypatch: pytest.MonkeyPatch, scripted: Scripted, moment: str
) -> None:
    scripted([0.2, 0.5, 0.2])
    config = recipe(deterministic=True, dropout=0.3)
    trainer, untouched = (Trainer(config, short, CPU) for _ in range(2))
    first = _interrupt_second_epoch(trainer, moment, monkeypatch)
    assert trainer.epoch == first.epoch == 1
    assert trainer.best == first
    assert not torch.are_deterministic_algorithms_enabled()
    untouched.run_epoch()
    assert all(torch.equal(trainer.best_weights[name], value) for name, value in untouched.best_weights.items())
    evaluation, expected = trainer.evaluate_best(), untouched.evaluate_best()
    assert np.array_equal(evaluation.val.probabilities, expected.val.probabilities)
    assert (evaluation.calibration, evaluation.gap) == (expected.calibration, expected.gap)


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_interrupted_trainer_can_be_set_back_to_its_last_epoch(
    short: Dataset, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    config = recipe(EVERYTHING, dropout=0.3, warmup_steps=20, metric="auc")
    whole = Trainer(config, short, CPU)
    expected = list(whole)
    assert [result.best_epoch for result in expected[:2]] == [1, 2]  # or nothing would be copied
    single = Trainer(config, short, CPU)
    single.run_epoch()
    state = checkpoint.checkpoint_bytes(single.state_dict())
    trainer = Trainer(config, short, CPU)
    _interrupt_second_epoch(trainer, moment, monkeypatch)
    trainer.load_state_dict(checkpoint.checkpoint_from_bytes(state, "state"))
    assert rows_of(list(trainer)) == rows_of(expected[1:])
    assert same_weights(trainer, whole)
