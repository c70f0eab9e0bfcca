"""Simulates trainings on LCBench: learning curves of a multilayer perceptron on 34 tasks, by YAHPO Gym's surrogate.

Zimmer, Lindauer & Hutter 2021, arXiv:2006.13799; Pfisterer et al. 2022, arXiv:2109.03670. The surrogate's files are not
part of this project. Its curves have no noise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import ConfigError
from core.files import reading
from search.study.space import Dimension, IntRange, Range
from search.study.trial_record import EpochRecord, TrialAssignment

EPOCHS = 52
TASK = "OpenML_task_id"
INPUTS = ("batch_size", "learning_rate", "momentum", "weight_decay", "num_layers", "max_units", "max_dropout")
"""Continuous inputs of the surrogate after the epoch, in its order: a wrong order gives nonsense without a word."""
OUTPUTS = (
    "time",
    "val_accuracy",
    "val_cross_entropy",
    "val_balanced_accuracy",
    "test_cross_entropy",
    "test_balanced_accuracy",
)
_SAMPLE = 2000
"""Number of random points that the best and the typical quality are taken from."""


class LcbenchSurrogate:
    """Predicts the learning curves of every task.

    Attributes:
        tasks: names of the tasks.
        space: range of each hyperparameter, by name.
    """

    def __init__(self, folder: Path) -> None:
        """Read the surrogate's files.

        Args:
            folder: the folder with `model.onnx`, `config_space.json` and `encoding.json`.

        Raises:
            ConfigError: a file is missing or damaged, or onnxruntime is not installed.
        """
        try:
            from onnxruntime import InferenceSession, SessionOptions
        except ImportError:
            raise ConfigError(
                "LCBench needs onnxruntime, which is not installed", "Install it: pip install onnxruntime"
            ) from None
        with reading(folder / "encoding.json"):
            self._codes: dict[str, int] = json.loads((folder / "encoding.json").read_text())[TASK]
        with reading(folder / "config_space.json"):
            space = json.loads((folder / "config_space.json").read_text())["hyperparameters"]
            by_name = {entry["name"]: entry for entry in space}
            self.tasks: tuple[str, ...] = tuple(by_name[TASK]["choices"])
            self.space: dict[str, Dimension] = {name: _dimension(by_name[name]) for name in INPUTS}
        options = SessionOptions()
        options.intra_op_num_threads = 1
        with reading(folder / "model.onnx"):
            self._session = InferenceSession((folder / "model.onnx").read_bytes(), options)

    def predict(self, task: str, params: Mapping[str, np.ndarray], epochs: np.ndarray) -> dict[str, np.ndarray]:
        """Predict what trainings reach.

        Args:
            task: name of the task.
            params: values of each hyperparameter by name, `[N]`.
            epochs: the epochs, `[N]`.

        Returns:
            each output by name, float32 `[N]`; `time` is seconds since the start of the training.
        """
        columns = [epochs, *(params[name] for name in INPUTS)]
        inputs = np.stack([np.asarray(column, dtype=np.float32) for column in columns], axis=1)
        codes = np.full((len(epochs), 1), self._codes[task], dtype=np.int32)
        (outputs,) = self._session.run(None, {"x_cat": codes, "x_cont": inputs})
        return dict(zip(OUTPUTS, outputs.T, strict=True))


def _dimension(entry: Mapping[str, Any]) -> Dimension:
    """Return the range of a hyperparameter."""
    low, high, log = entry["lower"], entry["upper"], entry["log"]
    return (
        IntRange(low=low, high=high, log=log) if entry["type"] == "uniform_int" else Range(low=low, high=high, log=log)
    )


def _sign(output: str) -> float:
    return -1.0 if output.endswith("cross_entropy") else 1.0


class LcbenchProblem:
    """One task of LCBench: trials are ranked by one output of the surrogate, and worth another one after all epochs.

    Attributes:
        space, max_epochs, best, typical: see `search.simulation.problem.Problem`.
    """

    max_epochs = EPOCHS

    def __init__(
        self,
        surrogate: LcbenchSurrogate,
        task: str,
        metric: str = "val_accuracy",
        truth: str = "test_balanced_accuracy",
    ) -> None:
        """Take one task of a surrogate.

        Args:
            surrogate: the surrogate.
            task: name of the task.
            metric: the output that ranks trials.
            truth: the output that says what they are truly worth.

        Raises:
            ConfigError: there is no such task.
        """
        if task not in surrogate.tasks:
            raise ConfigError(f"LCBench has no task {task}", f"Choose one of {', '.join(surrogate.tasks)}")
        self._surrogate, self.task = surrogate, task
        self._metric, self._truth = metric, truth
        self.space: Mapping[str, Dimension] = surrogate.space
        self._curves: dict[tuple[Any, ...], dict[str, np.ndarray]] = {}

    @cached_property
    def _sample(self) -> np.ndarray:
        """Quality of random points, `[N]`."""
        rng = np.random.default_rng(0)
        points = {name: dimension.at(rng.random(_SAMPLE)) for name, dimension in self.space.items()}
        outputs = self._surrogate.predict(self.task, points, np.full(_SAMPLE, EPOCHS))
        return _sign(self._truth) * outputs[self._truth]

    @property
    def best(self) -> float:
        """Quality of the best of many random points."""
        return float(self._sample.max())

    @property
    def typical(self) -> float:
        """Median quality of random points."""
        return float(np.median(self._sample))

    def _curve(self, params: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Return all outputs of a training by epoch, `[52]` each."""
        key = tuple(params[name] for name in INPUTS)
        if key not in self._curves:
            repeated = {name: np.full(EPOCHS, params[name]) for name in INPUTS}
            self._curves[key] = self._surrogate.predict(self.task, repeated, np.arange(1, EPOCHS + 1))
        return self._curves[key]

    def quality(self, params: Mapping[str, Any]) -> float:
        """Return what a training is worth after all epochs, see `Problem`."""
        return _sign(self._truth) * float(self._curve(params)[self._truth][-1])

    def epoch(self, trial: TrialAssignment, epoch: int) -> EpochRecord:
        """Return what a trial reports of an epoch, see `LearningCurves`."""
        curve = self._curve(trial.params)
        scores, times = (
            _sign(self._metric) * curve[self._metric][:epoch],
            np.concatenate([[0.0], curve["time"][:epoch]]),
        )
        best = int(scores.argmax())
        return EpochRecord(
            epoch=epoch,
            value=float(scores[best]),
            score=float(scores[-1]),
            best_epoch=best + 1,
            train_loss=float("nan"),
            learning_rate=float(trial.params["learning_rate"]),
            seconds=max(float(times[-1] - times[-2]), 1e-3),
            metrics={},
        )
