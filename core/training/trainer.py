"""Trains one model an epoch at a time; the training can be stopped and resumed after each.

The trainer owns every generator it draws from, so it neither reads nor disturbs the process's global random state, and
several trainers can share a process.

Shapes: N rows, B rows in a batch; 3 classes (SELL, HOLD, BUY).
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from scipy.special import softmax
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import lr_scheduler

from core.config import TrainingConfig, recorded_recipe
from core.data.dataset import Dataset
from core.data.labels import CLASSES
from core.errors import ConfigError, NonFiniteLossError, NonFiniteOutputError
from core.evaluation.blocks import split_halves
from core.evaluation.calibration import nll
from core.evaluation.decision import cross_fitted_decisions, fit_decisions
from core.evaluation.history import CROSS_FITTED_METRICS, EpochResult
from core.evaluation.metric_names import METRIC_NAMES
from core.evaluation.metrics import ranking_score
from core.evaluation.report import evaluate_rows, score_blocks
from core.models.build import build_model
from core.models.forest import Forest, as_tensors, blend, from_tensors
from core.models.network import Network
from core.models.windows import gather_windows, predict_windows
from core.training import class_balance
from core.training.augment import Augmenter
from core.training.best_epoch import BestEpochEvaluation, ValPredictions, improves
from core.training.blend import ForestOnVal
from core.training.device import autocast, deterministic, shared_tensor
from core.training.epoch_rows import EpochRows
from core.training.last_bar import fit_last_bar
from core.training.losses import make_loss
from core.training.optimizer import make_optimizer, make_schedule, warmed_up_step
from core.training.simple_models import load_forest
from core.training.weight_average import WeightAverage


class Trainer:
    """Trains a network on a dataset.

    Iterate over it for the EpochResult of each epoch, until all epochs have run or patience has run out.

    Attributes:
        model: the network with the weights of the latest step.
        epoch: number of epochs that have run.
        steps: number of optimizer steps taken.
        best: result of the best epoch so far; None before the first epoch has ended.
        best_weights: the weights that were evaluated then, by parameter name.
        forest: the forest that predictions are blended with; None without one, and before the first epoch. Its weight
            is fitted when the best epoch is evaluated.
        fit_seconds: seconds that fitting path and forest took, before the first epoch; 0 until then.
    """

    def __init__(
        self, config: TrainingConfig, dataset: Dataset, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> None:
        """Build model, loss and optimizer.

        Args:
            config: settings of the model, the loss, augmentation, balancing and the trainer.
            dataset: holds windows, labels and splits; one without val rows is trained on without a score, and the last
                epoch counts as the best.
            device: device that the data lie on and the model runs on.
            dtype: precision of weights and features; float64 is for comparing implementations.

        Raises:
            ConfigError: the batch is larger than the train rows or an epoch, both kinds of class balance are on, or the
                recipe needs val rows and there are none.
        """
        dataset.check_batch_size(config.trainer.batch_size)
        if len(dataset.val) == 0 and (config.trainer.schedule == "plateau" or config.trainer.patience is not None):
            raise ConfigError(
                "Without validation rows no score can be computed",
                "Use another schedule than plateau, and no patience",
            )
        self.config = config
        self.device = device
        self.dtype = dtype
        self._dataset = dataset
        self._window = config.model.bars_seen(dataset.window)
        self._features = shared_tensor(dataset.features, device).to(dtype)
        self._labels = shared_tensor(dataset.labels, device)
        self._returns = shared_tensor(dataset.returns, device).to(dtype)
        self._val = shared_tensor(dataset.val, device)
        self._val_labels = dataset.labels[dataset.val]
        self._val_halves = split_halves(dataset.timestamps[dataset.val])

        model_seed, *draw_seeds = (
            int(child.generate_state(1)[0]) for child in np.random.SeedSequence(config.trainer.seed).spawn(5)
        )
        self.model = build_model(config.model, dataset.features.shape[1], self._window, model_seed, device).to(dtype)
        self._rows = EpochRows(dataset, config, (draw_seeds[0], draw_seeds[3]), device)
        self._augment_generator = torch.Generator(device).manual_seed(draw_seeds[1])
        self._mixup_rng = np.random.default_rng(draw_seeds[2])
        self._augment = Augmenter(config.augment, self._augment_generator, self._mixup_rng)
        class_balance.check_balance(config.balance)
        train_labels = dataset.labels[dataset.train]
        weights = class_balance.compute_class_weights(train_labels, config.balance.class_weights)
        self._loss = make_loss(config.loss, torch.tensor(weights, dtype=dtype)).to(device)
        decay = config.trainer.ema_decay
        self._average = WeightAverage(self.model, decay) if decay > 0 else None
        self._optimizer = make_optimizer(self.model, config.trainer)
        self._schedule = make_schedule(self._optimizer, config.trainer)
        self.epoch = 0
        self.steps = 0
        self.best: EpochResult | None = None
        self.best_weights: dict[str, Tensor] = {}
        self.forest: Forest | None = None
        self._forest_on_val: ForestOnVal | None = None
        self.fit_seconds = 0.0
        self._val_predictions: ValPredictions | None = None  # of the latest epoch, if this process ran it

    @property
    def evaluated(self) -> Network:
        """The network that predictions are made with: the average of the weights, or `model` without averaging."""
        return self._average.module if self._average is not None else self.model

    @property
    def finished(self) -> bool:
        """Return whether all epochs have run or patience has run out."""
        config = self.config.trainer
        if self.epoch >= config.epochs:
            return True
        epochs_since_best = self.epoch - self.best.epoch if self.best else 0
        return config.patience is not None and epochs_since_best >= config.patience

    def __iter__(self) -> Iterator[EpochResult]:
        """Run the remaining epochs, yielding the result of each."""
        while not self.finished:
            yield self.run_epoch()

    def run_epoch(self) -> EpochResult:
        """Train one epoch and evaluate it on val.

        Returns:
            the result of the epoch, compared with those before it.

        Raises:
            NonFiniteLossError: the loss became NaN or infinite.
            NonFiniteOutputError: the model's output became NaN or infinite.
        """
        if self.steps == 0:
            self._fit_simple_models()
        started = time.perf_counter()
        learning_rate = float(self._optimizer.param_groups[0]["lr"])
        with deterministic(self.config.trainer.deterministic):
            train_loss = self._train_epoch()
            scores, halves = self._scores()
        score = ranking_score(scores, self.config.trainer.metric)
        result = EpochResult(
            epoch=self.epoch + 1,
            score=score,
            value=score,
            best_epoch=self.epoch + 1,
            metrics=scores,
            best_metrics=scores,
            train_loss=train_loss,
            learning_rate=learning_rate,
            seconds=time.perf_counter() - started,
            halves=halves,
        )
        best = self.best
        if best is None or improves(result, best):
            # In one step: an interruption must not leave an epoch beside the weights of another.
            self.best, self.best_weights = result, copy.deepcopy(self.evaluated.state_dict())
        else:
            result = replace(result, value=best.value, best_epoch=best.epoch, best_metrics=best.metrics)
        # The plateau schedule takes the score, the others nothing; both set the learning rate of the next epoch.
        arguments = (score,) if isinstance(self._schedule, lr_scheduler.ReduceLROnPlateau) else ()
        self._schedule.step(*arguments)
        self.epoch = result.epoch
        return result

    def _fit_simple_models(self) -> None:
        """Set the path from the last bar to its fit on train, and fit the forest, if the recipe asks for them."""
        started = time.perf_counter()
        if self.model.last_bar_path is not None:
            self.model.last_bar_path.set_direction(*fit_last_bar(self._dataset, self.config))
        if self.config.model.forest != "none":
            self._set_forest(load_forest(self._dataset))
        self.fit_seconds = time.perf_counter() - started

    def _set_forest(self, forest: Forest | None) -> None:
        self.forest = forest
        self._forest_on_val = ForestOnVal(forest, self._dataset) if forest is not None else None

    def _scores(self) -> tuple[dict[str, float], list[dict[str, float]]]:
        """Compute all metrics of the present weights on val, and some on each half of it; none without val rows."""
        rows = self._dataset.val
        if len(rows) == 0:
            return {}, []
        metric = self.config.trainer.metric
        probabilities, decisions = self._val_predictions = self._predict_val(self._network_logits(self._val))
        names = sorted({metric, *CROSS_FITTED_METRICS})
        halves = [
            evaluate_rows(self._dataset, rows[half], probabilities[half], decisions.of(half), names)
            for half in self._val_halves
        ]
        return evaluate_rows(self._dataset, rows, probabilities, decisions, METRIC_NAMES), halves

    def val_block_scores(self) -> tuple[float, ...]:
        """Compute the ranking score of the latest epoch on each block of val's time, see `core.evaluation.blocks`.

        The predictions are those that the epoch was evaluated with, so nothing is predicted again.

        Returns:
            the scores of the blocks, the earliest first, higher is better; NaN where a block does not define it.

        Raises:
            RuntimeError: this trainer has not run the latest epoch itself, or there are no val rows.
        """
        if self._val_predictions is None:
            raise RuntimeError("there are no predictions of val: run an epoch first")
        return score_blocks(self._dataset, self._dataset.val, *self._val_predictions, self.config.trainer.metric)

    def probabilities(self, rows: Tensor) -> np.ndarray:
        """Predict class probabilities, float64 `[N, 3]`, for the windows that end at `rows`, `[N]`; see `logits`."""
        return np.asarray(softmax(self.logits(rows), axis=1))

    def logits(self, rows: Tensor) -> np.ndarray:
        """Predict with the present weights, and with the forest if there is one.

        Args:
            rows: rows of the dataset at which a whole window ends, int64 `[N]`, on the trainer's device.

        Returns:
            logits of the classes, float64 `[N, 3]`.

        Raises:
            NonFiniteOutputError: the model's output became NaN or infinite.
        """
        logits, features = self._network_logits(rows), self._dataset.features[rows.cpu().numpy()]
        return logits if self.forest is None else self.forest.blended(logits, features)

    def _predict_val(self, logits: np.ndarray) -> ValPredictions:
        """Predict val, given the network's logits there, `[N, 3]`; all that is fitted on val is cross-fitted."""
        forest, dataset = self._forest_on_val, self._dataset
        by_half = np.stack([logits, logits]) if forest is None else forest.blend_by_half(logits)
        early = self._val_halves[0] if self._val_halves else np.ones(len(logits), dtype=bool)
        probabilities = np.asarray(softmax(np.where(early[:, None], *by_half), axis=1))
        rows = self._val_labels, dataset.timestamps[dataset.val], dataset.bar
        return ValPredictions(probabilities, cross_fitted_decisions(by_half, *rows, self.config.trainer.metric))

    def _network_logits(self, rows: Tensor) -> np.ndarray:
        """Predict with the present weights alone; see `logits`."""
        # In full precision, as a checkpoint predicts: what is judged is what is used.
        prediction = predict_windows(self.evaluated, self._features, rows, self._window)
        logits = np.asarray(prediction.direction.numpy())
        if not np.isfinite(logits).all():
            raise NonFiniteOutputError(self.steps, self.config.as_text())
        return logits

    def load_best(self) -> None:
        """Give the network that predictions are made with the weights of the best epoch."""
        self.evaluated.load_state_dict(self.best_weights)

    def best_val_predictions(self) -> ValPredictions:
        """Predict val with the best weights; the present weights are kept."""
        present_weights = {name: value.clone() for name, value in self.evaluated.state_dict().items()}
        self.load_best()
        try:
            return self._predict_val(self._network_logits(self._val))
        finally:
            self.evaluated.load_state_dict(present_weights)

    def evaluate_best(self) -> BestEpochEvaluation:
        """Evaluate the best weights, see `evaluate`; predictions are made with them afterwards."""
        self.load_best()
        return self.evaluate()

    def evaluate(self) -> BestEpochEvaluation:
        """Calibrate the present weights on val, and measure their loss on val and on a fixed sample of train.

        The losses are those of the network alone: a forest remembers its train rows, which says nothing of overfitting.
        """
        # Evenly over all of train: symbols lie there one after the other.
        train = self._rows.train
        indices = np.linspace(0, len(train) - 1, min(len(train), len(self._val))).round().astype(np.int64)
        sample = train[torch.from_numpy(indices).to(self.device)]
        network_logits = self._network_logits(self._val)
        fitted = network_logits
        if self.forest is not None and self._forest_on_val is not None:
            self.forest = replace(self.forest, weight=self._forest_on_val.fit_weight(network_logits))
            fitted = blend(network_logits, self._forest_on_val.logits, self.forest.weight)
        train_labels = self._labels[sample].cpu().numpy()
        timestamps, bar = self._dataset.timestamps[self._dataset.val], self._dataset.bar
        calibration, rule = fit_decisions(fitted, self._val_labels, timestamps, bar, self.config.trainer.metric)
        return BestEpochEvaluation(
            val=self._predict_val(network_logits),
            calibration=calibration,
            rule=rule,
            val_loss=nll(np.asarray(softmax(network_logits, axis=1)), self._val_labels),
            train_loss=nll(np.asarray(softmax(self._network_logits(sample), axis=1)), train_labels),
        )

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the remaining epochs depend on, as tensors and plain values."""
        return {
            "config": self.config.model_dump(mode="json"),
            "model": self.model.state_dict(),
            "average": self._average.state_dict() if self._average is not None else None,
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "epoch": self.epoch,
            "steps": self.steps,
            "best": asdict(self.best) if self.best else None,
            "best_weights": self.best_weights,
            "forest": as_tensors(self.forest),
            "random": {
                "rows": self._rows.state_dict(),
                "draws": self._augment_generator.get_state(),
                "dropout": self.model.dropout.generator.get_state(),
                "rng": self._mixup_rng.bit_generator.state,
            },
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state after an epoch, so that the next epoch continues from there to the last bit.

        Args:
            state: what `state_dict` returned, in a training with the same recipe and dataset.

        Raises:
            ConfigError: the state is of a training with another recipe.
        """
        if recorded_recipe(state["config"]) != self.config.model_dump(mode="json"):
            raise ConfigError(
                "The saved state belongs to a training with another recipe", "Resume it with its own recipe"
            )
        self.model.load_state_dict(state["model"])
        if self._average is not None:
            self._average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self.epoch = state["epoch"]
        self._val_predictions = None
        self.steps = state["steps"]
        self.best = EpochResult(**state["best"]) if state["best"] else None
        self.best_weights = state["best_weights"]
        self._set_forest(from_tensors(state.get("forest")))
        self._rows.load_state_dict(state["random"]["rows"])
        self._augment_generator.set_state(state["random"]["draws"])
        self.model.dropout.generator.set_state(state["random"]["dropout"])
        self._mixup_rng.bit_generator.state = state["random"]["rng"]

    def _train_epoch(self) -> float:
        """Train on the rows of one epoch; return the mean loss of the steps."""
        self.model.train()
        losses = []
        for batch in torch.split(self._rows.draw(), self.config.trainer.batch_size):
            losses.append(self._step(batch).detach())
            # Reading the loss waits for the GPU, so there it is done once per epoch.
            if self.device.type == "cpu" and not math.isfinite(losses[-1].item()):
                break
        total = torch.stack(losses)
        if not bool(total.isfinite().all()):
            step = int((~total.isfinite()).nonzero()[0])
            raise NonFiniteLossError(step + 1, self.epoch + 1, self.config.as_text())
        return float(total.mean())

    def _step(self, rows: Tensor) -> Tensor:
        """Take one optimizer step on a batch of rows `[B]`; return its loss, a scalar."""
        targets = functional.one_hot(self._labels[rows].long(), len(CLASSES)).to(self.dtype)
        windows = gather_windows(self._features, rows, self._window)
        batch = self._augment(windows, targets, self._returns[rows])
        with autocast(self.device, self.dtype):
            heads = self.model.for_loss(self.model(batch.windows))
        loss: Tensor = self._loss(
            *(head.to(self.dtype) for head in heads),
            batch.targets,
            batch.returns,
            batch.mixed,
        )
        self._optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.model.parameters(), self.config.trainer.clip_norm)
        self.steps += 1
        warmed_up_step(self._optimizer, self.steps, self.config.trainer.warmup_steps)
        if self._average is not None:
            self._average.update_parameters(self.model)
        return loss
