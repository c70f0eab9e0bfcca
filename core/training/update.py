"""Updates a trained model with new bars, step by step, and measures beside it what that was worth.

Each step is first predicted, by the weights as they are then and by those that were never updated, and only then
trained on. So the figures are those of a walk forward through time: nothing predicts a row that it has seen. What the
training fitted (scales, thresholds of labels, forest, calibration, decision rule) stays as it is.

An update happens at the end of a step, and knows only labels that are complete by then. It makes a few passes over the
rows whose labels have become known since the last one; so that nothing is forgotten, each pass draws as many rows again
from the `REPLAY_DAYS` days before, or more where that fills a batch. An update depends on the weights, its instant and
the seed alone, so that a model which is updated in several runs is the same as one that is updated in one.

Shapes: T rows (all symbols one after the other), F features, N rows predicted; 3 classes (SELL, HOLD, BUY).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from core import __version__
from core.config.data import INTERVAL, canonical_interval
from core.data.dataset import apply_fitted
from core.data.file_format import DAY, interval_microseconds, iso
from core.data.labels import CLASSES
from core.data.market import Market
from core.errors import ConfigError, NonFiniteLossError
from core.evaluation.calibration import Calibration
from core.evaluation.decision import DecisionRule
from core.inference import CPU, TrainedModel
from core.models.network import Network
from core.models.windows import gather_windows, predict_windows
from core.training.augment import Augmenter, without_mixup
from core.training.class_balance import class_weights_of, oversample
from core.training.device import autocast, deterministic
from core.training.losses import make_loss
from core.training.optimizer import make_optimizer
from core.training.update_report import UpdateReport, compare_models

REPLAY_DAYS = 30
"""An update also draws rows of this many days before it, so that the model does not forget them."""
STATIC_NOTE = "measured on val before the model was updated: of the updated weights no figure here says anything"
UPDATE_FILE = "update.json"


@dataclass(frozen=True)
class UpdateSettings:
    """Sets how a model is updated.

    Attributes:
        every: time between two updates, such as 1d.
        learning_rate: learning rate of AdamW, which begins anew at each update.
        passes: number of passes of each update over its new rows.
        seed: seed of the order of rows, of the rows drawn from the past, of dropout and augmentation.
    """

    every: str = "1d"
    learning_rate: float = 1e-4
    passes: int = 2
    seed: int = 0


@dataclass(frozen=True)
class Step:
    """Holds what one step of the walk forward has done.

    Attributes:
        start, stop: the bars of the step open between these instants, in microseconds since 1970.
        rows: the rows that were predicted, int64 `[N]`.
        static_logits, updated_logits: what the two models predicted for them, float64 `[N, 3]`.
        trained_on: the rows that the update at the end of the step has trained on; empty if there was none.
    """

    start: int
    stop: int
    rows: np.ndarray
    static_logits: np.ndarray
    updated_logits: np.ndarray
    trained_on: np.ndarray


@dataclass(frozen=True)
class UpdateResult:
    """Holds an updated model, and what updating it was worth on the way."""

    trained: TrainedModel
    report: UpdateReport


class WalkForward:
    """Walks forward through the bars after a training, predicting each step before it trains on it.

    Iterate over it for each Step.

    Attributes:
        model: the network with the weights of the latest update.
        steps: start and stop of each step, in microseconds since 1970.
        timestamps: when the bar of each row opens, int64 `[T]` in microseconds since 1970.
        known_at: when the label of each row is complete, int64 `[T]`: the last bar that it depends on has closed.
        labels: classes, int8 `[T]`; NO_LABEL where the future is unknown.
    """

    def __init__(self, trained: TrainedModel, market: Market, settings: UpdateSettings, device: torch.device) -> None:
        """Label and scale the bars as the training did, and build both models.

        Args:
            trained: the model; bars count as new from the end of its val on.
            market: bars with their features, best read by `read_market(..., features=trained.features)`; those before
                the end of val are what windows reach back to, and what rows are drawn from again.
            settings: how the model is updated.
            device: device to train and predict on.

        Raises:
            ConfigError: there are too few new bars, no label of theirs is known, `every` is no interval, or the
                checkpoint does not hold what labels need.
            DataError: the market is not like the training's.
        """
        trained.check(market)
        self.steps = update_steps(trained.val[1], market.span.stop, _check_every(settings.every, trained.bar))
        self._every = interval_microseconds(settings.every)
        self._settings = settings
        self._config = trained.config
        self._window = trained.bars_seen
        self._device = device
        self._set_rows(trained, market)
        self._trained = trained
        self._static, self.model = trained.build(device), trained.build(device)
        assert trained.labels is not None  # `_set_rows` has refused a checkpoint without them
        weights = class_weights_of(trained.labels.counts, trained.config.balance.class_weights)
        self._loss = make_loss(trained.config.loss, torch.tensor(weights, dtype=torch.float32)).to(device)

    def _set_rows(self, trained: TrainedModel, market: Market) -> None:
        """Label and scale all rows with what the training has fitted."""
        if trained.labels is None:
            raise ConfigError(
                "The checkpoint is of an earlier version, which did not keep the thresholds of the labels",
                "Train again, then update that checkpoint",
            )
        columns = [market.feature_names.index(name) for name in trained.features]
        fitted = []
        for data in market.symbols:
            symbol = trained.symbols.index(data.symbol)
            low, high = map(float, trained.labels.thresholds[symbol])
            center, width = trained.center[symbol], trained.scale[symbol]
            rows = replace(data, features=data.features[:, columns])
            fitted.append(apply_fitted(rows, center, width, (low, high), float(trained.return_scale[symbol])))
        self.timestamps = np.concatenate([part.timestamps for part in fitted])
        self.known_at = self.timestamps + (trained.data.horizon + 1) * trained.bar
        self.labels = np.concatenate([part.labels for part in fitted])
        self._usable = np.concatenate([data.usable for data in market.symbols])
        self._features = torch.from_numpy(np.concatenate([part.features for part in fitted])).to(self._device)
        self._returns = torch.from_numpy(np.concatenate([part.returns for part in fitted])).to(self._device)
        self._targets = functional.one_hot(torch.from_numpy(self.labels).long().clamp_min(0), len(CLASSES))
        self._targets = self._targets.float().to(self._device)
        if not (self._usable & (self.timestamps >= trained.val[1])).any():
            raise ConfigError(
                f"No bar from {iso(trained.val[1])} on has both a whole window and a known label",
                "Provide more bars without gaps, from before that instant on; a feature table needs labels and returns",
            )

    def __iter__(self) -> Iterator[Step]:
        """Run the steps, yielding each once its update, if it has one, has been made."""
        updated_at = self.steps[0][0]
        for start, stop in self.steps:
            rows = np.flatnonzero(self._usable & (self.timestamps >= start) & (self.timestamps < stop))
            with deterministic(self._config.trainer.deterministic):
                static_logits, updated_logits = self._logits(self._static, rows), self._logits(self.model, rows)
                # A shorter last step is left to the next update: its few rows would be a batch of noise.
                is_whole = stop - start == self._every
                trained_on = self._update(updated_at, stop) if is_whole else rows[:0]
            updated_at = stop
            yield Step(start, stop, rows, static_logits, updated_logits, trained_on)

    def _logits(self, model: Network, rows: np.ndarray) -> np.ndarray:
        """Predict logits, float64 `[N, 3]`, of the windows that end at `rows`, int64 `[N]`, forest included."""
        if len(rows) == 0:
            return np.zeros((0, len(CLASSES)))
        on_device = torch.from_numpy(rows).to(self._device)
        logits = predict_windows(model, self._features, on_device, self._window).direction.numpy()
        return self._trained.with_forest(logits, self._features[on_device].cpu().numpy())

    def _update(self, since: int, now: int) -> np.ndarray:
        """Update the model; return the rows that it was trained on.

        Args:
            since: the instant of the last update: labels that were complete by then are not new.
            now: the instant of this update: labels that are not complete by then are not known.
        """
        is_new = self._usable & (self.known_at > since) & (self.known_at <= now)
        is_past = self._usable & (self.known_at <= since) & (self.timestamps >= now - REPLAY_DAYS * DAY)
        new, past = np.flatnonzero(is_new), np.flatnonzero(is_past)
        if len(new) == 0:
            return new
        seeds = np.random.SeedSequence([self._settings.seed, now]).spawn(3)
        rng = np.random.default_rng(seeds[0])
        augment_seed, dropout_seed = (int(seed.generate_state(1)[0]) for seed in seeds[1:])
        generator = torch.Generator(self._device).manual_seed(augment_seed)
        augment = Augmenter(without_mixup(self._config.augment), generator, rng)
        recipe = self._config.trainer.model_copy(update={"learning_rate": self._settings.learning_rate})
        optimizer = make_optimizer(self.model, recipe)
        self.model.dropout.generator.manual_seed(dropout_seed)
        self.model.train()
        drawn = min(len(past), max(len(new), recipe.batch_size - len(new)))
        losses, seen = [], []
        for _ in range(self._settings.passes):
            rows = np.concatenate([new, rng.choice(past, drawn, replace=False)])
            seen.append(rows)
            if self._config.balance.oversample:
                rows = oversample(rows, self.labels[rows], rng)
            order = torch.from_numpy(rng.permutation(rows)).to(self._device)
            # Batches of one size: the step of a small last one would be as large, and mostly noise.
            batches = torch.tensor_split(order, math.ceil(len(order) / recipe.batch_size))
            losses += [self._train_on(batch, optimizer, augment) for batch in batches]
        self._check_losses(torch.stack(losses), now)
        return np.unique(np.concatenate(seen))

    def _train_on(self, rows: Tensor, optimizer: torch.optim.Optimizer, augment: Augmenter) -> Tensor:
        """Take one optimizer step on a batch of rows `[B]`; return its loss, a scalar."""
        windows = gather_windows(self._features, rows, self._window)
        batch = augment(windows, self._targets[rows], self._returns[rows])
        with autocast(self._device, torch.float32):
            heads = self.model.for_loss(self.model(batch.windows))
        loss: Tensor = self._loss(*(head.float() for head in heads), batch.targets, batch.returns, batch.mixed)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.model.parameters(), self._config.trainer.clip_norm)
        optimizer.step()
        return loss.detach()

    def _check_losses(self, losses: Tensor, now: int) -> None:
        """Refuse an update whose loss became NaN or infinite."""
        if not bool(losses.isfinite().all()):
            step = int((~losses.isfinite()).nonzero()[0])
            per_pass = len(losses) // self._settings.passes
            text = f"learning_rate={self._settings.learning_rate:g}, update at {iso(now)}"
            raise NonFiniteLossError(step % per_pass + 1, step // per_pass + 1, text)


def update_steps(start: int, stop: int, every: int) -> list[tuple[int, int]]:
    """Return start and stop of each step; the last one is shorter where the span is no multiple.

    Args:
        start: end of val, where new bars begin, in microseconds since 1970.
        stop: end of the last bar, in microseconds since 1970.
        every: length of a step in microseconds.

    Raises:
        ConfigError: there is no new bar, or less than one whole step.
    """
    if stop <= start:
        raise ConfigError(
            f"There is no new bar: the bars end at {iso(stop)}, and the model knows all before {iso(start)}",
            "Provide newer bars",
        )
    if stop - start < every:
        raise ConfigError(
            f"The new bars, from {iso(start)} to {iso(stop)}, are less than one step of the update",
            "Provide newer bars, or use a shorter --every",
        )
    starts = range(start, stop, every)
    return [(first, min(first + every, stop)) for first in starts]


def _check_every(every: str, bar: int) -> int:
    """Return the length of a step in microseconds, which is a number of whole bars."""
    if re.fullmatch(INTERVAL, every, re.ASCII) is None:
        raise ConfigError(f"--every {every!r} is no interval", "Use one such as 1d or 12h")
    length = interval_microseconds(every)
    if length % bar:
        raise ConfigError(f"--every {every} is no number of whole bars", "Use a multiple of the bars' interval")
    return length


def update_model(
    trained: TrainedModel,
    market: Market,
    settings: UpdateSettings,
    device: torch.device = CPU,
    *,
    source: Mapping[str, Any] | None = None,
    on_step: Callable[[int, int], None] = lambda _, __: None,
) -> UpdateResult:
    """Update a model with the bars after its val, and measure what that was worth; the model itself is not changed.

    Args:
        trained: the model.
        market: bars with their features, see `WalkForward`.
        settings: how the model is updated.
        device: device to train and predict on.
        source: what the updated model says about the checkpoint that it was made from, by key.
        on_step: called after each step with the number of steps that have run, and that of all steps.

    Raises:
        ConfigError: there are too few new bars or labels, see `WalkForward`.
        DataError: the market is not like the training's.
        NonFiniteLossError: an update diverged.
    """
    walk = WalkForward(trained, market, settings, device)
    steps: list[Step] = []
    for step in walk:
        steps.append(step)
        on_step(len(steps), len(walk.steps))
    report = _make_report(trained, walk, steps, settings)
    updated_until = max((step.stop for step in steps if len(step.trained_on)), default=0)
    if not updated_until:
        raise ConfigError(
            "No label of the new bars is complete by the end of a whole step",
            "Provide newer bars, or use a longer --every",
        )
    update = {
        "version": __version__,
        "from": dict(source or {}),
        "until": iso(updated_until),
        "settings": asdict(settings) | {"every": canonical_interval(settings.every)},
        "replay_days": REPLAY_DAYS,
        "report": report.as_row(),
    }
    weights = {name: value.detach().cpu().clone() for name, value in walk.model.state_dict().items()}
    updated = replace(
        trained,
        weights=weights,
        rule=_follow(trained, walk, steps),
        # Rows of the old val are drawn again, too, so that all before the last update has been trained on.
        train=(trained.train[0], updated_until),
        val=(updated_until, updated_until),
        findings={**trained.findings, "note": STATIC_NOTE} if trained.findings else {},
        about={**trained.about, "update": update},
    )
    return UpdateResult(updated, report)


def _follow(trained: TrainedModel, walk: WalkForward, steps: Sequence[Step]) -> DecisionRule | None:
    """Return the decision rule as it stands after the updated model's predictions of all steps."""
    if trained.rule is None:
        return None
    rows = np.concatenate([step.rows for step in steps])
    logits = np.concatenate([step.updated_logits for step in steps])
    probabilities = (trained.calibration or Calibration()).apply(logits)
    return trained.rule.follow(probabilities, walk.timestamps[rows])


def _make_report(
    trained: TrainedModel, walk: WalkForward, steps: Sequence[Step], settings: UpdateSettings
) -> UpdateReport:
    """Compare both models on the rows of all steps."""
    rows = np.concatenate([step.rows for step in steps])
    comparison = compare_models(
        trained,
        walk.labels[rows].astype(np.int64),
        walk.timestamps[rows],
        np.concatenate([step.static_logits for step in steps]),
        np.concatenate([step.updated_logits for step in steps]),
        settings.seed,
    )
    updates = sum(len(step.trained_on) > 0 for step in steps)
    every = canonical_interval(settings.every)
    return UpdateReport(every, steps[0].start, steps[-1].stop, len(steps), updates, comparison)
