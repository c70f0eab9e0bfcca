from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from core.config import AugmentConfig, BalanceConfig, RankingMetric, Schedule, TrainingConfig
from core.data.dataset import Dataset
from core.data.labels import CLASSES, HOLD
from core.errors import ConfigError, NonFiniteLossError
from core.evaluation import baselines, calibration, metrics
from core.evaluation.backtest import run_backtest
from core.evaluation.history import EpochResult, cross_fitted_scores
from core.models import checkpoint
from core.models.windows import gather_windows
from core.training.device import resolve_device
from core.training.trainer import Trainer
from tests.helpers.market import NO_AUGMENTATION, cut, recipe

CPU = torch.device("cpu")
EVERYTHING = AugmentConfig(mixup_alpha=0.4, time_mask=0.3, noise_std=0.05, feature_dropout=0.1)
Scripted = Callable[[Sequence[float]], None]


@pytest.fixture(scope="module")
def short(dataset: Dataset) -> Dataset:
    """Return a dataset of three batches per epoch."""
    return cut(dataset, train=160, val=200)


def _rows(results: Sequence[EpochResult]) -> list[dict[str, Any]]:
    """Return what must repeat exactly: everything but the time it took."""
    return [result.as_row() | {"seconds": None} for result in results]


def _same_weights(first: Trainer, second: Trainer) -> bool:
    a, b = first.model.state_dict(), second.model.state_dict()
    return all(torch.equal(a[name], b[name]) for name in a)


def test_it_learns_the_planted_signal(dataset: Dataset) -> None:
    trainer = Trainer(recipe(epochs=4, dropout=0.2), dataset, CPU)
    results = list(trainer)
    assert [result.epoch for result in results] == [1, 2, 3, 4]
    assert results[-1].train_loss < results[0].train_loss
    majority = metrics.evaluate(
        dataset.labels[dataset.val], baselines.majority(dataset, dataset.val), dataset.timestamps[dataset.val]
    )
    assert results[-1].value > majority["macro_f1"] + 0.25
    assert results[-1].best_metrics["direction_auc"] > 0.85


def test_it_learns_with_every_augmentation(dataset: Dataset) -> None:
    results = list(Trainer(recipe(EVERYTHING, epochs=4), dataset, CPU))
    assert results[-1].best_metrics["direction_auc"] > 0.8


def test_the_model_trains_on_augmented_windows_and_is_evaluated_on_plain_ones(short: Dataset) -> None:
    windows: dict[bool, list[torch.Tensor]] = {True: [], False: []}
    trainer = Trainer(recipe(EVERYTHING), short, CPU)
    trainer.model.register_forward_pre_hook(lambda model, inputs: windows[model.training].append(inputs[0]))
    trainer.run_epoch()
    features = torch.from_numpy(short.features.copy())
    train, val = (gather_windows(features, torch.from_numpy(rows), short.window) for rows in (short.train, short.val))
    augmented = torch.cat(windows[True])
    assert augmented.shape == train.shape
    # Noise alone leaves no value as it was.
    plain = {window.numpy().tobytes() for window in train}
    assert not plain & {window.numpy().tobytes() for window in augmented}
    assert torch.equal(torch.cat(windows[False]), val)


def test_the_loss_is_given_the_targets_and_returns_of_the_blended_windows(short: Dataset) -> None:
    # The last bar of each window carries the return and the class of its row, so a blend carries theirs.
    features = short.features.copy()
    features[:, 0] = short.returns
    features[:, 1:4] = np.eye(len(CLASSES))[short.labels]
    config = recipe(NO_AUGMENTATION.model_copy(update={"mixup_alpha": 1.0}))
    trainer = Trainer(config, replace(short, features=features), CPU)
    windows: list[torch.Tensor] = []
    losses: list[tuple[torch.Tensor, ...]] = []
    trainer.model.register_forward_pre_hook(lambda model, inputs: windows.append(inputs[0]) if model.training else None)
    trainer._loss.register_forward_pre_hook(lambda _, inputs: losses.append(inputs))
    trainer.run_epoch()
    assert len(windows) == len(losses) == 3
    for blended, (_, _, _, targets, returns, mixed) in zip(windows, losses, strict=True):
        torch.testing.assert_close(blended[:, -1, 0], returns)
        torch.testing.assert_close(blended[:, -1, 1:4], targets)
        assert mixed.float().mean() > 0.5
        assert (targets.max(dim=1).values[mixed] < 1).any()


def test_each_epoch_trains_on_every_row_once_in_another_random_order(
    short: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(recipe(), short, CPU)
    batches: list[list[int]] = []
    step = trainer._step

    def recorded(rows: torch.Tensor) -> torch.Tensor:
        batches.append(rows.tolist())
        return step(rows)

    monkeypatch.setattr(trainer, "_step", recorded)
    orders = []
    for _ in range(2):
        batches.clear()
        trainer.run_epoch()
        assert [len(batch) for batch in batches] == [64, 64, 32]
        # Not only the batches are in random order: each holds rows from all of train.
        assert all(max(batch) - min(batch) > 100 for batch in batches)
        orders.append([row for batch in batches for row in batch])
    train = short.train.tolist()
    assert sorted(orders[0]) == sorted(orders[1]) == train
    assert orders[0] != orders[1]
    for order in orders:
        assert abs(np.corrcoef(np.arange(len(train)), order)[0, 1]) < 0.3


@pytest.mark.parametrize("schedule", get_args(Schedule))
@pytest.mark.parametrize("stop", [1, 3])
def test_a_training_resumed_from_its_checkpoint_is_the_same_to_the_last_bit(
    short: Dataset, tmp_path: Path, schedule: Schedule, stop: int
) -> None:
    config = recipe(EVERYTHING, dropout=0.3, schedule=schedule, epochs=5)
    whole = Trainer(config, short, CPU)
    expected = list(whole)

    first = Trainer(config, short, CPU)
    before = [first.run_epoch() for _ in range(stop)]
    checkpoint.save_checkpoint(tmp_path / "state.pt", {"trainer": first.state_dict()})
    second = Trainer(config, short, CPU)
    second.load_state_dict(checkpoint.load_checkpoint(tmp_path / "state.pt")["trainer"])

    assert _rows(before + list(second)) == _rows(expected)
    assert _same_weights(second, whole)
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


def test_the_seed_decides_everything(short: Dataset) -> None:
    torch.manual_seed(1)
    first = list(Trainer(recipe(EVERYTHING, seed=4), short, CPU))
    torch.manual_seed(2)
    assert _rows(list(Trainer(recipe(EVERYTHING, seed=4), short, CPU))) == _rows(first)
    assert _rows(list(Trainer(recipe(EVERYTHING, seed=5), short, CPU))) != _rows(first)


def test_trainers_share_a_process_without_touching_each_other(short: Dataset) -> None:
    configs = [recipe(EVERYTHING, seed=seed) for seed in (1, 2)]
    separate = [_rows(list(Trainer(config, short, CPU))) for config in configs]
    untouched = torch.get_rng_state()
    trainers = [Trainer(config, short, CPU) for config in configs]
    in_turn = [[trainer.run_epoch() for trainer in trainers] for _ in range(3)]
    assert [_rows(results) for results in zip(*in_turn, strict=True)] == separate
    assert torch.equal(torch.get_rng_state(), untouched)


def test_training_never_reads_test(dataset: Dataset) -> None:
    small = cut(dataset, 128)
    features, labels = small.features.copy(), small.labels.copy()
    late = small.timestamps >= small.borders.val[1]
    features[late] = np.nan
    labels[late] = -1
    poisoned = replace(small, features=features, labels=labels)
    assert _rows(list(Trainer(recipe(), poisoned, CPU))) == _rows(list(Trainer(recipe(), small, CPU)))


def test_val_chooses_the_epoch_and_teaches_nothing(dataset: Dataset) -> None:
    small = cut(dataset, 128)
    labels = small.labels.copy()
    labels[small.val] = labels[small.val][::-1]
    on_changed, on_original = (Trainer(recipe(), data, CPU) for data in (replace(small, labels=labels), small))
    changed, original = list(on_changed), list(on_original)
    assert [result.train_loss for result in changed] == [result.train_loss for result in original]
    assert [result.score for result in changed] != [result.score for result in original]
    assert _same_weights(on_changed, on_original)


def test_evaluation_can_be_repeated(short: Dataset) -> None:
    trainer = Trainer(recipe(dropout=0.5), short, CPU)
    trainer.run_epoch()
    rows = torch.from_numpy(short.val)
    first = trainer.probabilities(rows)
    assert first.dtype == np.float64
    np.testing.assert_allclose(first.sum(axis=1), 1)
    assert np.array_equal(trainer.probabilities(rows), first)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    """Return a function that sets the ranking metric of each epoch."""

    def script(scores: Sequence[float]) -> None:
        upcoming: Iterator[float] = iter(scores)

        def evaluate(dataset: Any, rows: Any, probabilities: Any, names: Sequence[str]) -> dict[str, float]:
            if "accuracy" not in names:  # the halves of val, which choose nothing here
                return dict.fromkeys(names, 0.0)
            return {"macro_f1": next(upcoming), "nll": 1.0}

        monkeypatch.setattr("core.training.trainer.evaluate_rows", evaluate)

    return script


def _run(config: TrainingConfig, dataset: Dataset) -> list[EpochResult]:
    return list(Trainer(config, cut(dataset, 64, 8), CPU))


def test_the_value_is_the_best_score_so_far(short: Dataset, scripted: Scripted) -> None:
    scripted([0.2, 0.4, 0.3, 0.4, 0.5])
    results = _run(recipe(epochs=5), short)
    assert [result.score for result in results] == [0.2, 0.4, 0.3, 0.4, 0.5]
    assert [result.value for result in results] == [0.2, 0.4, 0.4, 0.4, 0.5]
    # A tie is no improvement.
    assert [result.best_epoch for result in results] == [1, 2, 2, 2, 5]
    assert [result.best_metrics["macro_f1"] for result in results] == [0.2, 0.4, 0.4, 0.4, 0.5]


@pytest.mark.parametrize(("patience", "epochs"), [(1, 3), (2, 4), (3, 9), (None, 10)])
def test_patience_ends_a_training_that_no_longer_improves(
    short: Dataset, scripted: Scripted, patience: int | None, epochs: int
) -> None:
    scripted([0.2, 0.3, 0.1, 0.1, 0.4, 0.5, 0.4, 0.3, 0.2, 0.1])
    assert len(_run(recipe(epochs=10, patience=patience), short)) == epochs


def test_a_finished_training_runs_no_further(short: Dataset, scripted: Scripted) -> None:
    scripted([0.2] * 10)
    trainer = Trainer(recipe(epochs=2), cut(short, 64, 8), CPU)
    assert not trainer.finished
    assert len(list(trainer)) == 2
    assert trainer.finished
    assert list(trainer) == []


def test_the_best_weights_are_those_of_the_best_epoch(short: Dataset, scripted: Scripted) -> None:
    scripted([0.2, 0.9, 0.3])
    trainer = Trainer(recipe(), cut(short, 64, 8), CPU)
    copies = [{name: value.clone() for name, value in trainer.model.state_dict().items()} for _ in trainer]
    assert trainer.best is not None
    assert trainer.best.epoch == 2
    assert all(torch.equal(trainer.best_weights[name], value) for name, value in copies[1].items())
    assert any(not torch.equal(trainer.best_weights[name], value) for name, value in copies[2].items())


def test_an_undefined_score_is_beaten_by_any_defined_one(short: Dataset, scripted: Scripted) -> None:
    scripted([math.nan, 0.1, math.nan])
    results = _run(recipe(), short)
    assert [result.best_epoch for result in results] == [1, 2, 2]
    assert results[-1].value == 0.1


def test_an_undefined_score_beats_nothing_so_patience_runs_out(short: Dataset, scripted: Scripted) -> None:
    scripted([math.nan] * 6)
    results = _run(recipe(epochs=6, patience=2), short)
    assert [result.best_epoch for result in results] == [1, 1, 1]


@pytest.mark.parametrize("metric", get_args(RankingMetric))
def test_any_ranking_metric_can_choose_the_epoch(short: Dataset, metric: RankingMetric) -> None:
    results = list(Trainer(recipe(metric=metric), short, CPU))
    sign = -1 if metric == "nll" else 1
    scores = [sign * result.metrics[metric] for result in results]
    assert [result.score for result in results] == scores
    assert results[-1].value == max(scores)


def test_the_net_sharpe_is_that_of_following_the_calls_at_cost(short: Dataset) -> None:
    trainer = Trainer(recipe(epochs=1), short, CPU)
    result = trainer.run_epoch()
    calls = trainer.probabilities(torch.from_numpy(short.val)).argmax(axis=1)
    assert 0 < (calls != HOLD).sum() < len(calls)
    sharpe = run_backtest(short, short.val, calls, cost_bp=10.0).sharpe
    assert result.metrics["net_sharpe"] == sharpe
    assert run_backtest(short, short.val, calls, cost_bp=0.0).sharpe != sharpe
    assert run_backtest(short, short.val, len(CLASSES) - 1 - calls, cost_bp=10.0).sharpe != sharpe


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
            handle = trainer.model.register_forward_pre_hook(interruption)
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
    assert np.array_equal(evaluation.val_logits, expected.val_logits)
    assert (evaluation.calibration, evaluation.gap) == (expected.calibration, expected.gap)


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_interrupted_trainer_can_be_set_back_to_its_last_epoch(
    short: Dataset, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    config = recipe(EVERYTHING, dropout=0.3, warmup_steps=20, metric="direction_auc")
    whole = Trainer(config, short, CPU)
    expected = list(whole)
    assert [result.best_epoch for result in expected[:2]] == [1, 2]  # or nothing would be copied
    single = Trainer(config, short, CPU)
    single.run_epoch()
    state = checkpoint.checkpoint_bytes(single.state_dict())
    trainer = Trainer(config, short, CPU)
    _interrupt_second_epoch(trainer, moment, monkeypatch)
    trainer.load_state_dict(checkpoint.checkpoint_from_bytes(state, "state"))
    assert _rows(list(trainer)) == _rows(expected[1:])
    assert _same_weights(trainer, whole)


def _rates(dataset: Dataset, **trainer: Any) -> list[float]:
    return [result.learning_rate for result in _run(recipe(learning_rate=1e-3, **trainer), dataset)]


def test_a_constant_schedule_keeps_the_learning_rate(short: Dataset) -> None:
    assert _rates(short, schedule="constant", epochs=4) == [1e-3] * 4


def test_a_cosine_schedule_falls_to_nothing_over_its_epochs(short: Dataset) -> None:
    expected = [1e-3 * (1 + math.cos(math.pi * epoch / 12)) / 2 for epoch in range(12)]
    rates = _rates(short, schedule="cosine", epochs=12)
    assert rates == pytest.approx(expected)
    assert rates[-1] < 2e-5


def test_warm_restarts_come_after_10_and_30_epochs(short: Dataset) -> None:
    rates = _rates(short, schedule="warm_restarts", epochs=31)
    assert [epoch for epoch, rate in enumerate(rates) if rate == 1e-3] == [0, 10, 30]
    assert rates[9] < 5e-5
    assert rates[29] < 1e-5


def test_a_plateau_halves_the_learning_rate(short: Dataset, scripted: Scripted) -> None:
    scripted([0.5, 0.6, *[0.55] * 8])
    assert _rates(short, schedule="plateau", epochs=10) == [1e-3] * 8 + [5e-4] * 2


def _poisoned(dataset: Dataset) -> tuple[Dataset, int]:
    """Return a dataset, and a row of it at which a single train window begins."""
    poisoned = replace(dataset, features=dataset.features.copy(), train=dataset.train[:64])
    return poisoned, int(poisoned.train[0]) - poisoned.window + 1


def test_a_loss_that_is_not_finite_ends_the_training_at_once(short: Dataset) -> None:
    poisoned, row = _poisoned(short)
    poisoned.features[row, 0] = np.inf
    with pytest.raises(NonFiniteLossError, match="step 1 of epoch 1") as caught:
        Trainer(recipe(learning_rate=0.125), poisoned, CPU).run_epoch()
    assert (caught.value.step, caught.value.epoch) == (1, 1)
    assert "learning_rate=0.125" in caught.value.config


def test_a_loss_that_is_not_finite_is_placed_in_its_epoch(short: Dataset) -> None:
    poisoned, row = _poisoned(short)
    trainer = Trainer(recipe(batch_size=16), poisoned, CPU)
    assert math.isfinite(trainer.run_epoch().train_loss)
    # On the CPU the trainer reads the dataset's own memory.
    poisoned.features[row, 0] = np.nan
    with pytest.raises(NonFiniteLossError) as caught:
        trainer.run_epoch()
    assert caught.value.epoch == 2
    assert 1 <= caught.value.step <= 4


def test_a_batch_larger_than_train_is_refused(short: Dataset) -> None:
    with pytest.raises(ConfigError, match="A batch of 161 is larger than the 160 train windows"):
        Trainer(recipe(batch_size=161), short, CPU)
    Trainer(recipe(batch_size=160), short, CPU).run_epoch()


def test_the_last_batch_of_an_epoch_may_be_a_single_window(short: Dataset) -> None:
    assert math.isfinite(Trainer(recipe(EVERYTHING), cut(short, 65), CPU).run_epoch().train_loss)


def test_weight_decay_spares_biases_and_norms(short: Dataset) -> None:
    trainer = Trainer(recipe(weight_decay=0.3), short, CPU)
    decayed, spared = trainer._optimizer.param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.3, 0.0)
    assert {p.ndim >= 2 for p in decayed["params"]} == {True}
    assert {p.ndim >= 2 for p in spared["params"]} == {False}
    assert len(decayed["params"]) + len(spared["params"]) == len(list(trainer.model.parameters()))


def test_gradients_are_clipped_to_the_given_norm(short: Dataset) -> None:
    trainer = Trainer(recipe(clip_norm=1e-3), short, CPU)
    trainer.run_epoch()
    norm = torch.stack([p.grad.norm() for p in trainer.model.parameters()]).norm()
    assert norm.item() == pytest.approx(1e-3, rel=1e-3)


def test_a_result_is_plain_values(short: Dataset) -> None:
    row = Trainer(recipe(), short, CPU).run_epoch().as_row()
    assert json.loads(json.dumps(row)) == row
    assert row["seconds"] > 0


@pytest.mark.parametrize(("available", "device"), [(True, "cuda"), (False, "cpu")])
def test_auto_takes_the_gpu_if_there_is_one(monkeypatch: pytest.MonkeyPatch, available: bool, device: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    assert resolve_device("auto") == torch.device(device)
    assert resolve_device("cpu") == CPU


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="no CUDA device"):
        resolve_device("cuda")


def test_the_learning_rate_rises_over_the_first_steps(dataset: Dataset) -> None:
    trainer = Trainer(recipe(warmup_steps=8, batch_size=32), cut(dataset, train=160), torch.device("cpu"))
    rates: list[float] = []
    trainer._optimizer.register_step_pre_hook(lambda optimizer, *_: rates.append(optimizer.param_groups[0]["lr"]))
    trainer.run_epoch()
    trainer.run_epoch()
    np.testing.assert_allclose(rates, 1e-3 * np.minimum(np.arange(1, 11) / 8, 1))


def test_oversampling_trains_on_more_rows_and_refuses_to_compensate_twice(dataset: Dataset) -> None:
    config = recipe()
    double = config.model_copy(update={"balance": BalanceConfig(class_weights="balanced", oversample=True)})
    with pytest.raises(ConfigError, match="compensate twice"):
        Trainer(double, dataset, torch.device("cpu"))
    single = config.model_copy(update={"balance": BalanceConfig(class_weights="none", oversample=True)})
    trainer = Trainer(single, cut(dataset, train=200), torch.device("cpu"))
    counts = np.bincount(dataset.labels[dataset.train[:200]])
    assert len(trainer._train_rows()) == 3 * counts.max()


def test_the_best_weights_are_the_ones_evaluated(dataset: Dataset) -> None:
    trainer = Trainer(recipe(epochs=4, learning_rate=3e-3), cut(dataset, train=600), torch.device("cpu"))
    assert list(trainer)
    evaluation = trainer.evaluate_best()
    assert trainer.best is not None
    calls = evaluation.val_logits.argmax(axis=1)
    labels = dataset.labels[dataset.val[:128]]
    assert np.mean(calls == labels) == pytest.approx(trainer.best.metrics["accuracy"])
    assert evaluation.gap == evaluation.val_loss - evaluation.train_loss
    assert evaluation.calibration.temperature > 0


def _result(epoch: int, early: float, late: float, auc: tuple[float, float]) -> EpochResult:
    halves = [{"macro_f1": score, "direction_auc": a} for score, a in zip((early, late), auc, strict=True)]
    return EpochResult(epoch, 0.0, 0.0, 1, {"macro_f1": 0.0}, {}, 0.0, 0.0, 0.0, halves)


def test_each_half_of_val_is_judged_at_the_epoch_that_the_other_chose() -> None:
    history = [_result(1, 0.6, 0.1, (0.9, 0.5)), _result(2, 0.3, 0.2, (0.7, 0.6)), _result(3, 0.1, 0.5, (0.4, 0.8))]
    # The early half chose epoch 1, the late one epoch 3.
    scores = cross_fitted_scores(history, "macro_f1")
    assert scores == {"macro_f1": pytest.approx((0.1 + 0.1) / 2), "direction_auc": pytest.approx((0.4 + 0.5) / 2)}


def test_an_undefined_score_chooses_no_epoch() -> None:
    history = [_result(1, math.nan, 0.4, (0.5, 0.5)), _result(2, 0.2, math.nan, (0.6, 0.6))]
    assert cross_fitted_scores(history, "macro_f1")["direction_auc"] == pytest.approx((0.5 + 0.6) / 2)


def test_halves_are_halves_in_time_and_judged_as_the_whole_is(short: Dataset) -> None:
    trainer = Trainer(recipe(epochs=1, metric="net_sharpe"), short, CPU)
    (result,) = list(trainer)
    probabilities = trainer.probabilities(torch.from_numpy(short.val))
    times = short.timestamps[short.val]
    for half, chosen in zip(result.halves, (times <= np.median(times), times > np.median(times)), strict=True):
        expected = metrics.evaluate(short.labels[short.val[chosen]], probabilities[chosen], times[chosen])
        assert half["macro_f1"] == expected["macro_f1"]
        assert half["direction_auc"] == expected["direction_auc"]
        assert "net_sharpe" in half


@pytest.mark.parametrize("deterministic", [True, False])
def test_a_deterministic_training_is_the_same_training(short: Dataset, deterministic: bool) -> None:
    modes: list[bool] = []
    trainer = Trainer(recipe(epochs=1, deterministic=deterministic), short, CPU)
    trainer.model.stem.register_forward_pre_hook(lambda *_: modes.append(torch.are_deterministic_algorithms_enabled()))
    (result,) = list(trainer)
    assert set(modes) == {deterministic}
    assert not torch.are_deterministic_algorithms_enabled()
    (plain,) = list(Trainer(recipe(epochs=1), short, CPU))
    assert _rows([result]) == _rows([plain])


def test_a_dataset_without_validation_is_trained_on_without_a_score(short: Dataset) -> None:
    trainer = Trainer(recipe(epochs=2), replace(short, val=short.val[:0]), CPU)
    results = list(trainer)
    assert [result.metrics for result in results] == [{}, {}]
    assert [result.best_epoch for result in results] == [1, 2]
    assert all(math.isnan(result.score) for result in results)
    assert all(torch.equal(trainer.best_weights[name], value) for name, value in trainer.model.state_dict().items())


def test_the_calibration_is_fitted_on_val(dataset: Dataset) -> None:
    trainer = Trainer(recipe(epochs=2), cut(dataset, train=400, val=300), CPU)
    list(trainer)
    evaluation = trainer.evaluate_best()
    rows = dataset.val[:300]
    assert evaluation.calibration == calibration.fit_calibration(
        trainer.logits(torch.from_numpy(rows)), dataset.labels[rows]
    )


def test_the_gap_is_measured_evenly_over_all_of_train(monkeypatch: pytest.MonkeyPatch, dataset: Dataset) -> None:
    requests: list[np.ndarray] = []
    logits = Trainer.logits

    def recorded(trainer: Trainer, rows: torch.Tensor) -> np.ndarray:
        requests.append(rows.numpy())
        return logits(trainer, rows)

    trainer = Trainer(recipe(epochs=1), cut(dataset, train=1000, val=500), CPU)
    trainer.run_epoch()
    monkeypatch.setattr(Trainer, "logits", recorded)
    trainer.evaluate_best()
    sample = requests[1]
    assert len(sample) == 500
    assert (sample[0], sample[-1]) == (dataset.train[0], dataset.train[999])
    assert np.diff(np.searchsorted(dataset.train, sample)).max() <= 3


def test_weights_that_are_no_longer_finite_end_the_training(short: Dataset) -> None:
    trainer = Trainer(recipe(batch_size=160, learning_rate=1.0, weight_decay=1e30), short, CPU)
    with pytest.raises(NonFiniteLossError, match=r"weight_decay=1e\+30.*dropout=.*noise_std=") as caught:
        trainer.run_epoch()
    assert caught.value.epoch == 1


def test_the_state_of_another_recipe_is_refused(short: Dataset) -> None:
    state = Trainer(recipe(), short, CPU).state_dict()
    with pytest.raises(ConfigError, match="another recipe"):
        Trainer(recipe(learning_rate=0.05), short, CPU).load_state_dict(state)
