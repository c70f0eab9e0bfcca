from __future__ import annotations

import copy
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.config import AugmentConfig, BalanceConfig, LossConfig, LossKind
from core.data.dataset import Dataset
from core.data.labels import CLASSES
from core.errors import ConfigError, NonFiniteLossError, NonFiniteOutputError
from core.evaluation import baselines, metrics
from core.models.forest import EQUAL_WEIGHT, blend
from core.models.windows import gather_windows
from core.training.forest_fit import fit_forest
from core.training.last_bar import fit_last_bar
from core.training.trainer import Trainer
from tests.core.training.conftest import rows_of, same_weights
from tests.helpers.market import NO_AUGMENTATION, cut, recipe

CPU = torch.device("cpu")
EVERYTHING = AugmentConfig(mixup_alpha=0.4, time_mask=0.3, noise_std=0.05, feature_dropout=0.1)


@pytest.mark.costly
def test_it_learns_the_planted_signal(dataset: Dataset) -> None:
    trainer = Trainer(recipe(epochs=4, dropout=0.2), dataset, CPU)
    results = list(trainer)
    assert [result.epoch for result in results] == [1, 2, 3, 4]
    assert results[-1].train_loss < results[0].train_loss
    majority = metrics.macro_f1(dataset.labels[dataset.val], baselines.majority(dataset, dataset.val).argmax(axis=1))
    assert results[-1].value > majority + 0.25
    assert results[-1].best_metrics["direction_auc"] > 0.85


@pytest.mark.costly
def test_it_learns_with_every_augmentation(dataset: Dataset) -> None:
    results = list(Trainer(recipe(EVERYTHING, epochs=4), dataset, CPU))
    assert results[-1].best_metrics["direction_auc"] > 0.8


@pytest.mark.costly
@pytest.mark.parametrize("kind", ["focal", "label_smoothing", "directional_accuracy"])
def test_it_learns_with_a_loss_of_the_direction_head_alone(dataset: Dataset, kind: LossKind) -> None:
    config = recipe(epochs=3, dropout=0.2).model_copy(update={"loss": LossConfig(kind=kind)})
    trainer = Trainer(config, dataset, CPU)
    untrained = copy.deepcopy(trainer.model.state_dict())
    results = list(trainer)
    assert results[-1].train_loss < results[0].train_loss
    assert results[-1].best_metrics["direction_auc"] > 0.7
    moved = {name for name, value in trainer.model.state_dict().items() if not torch.equal(value, untrained[name])}
    assert any(name.startswith("direction") for name in moved)
    assert not any(name.startswith(("confidence", "forecast")) for name in moved)


def test_the_model_trains_on_augmented_windows_and_is_evaluated_on_plain_ones(short: Dataset) -> None:
    windows: dict[bool, list[torch.Tensor]] = {True: [], False: []}
    trainer = Trainer(recipe(EVERYTHING), short, CPU)
    for network in (trainer.model, trainer.evaluated):
        network.register_forward_pre_hook(lambda model, inputs: windows[model.training].append(inputs[0]))
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


def test_the_seed_decides_everything(short: Dataset) -> None:
    torch.manual_seed(1)
    first = list(Trainer(recipe(EVERYTHING, seed=4), short, CPU))
    torch.manual_seed(2)
    assert rows_of(list(Trainer(recipe(EVERYTHING, seed=4), short, CPU))) == rows_of(first)
    assert rows_of(list(Trainer(recipe(EVERYTHING, seed=5), short, CPU))) != rows_of(first)


def test_trainers_share_a_process_without_touching_each_other(short: Dataset) -> None:
    configs = [recipe(EVERYTHING, seed=seed) for seed in (1, 2)]
    separate = [rows_of(list(Trainer(config, short, CPU))) for config in configs]
    untouched = torch.get_rng_state()
    trainers = [Trainer(config, short, CPU) for config in configs]
    in_turn = [[trainer.run_epoch() for trainer in trainers] for _ in range(3)]
    assert [rows_of(results) for results in zip(*in_turn, strict=True)] == separate
    assert torch.equal(torch.get_rng_state(), untouched)


def test_training_never_reads_test(dataset: Dataset) -> None:
    small = cut(dataset, 128)
    features, labels = small.features.copy(), small.labels.copy()
    late = small.timestamps >= small.borders.val[1]
    features[late] = np.nan
    labels[late] = -1
    poisoned = replace(small, features=features, labels=labels)
    assert rows_of(list(Trainer(recipe(), poisoned, CPU))) == rows_of(list(Trainer(recipe(), small, CPU)))


def test_val_chooses_the_epoch_and_teaches_nothing(dataset: Dataset) -> None:
    small = cut(dataset, 128)
    labels = small.labels.copy()
    labels[small.val] = labels[small.val][::-1]
    on_changed, on_original = (Trainer(recipe(), data, CPU) for data in (replace(small, labels=labels), small))
    changed, original = list(on_changed), list(on_original)
    assert [result.train_loss for result in changed] == [result.train_loss for result in original]
    assert [result.score for result in changed] != [result.score for result in original]
    assert same_weights(on_changed, on_original)


def test_evaluation_can_be_repeated(short: Dataset) -> None:
    trainer = Trainer(recipe(dropout=0.5), short, CPU)
    trainer.run_epoch()
    rows = torch.from_numpy(short.val)
    first = trainer.probabilities(rows)
    assert first.dtype == np.float64
    np.testing.assert_allclose(first.sum(axis=1), 1)
    assert np.array_equal(trainer.probabilities(rows), first)


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


def test_a_result_is_plain_values(short: Dataset) -> None:
    row = Trainer(recipe(), short, CPU).run_epoch().as_row()
    assert json.loads(json.dumps(row)) == row
    assert row["seconds"] > 0


def test_oversampling_trains_on_more_rows_and_refuses_to_compensate_twice(dataset: Dataset) -> None:
    config = recipe()
    double = config.model_copy(update={"balance": BalanceConfig(class_weights="balanced", oversample=True)})
    with pytest.raises(ConfigError, match="compensate twice"):
        Trainer(double, dataset, torch.device("cpu"))
    single = config.model_copy(update={"balance": BalanceConfig(class_weights="none", oversample=True)})
    trainer = Trainer(single, cut(dataset, train=200), torch.device("cpu"))
    trainer.run_epoch()
    counts = np.bincount(dataset.labels[dataset.train[:200]])
    assert trainer.steps == -(-3 * counts.max() // single.trainer.batch_size) > -(-200 // single.trainer.batch_size)


@pytest.mark.parametrize("deterministic", [True, False])
def test_a_deterministic_training_is_the_same_training(short: Dataset, deterministic: bool) -> None:
    modes: list[bool] = []
    trainer = Trainer(recipe(epochs=1, deterministic=deterministic), short, CPU)
    trainer.model.stem.register_forward_pre_hook(lambda *_: modes.append(torch.are_deterministic_algorithms_enabled()))
    (result,) = list(trainer)
    assert set(modes) == {deterministic}
    assert not torch.are_deterministic_algorithms_enabled()
    (plain,) = list(Trainer(recipe(epochs=1), short, CPU))
    assert rows_of([result]) == rows_of([plain])


def test_weights_that_are_no_longer_finite_end_the_training(short: Dataset) -> None:
    trainer = Trainer(recipe(batch_size=80, learning_rate=1.0, weight_decay=1e30), cut(short, 80), CPU)
    with pytest.raises(NonFiniteOutputError, match=r"weight_decay=1e\+30.*dropout=.*noise_std=") as caught:
        trainer.run_epoch()
    # The one training step had a finite loss; what is not finite is found by the evaluation after it.
    assert str(caught.value).startswith("The model's predictions are not finite when it is evaluated after 1 optimizer")


def test_a_model_that_is_evaluated_later_names_all_the_steps_it_was_trained_for(short: Dataset) -> None:
    poisoned = replace(short, features=short.features.copy())
    trainer = Trainer(recipe(epochs=2), poisoned, CPU)
    results = list(trainer)
    poisoned.features[poisoned.val[-1]] = np.nan
    with pytest.raises(NonFiniteOutputError, match=r"evaluated after 6 optimizer steps"):
        trainer.evaluate_best()
    assert len(results) == 2


def test_training_starts_at_the_fit_of_the_last_bar_and_not_again_after_it(short: Dataset) -> None:
    config, fitted = recipe(learning_rate=1e-9, ema_decay=0.0), []

    class Counted(Trainer):
        def _fit_simple_models(self) -> None:
            super()._fit_simple_models()
            fitted.append(self.steps)

    trainer = Counted(config, short, CPU)
    assert trainer.fit_seconds == 0
    trainer.run_epoch()
    fit = fit_last_bar(short, config)
    expected = short.features[short.val] @ fit.coefficients + fit.intercepts
    np.testing.assert_allclose(trainer._network_logits(torch.from_numpy(short.val)), expected, atol=1e-4)
    assert trainer.fit_seconds > 0
    resumed = Counted(config, short, CPU)
    resumed.load_state_dict(trainer.state_dict())
    trainer.run_epoch(), resumed.run_epoch()
    assert fitted == [0]


def test_training_begins_where_its_loss_is_smallest(short: Dataset) -> None:
    config = recipe(learning_rate=1e-9)
    trainer, fit = Trainer(config, short, CPU), fit_last_bar(short, config)
    trainer._fit_simple_models()
    seen: list[torch.Tensor] = []
    loss = trainer._loss
    loss.register_forward_pre_hook(lambda _, heads: seen.append(heads[0].detach()))
    rows = trainer._rows.train[:64]
    trainer._step(rows)
    expected = (short.features[rows] @ fit.coefficients + fit.intercepts) * fit.scale + fit.shift
    np.testing.assert_allclose(seen[0], expected, atol=1e-4)


def test_what_is_evaluated_and_kept_is_the_average_of_the_weights(short: Dataset) -> None:
    trainer = Trainer(recipe(epochs=1, ema_decay=0.9), short, CPU)
    trainer.run_epoch()
    kept, last = trainer.best_weights, trainer.model.state_dict()
    assert any(not torch.equal(kept[name], value) for name, value in last.items())
    logits = trainer._network_logits(torch.from_numpy(short.val))
    trainer.model.load_state_dict(kept)
    windows = gather_windows(torch.from_numpy(short.features), torch.from_numpy(short.val), short.window)
    with torch.inference_mode():
        np.testing.assert_allclose(trainer.model.eval()(windows).direction.numpy(), logits, atol=1e-5)
    plain = Trainer(recipe(epochs=1, ema_decay=0.0), short, CPU)
    plain.run_epoch()
    assert plain.evaluated is plain.model
    assert same_weights(plain, trainer) is False
    assert all(torch.equal(plain.best_weights[name], value) for name, value in plain.model.state_dict().items())


def test_predictions_are_a_blend_of_network_and_forest(short: Dataset) -> None:
    trainer = Trainer(recipe(epochs=1), short, CPU)
    trainer.run_epoch()
    assert trainer.forest is not None
    rows = torch.from_numpy(short.train[:100])
    forest, network = fit_forest(short).logits(short.features[rows]), trainer._network_logits(rows)
    np.testing.assert_allclose(trainer.logits(rows), blend(network, forest, EQUAL_WEIGHT))
    trainer.evaluate_best()
    assert trainer.forest.weight != EQUAL_WEIGHT
    np.testing.assert_allclose(trainer.logits(rows), blend(network, forest, trainer.forest.weight))
    without = recipe(epochs=1)
    without = without.model_copy(update={"model": without.model.model_copy(update={"forest": "none"})})
    alone = Trainer(without, short, CPU)
    alone.run_epoch()
    assert alone.forest is None
    np.testing.assert_array_equal(alone.logits(alone._val), trainer._network_logits(trainer._val))


def test_a_resumed_training_has_the_forest_that_it_was_begun_with(short: Dataset) -> None:
    trainer, resumed = (Trainer(recipe(epochs=2), short, CPU) for _ in range(2))
    trainer.run_epoch()
    resumed.load_state_dict(trainer.state_dict())
    np.testing.assert_array_equal(resumed.logits(resumed._val), trainer.logits(trainer._val))


def test_only_training_steps_run_in_reduced_precision(short: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is evaluated must be what a checkpoint predicts, which is computed in full precision."""
    entered: list[bool] = []

    def recorded(*_: object) -> torch.autocast:
        entered.append(True)
        return torch.autocast("cpu", torch.bfloat16, enabled=False)

    monkeypatch.setattr("core.training.trainer.autocast", recorded)
    trainer = Trainer(recipe(), short, CPU)
    trainer.logits(torch.from_numpy(short.val))
    assert not entered
    trainer.run_epoch()
    assert len(entered) == trainer.steps


def test_a_network_that_sees_fewer_bars_trains_as_on_windows_of_that_many(short: Dataset) -> None:
    config = recipe(EVERYTHING, epochs=1)
    plain = config.model.model_copy(update={"forest": "none", "last_bar": "none"})
    on_short = Trainer(config.model_copy(update={"model": plain}), replace(short, window=4), CPU)
    seeing_few = plain.model_copy(update={"window": 4})
    of_long = Trainer(config.model_copy(update={"model": seeing_few}), short, CPU)
    assert on_short.run_epoch().metrics == of_long.run_epoch().metrics
    assert same_weights(on_short, of_long)
