"""Simulates trainings on recorded learning curves, with a surrogate between the recorded configurations.

A table has a row for each epoch of each training: a configuration on a fold with a seed. The surrogate is a forest of
trees from the hyperparameters to whole curves, one for each fold. A simulated training gets the surrogate's curve and
the noise of a recorded one: how a training with one seed differed from the mean of its configuration over seeds.

The last fold plays the campaign: its val is what trials are ranked by if epochs are the fidelity, and the block of time
after it says what they are truly worth. The earlier folds are the cells of a search whose fidelity is the number of
cells.

Shapes: N configurations, E epochs, R recorded noises, H hyperparameters.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from core.config import HYPERPARAMETER_NAMES
from core.errors import ConfigError
from core.files import reading
from search.study.space import Dimension, SpaceConfig
from search.study.trial_record import EpochRecord, TrialAssignment

_TREES, _MIN_LEAF_ROWS = 60, 2
_SAMPLE = 2000
"""Number of random points that the best and the typical quality are taken from."""
_END = 3
"""Number of last epochs that the true quality is the mean of."""
_LOGARITHMIC = ("learning_rate", "batch_size", "weight_decay")
_KEYS = ("configuration", "fold", "seed", "epoch", "seconds")


class RecordedCurves:
    """The curves of a table, with the surrogate.

    Attributes:
        folds: numbers of the folds, the earliest first.
        epochs: E, number of epochs of a training.
        space: range of each hyperparameter, by name.
    """

    def __init__(self, table: pd.DataFrame, space: Mapping[str, Dimension] | None = None) -> None:
        """Take a table; a training that ended before the others is left out.

        Args:
            table: as `read_table` returns it.
            space: range of each hyperparameter that the configurations differ in; the default one if not given.
        """
        self.folds: tuple[int, ...] = tuple(sorted(int(fold) for fold in table["fold"].unique()))
        self.epochs = int(table["epoch"].max())
        self.space: Mapping[str, Dimension] = space or SpaceConfig().dimensions()
        is_whole = table.groupby(["configuration", "fold", "seed"])["epoch"].transform("size") == self.epochs
        self._table = table[is_whole].sort_values(["configuration", "fold", "seed", "epoch"])
        self._means: dict[tuple[str, int], Any] = {}
        self._noises: dict[tuple[str, int], np.ndarray] = {}

    def _trainings(self, column: str, fold: int) -> tuple[pd.DataFrame, np.ndarray]:
        """Return the trainings of a fold, a row each, and their curves of a column, `[trainings, E]`."""
        part = self._table[self._table["fold"] == fold]
        curves = part[column].to_numpy(dtype=np.float64).reshape(-1, self.epochs)
        return part[part["epoch"] == 1], curves

    def recorded(self, column: str, fold: int) -> np.ndarray:
        """Return the recorded curve of each training, in the order of the table, `[N, E]`.

        Args:
            column: name of the column.
            fold: number of the fold.
        """
        return self._trainings(column, fold)[1]

    def mean_curves(self, column: str, fold: int, points: np.ndarray) -> np.ndarray:
        """Return the surrogate's curves, `[N, E]`.

        Args:
            column: name of the column.
            fold: number of the fold.
            points: hyperparameters in the order of the space, `[N, H]`.
        """
        if (column, fold) not in self._means:
            rows, curves = self._trainings(column, fold)
            self._means[column, fold] = _forest().fit(self._scaled(rows[list(self.space)].to_numpy()), curves)
        return np.asarray(self._means[column, fold].predict(self._scaled(points))).reshape(len(points), self.epochs)

    def predicted_when_left_out(self, column: str, fold: int, parts: int = 10) -> np.ndarray:
        """Return for each training the curve of a surrogate that has not seen it, in the order of the table, `[N, E]`.

        Args:
            column: name of the column.
            fold: number of the fold.
            parts: number of parts of the trainings; each of them is left out once.
        """
        from sklearn.model_selection import KFold, cross_val_predict

        rows, curves = self._trainings(column, fold)
        split = KFold(min(parts, len(rows)), shuffle=True, random_state=0)
        points = self._scaled(rows[list(self.space)].to_numpy())
        return np.asarray(cross_val_predict(_forest(), points, curves, cv=split)).reshape(-1, self.epochs)

    def noises(self, column: str, fold: int) -> np.ndarray:
        """Return how single trainings differed from the mean of their configuration over seeds, `[R, E]`.

        The differences are enlarged by what the mean of few seeds takes from them.

        Args:
            column: name of the column.
            fold: number of the fold.

        Raises:
            ConfigError: no configuration was trained with several seeds.
        """
        if (column, fold) not in self._noises:
            rows, curves = self._trainings(column, fold)
            noises = []
            for indices in rows.reset_index(drop=True).groupby("configuration").indices.values():
                count = len(indices)
                if count > 1:
                    noises.append((curves[indices] - curves[indices].mean(axis=0)) * math.sqrt(count / (count - 1)))
            if not noises:
                raise ConfigError(
                    "The table has no configuration that was trained with several seeds", "Record some with more seeds"
                )
            self._noises[column, fold] = np.concatenate(noises)
        return self._noises[column, fold]

    @cached_property
    def sample(self) -> np.ndarray:
        """Random points of the space, `[N, H]`."""
        rng = np.random.default_rng(0)
        return np.stack([dimension.at(rng.random(_SAMPLE)) for dimension in self.space.values()], axis=1)

    def _scaled(self, points: np.ndarray) -> np.ndarray:
        """Return points `[N, H]` with logarithms of the hyperparameters that act by factors."""
        scaled = points.astype(np.float64)
        for column, name in enumerate(self.space):
            if name in _LOGARITHMIC:
                scaled[:, column] = np.log(scaled[:, column])
        return scaled


def _forest() -> Any:
    """Return a forest that is not fitted yet."""
    from sklearn.ensemble import ExtraTreesRegressor

    return ExtraTreesRegressor(_TREES, min_samples_leaf=_MIN_LEAF_ROWS, random_state=0)


def read_table(path: Path) -> pd.DataFrame:
    """Read a table of recorded trainings, as `benchmarks.record_table` writes it.

    Args:
        path: path of the Parquet file.

    Raises:
        ConfigError: the file is missing or damaged, or lacks a column.
    """
    with reading(path):
        table = pd.read_parquet(path)
    if missing := [name for name in (*HYPERPARAMETER_NAMES, *_KEYS) if name not in table]:
        raise ConfigError(f"{path} has no column {missing[0]}", "Record the table again")
    return table


def check_metric(table: pd.DataFrame, metric: str) -> None:
    """Check that a table holds a metric on val and later in time.

    Args:
        table: the table.
        metric: name of the metric.

    Raises:
        ConfigError: it does not.
    """
    if f"val_{metric}" not in table or f"later_{metric}" not in table:
        known = sorted(name.removeprefix("later_") for name in map(str, table) if name.startswith("later_"))
        raise ConfigError(f"The table has no metric {metric!r}", f"Choose one of {', '.join(known)}")


def _sign(metric: str) -> float:
    return -1.0 if metric in ("nll", "train_loss") else 1.0


class SurrogateProblem(ABC):
    """Holds what problems with a surrogate share: the space, and the true quality of a point.

    Attributes:
        space, max_epochs: see `search.simulation.problem.Problem`.
    """

    max_epochs: int

    def __init__(self, curves: RecordedCurves, seed: int) -> None:
        """Prepare a simulated campaign.

        Args:
            curves: the recorded curves.
            seed: seed of the noise.
        """
        self.space = curves.space
        self._curves, self._seed = curves, seed
        self._means: dict[tuple[Any, ...], np.ndarray] = {}

    @abstractmethod
    def qualities(self, points: np.ndarray) -> np.ndarray:
        """Return the true quality of points `[N, H]`, `[N]`; higher is better."""

    @cached_property
    def _of_sample(self) -> np.ndarray:
        return self.qualities(self._curves.sample)

    @property
    def best(self) -> float:
        """Quality of the best of many random points."""
        return float(self._of_sample.max())

    @property
    def typical(self) -> float:
        """Median quality of random points."""
        return float(np.median(self._of_sample))

    def quality(self, params: Mapping[str, Any]) -> float:
        """Return the true quality of hyperparameters, see `Problem`."""
        return float(self.qualities(self._point(params))[0])

    def _point(self, params: Mapping[str, Any]) -> np.ndarray:
        return np.array([[params[name] for name in self.space]])

    def mean(self, column: str, fold: int, params: Mapping[str, Any]) -> np.ndarray:
        """Return the surrogate's curve of hyperparameters, `[E]`."""
        key = (column, fold, *params.values())
        if key not in self._means:
            self._means[key] = self._curves.mean_curves(column, fold, self._point(params))[0]
        return self._means[key]

    def draw(self, noises: np.ndarray, trial: int, training: int) -> np.ndarray:
        """Return the noise of one training of a trial, `[E]`: the same whenever it is asked for.

        Args:
            noises: recorded noises, `[R, E]`, of which one is drawn with a random sign.
            trial: number of the trial.
            training: number of the training within the trial.
        """
        rng = np.random.default_rng([self._seed, trial, training])
        return np.asarray(noises[rng.integers(len(noises))] * rng.choice((-1.0, 1.0)))


class _TableProblem(SurrogateProblem):
    """A table's problem: what a point is worth is read from the block of time after the last fold's val."""

    def __init__(self, curves: RecordedCurves, metric: str, truth: str, seed: int) -> None:
        super().__init__(curves, seed)
        self._metric, self._truth = metric, truth

    def qualities(self, points: np.ndarray) -> np.ndarray:
        """Return the mean of the last epochs on the block of time after the last fold's val, `[N]`."""
        last = self._curves.folds[-1]
        later = self._curves.mean_curves(f"later_{self._truth}", last, points)[:, -_END:].mean(axis=1)
        return np.asarray(_sign(self._truth) * later)

    def _noise(self, column: str, fold: int, trial: int, training: int) -> np.ndarray:
        return self.draw(self._curves.noises(column, fold), trial, training)


class RecordedEpochs(_TableProblem):
    """Fidelity is the number of epochs: trials are ranked by the best epoch so far on the last fold's val."""

    def __init__(
        self, curves: RecordedCurves, metric: str, truth: str, seed: int, keep: Literal["end", "best"] = "end"
    ) -> None:
        """Prepare a simulated campaign.

        Args:
            curves: the recorded curves.
            metric: metric that ranks trials, or `train_loss`, each trial's own training loss.
            truth: metric that says what they are truly worth.
            seed: seed of the noise.
            keep: the epochs that a training is worth: its last ones, or the one that is best on val, without noise.
        """
        super().__init__(curves, metric, truth, seed)
        self.max_epochs, self._keep = curves.epochs, keep

    def qualities(self, points: np.ndarray) -> np.ndarray:
        """Return the score of the epochs that are kept on the block of time after the last fold's val, `[N]`."""
        if self._keep == "end":
            return super().qualities(points)
        last = self._curves.folds[-1]
        scores = _sign(self._truth) * self._curves.mean_curves(f"val_{self._truth}", last, points)
        later = _sign(self._truth) * self._curves.mean_curves(f"later_{self._truth}", last, points)
        return np.take_along_axis(later, scores.argmax(axis=1, keepdims=True), axis=1)[:, 0]

    def epoch(self, trial: TrialAssignment, epoch: int) -> EpochRecord:
        """Return what a trial reports of an epoch, see `LearningCurves`."""
        fold = self._curves.folds[-1]
        column = "train_loss" if self._metric == "train_loss" else f"val_{self._metric}"
        noise = self._noise(column, fold, trial.number, 0)
        scores = _sign(self._metric) * (self.mean(column, fold, trial.params) + noise)[:epoch]
        seconds = float(self.mean("seconds", fold, trial.params)[epoch - 1])
        return simulated_record(epoch, float(scores.max()), float(scores[-1]), int(scores.argmax()) + 1, seconds)


class RecordedCells(_TableProblem):
    """Fidelity is the number of cells: an "epoch" is a whole short training on one fold with one seed.

    Its score is that of the block of time after the fold's val. Every trial takes the cells in the same order.

    Attributes:
        cell_epochs: number of epochs of a cell.
    """

    def __init__(
        self, curves: RecordedCurves, metric: str, truth: str, seed: int, cells: int = 9, epochs: int = 6
    ) -> None:
        """Prepare a simulated campaign.

        Args:
            curves: the recorded curves, of two folds at least.
            metric: metric that ranks trials.
            truth: metric that says what they are truly worth.
            seed: seed of the noise.
            cells: number of cells of a trial at full fidelity.
            epochs: number of epochs of a cell, if trainings were recorded for that many.

        Raises:
            ConfigError: the table has one fold alone.
        """
        super().__init__(curves, metric, truth, seed)
        if len(curves.folds) < 2:
            raise ConfigError("The table has one fold, and cells need an earlier one", "Record two folds or more")
        self.max_epochs, self.cell_epochs = cells, min(epochs, curves.epochs)

    def epoch(self, trial: TrialAssignment, epoch: int) -> EpochRecord:
        """Return what a trial reports of a cell: its score, and as its value the mean over the cells so far."""
        scores = [self._score(trial, cell) for cell in range(1, epoch + 1)]
        seconds = float(self.mean("seconds", self._fold(epoch), trial.params)[: self.cell_epochs].sum())
        return simulated_record(epoch, float(np.mean(scores)), scores[-1], epoch, seconds)

    def _fold(self, cell: int) -> int:
        """Return the fold of a cell: the latest fold first, and each of them before any a second time."""
        folds = self._curves.folds[-2::-1]
        return folds[(cell - 1) % len(folds)]

    def _score(self, trial: TrialAssignment, cell: int) -> float:
        fold, column, last = self._fold(cell), f"later_{self._metric}", self.cell_epochs - 1
        noise = self._noise(column, fold, trial.number, cell)
        return _sign(self._metric) * float(self.mean(column, fold, trial.params)[last] + noise[last])


def simulated_record(epoch: int, value: float, score: float, best_epoch: int, seconds: float) -> EpochRecord:
    """Return the record of a simulated epoch, without what a simulation does not know."""
    return EpochRecord(
        epoch=epoch,
        value=value,
        score=score,
        best_epoch=best_epoch,
        train_loss=float("nan"),
        learning_rate=float("nan"),
        seconds=seconds,
        metrics={},
    )
