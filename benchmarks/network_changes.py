"""What changes to the network are worth that are not part of it: paths from the last bar, further tasks, pace.

`python -m benchmarks.network_changes FOLDER OUTPUT [--spans …] [--changes …]` trains the network without its forest, on
windows of 16 bars with one seed, once as it is and once with each change, on the folds of `benchmarks.network`. It
prints by how much each change improves each figure, with a paired 95 % interval. OUTPUT keeps the predictions.
"""

from __future__ import annotations

import argparse
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.network import DRAWS, METRICS, MIN_ROWS, SPANS, borders_of, describe, join, predictions
from core.config import DataConfig, TrainingConfig
from core.data.dataset import Dataset, fit_dataset
from core.data.sources.reader import read_market
from core.evaluation.block_bootstrap import confidence_interval, minimum_block_length
from core.files import write_table
from core.models.cnn_lstm import HybridCNNLSTM
from core.models.layers import LastBarPath
from core.presets import load_preset
from core.training.forest_fit import fit_forest
from core.training.last_bar import fit_last_bar
from core.training.trainer import Trainer
from search.statistics.bootstrap import resample, resample_seeds, score_draws
from search.statistics.weighted_metrics import Predictions

WINDOW = 16
EPOCHS = {"BTC+ETH 15m": 10, "BTC+ETH 5m": 4, "SOL+XRP 5m": 4, "BTC+SOL perpetuals 5m": 3, "BTC+ETH 1h": 10}
FURTHER_HORIZONS = (3, 12)
"""Multiples of the horizon whose labels are further tasks."""
FURTHER_WEIGHT = 0.3
PULL = 10.0
"""Decay of the path towards what it was set to, in units of the learning rate."""
HIDDEN = 32
EVALUATION = 0.08
"""Share of an epoch's time that evaluating val takes."""
DAY_BARS = 96
"""Bars that the relative volume is relative to."""


class Changed(Trainer):
    """Trains the network with a change that is made once path and weights are there."""

    def path(self) -> LastBarPath:
        """Return the path from the last bar."""
        path = self.model.last_bar_path
        assert path is not None
        return path

    def _fit_simple_models(self) -> None:
        super()._fit_simple_models()
        self.change()

    def change(self) -> None:
        """Make the change."""


class FromZero(Changed):
    """The path starts from zero, not from a logistic regression."""

    def change(self) -> None:
        """Empty the path, but keep the scale of the loss."""
        with torch.no_grad():
            self.path().weight.zero_()
            self.path().bias.zero_()


class Fixed(Changed):
    """The path stays as it was set."""

    def change(self) -> None:
        """Take the path out of the training."""
        self.path().requires_grad_(False)


class Pulled(Changed):
    """The path decays towards what it was set to: L2-SP, Li et al. 2018, arXiv:1802.01483."""

    def change(self) -> None:
        """Remember what the path was set to."""
        self._start = [parameter.detach().clone() for parameter in self.path().parameters()]

    def _step(self, rows: Tensor) -> Tensor:
        loss = super()._step(rows)
        pull = PULL * float(self._optimizer.param_groups[0]["lr"])
        with torch.no_grad():
            for parameter, start in zip(self.path().parameters(), self._start, strict=True):
                parameter.lerp_(start, pull)
        return loss


class Extended(Changed):
    """The network has weights beside its own, which are trained with a constant rate and not averaged."""

    def optimize(self, module: nn.Module) -> None:
        """Train a module's weights, too."""
        self._further = torch.optim.AdamW(module.parameters(), self.config.trainer.learning_rate)

    def _step(self, rows: Tensor) -> Tensor:
        self._further.zero_grad()
        loss = super()._step(rows)
        self._further.step()
        return loss


class Added(Extended, ABC):
    """Something with weights of its own changes what the path says."""

    @abstractmethod
    def addition(self) -> nn.Module:
        """Return the module that maps the last bars `[B, F]` and the output of the path `[B, 4]` to another output."""

    def change(self) -> None:
        """Let the module see what the path sees and says, in the network and in its average."""
        module = self.addition()
        self.optimize(module)

        def hook(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            changed: Tensor = module(inputs[0][:, -1], output)
            return changed

        for network in {self.model, self.evaluated}:
            assert network.last_bar_path is not None
            network.last_bar_path.register_forward_hook(hook)


class Gated(Added):
    """A learned scalar multiplies the path."""

    def addition(self) -> nn.Module:
        """Return the gate."""

        class Gate(nn.Module):
            """Multiplies the path by a scalar."""

            def __init__(self) -> None:
                super().__init__()
                self.gate = nn.Parameter(torch.ones(1))

            def forward(self, bars: Tensor, output: Tensor) -> Tensor:
                return output * self.gate

        return Gate()


class TwoLayers(Added):
    """A small nonlinear path lies beside the linear one."""

    def addition(self) -> nn.Module:
        """Return two layers that say nothing at first."""
        features, outputs = self.path().in_features, self.path().out_features

        class Layers(nn.Module):
            """Adds two layers to the path."""

            def __init__(self) -> None:
                super().__init__()
                last = nn.Linear(HIDDEN, outputs)
                nn.init.zeros_(last.weight)
                nn.init.zeros_(last.bias)
                self.layers = nn.Sequential(nn.Linear(features, HIDDEN), nn.GELU(), last)

            def forward(self, bars: Tensor, output: Tensor) -> Tensor:
                added: Tensor = output + self.layers(bars)
                return added

        return Layers()


class FurtherHorizons(Extended):
    """The network also learns the labels of longer horizons, where they are complete before val."""

    def change(self) -> None:
        """Add a head for each further horizon."""
        self._tasks = [_labels_of(self._dataset, factor) for factor in FURTHER_HORIZONS]
        assert isinstance(self.model, HybridCNNLSTM)
        self._heads = nn.Linear(self.model.direction.in_features, 3 * len(self._tasks))
        self.optimize(self._heads)
        self._loss_of_direction, self._rows_of_step = self._loss, torch.zeros(0, dtype=torch.int64)
        self.model.context_norm.register_forward_hook(self._keep_context)
        self._loss = self._with_further_tasks  # type: ignore[assignment]

    def _keep_context(self, _: nn.Module, __: Any, output: Tensor) -> None:
        self._context = output

    def _step(self, rows: Tensor) -> Tensor:
        self._rows_of_step = rows
        return super()._step(rows)

    def _with_further_tasks(self, *arguments: Tensor) -> Tensor:
        total: Tensor = self._loss_of_direction(*arguments)
        scores = self._heads(self._context).unflatten(1, (-1, 3))
        for index, labels in enumerate(self._tasks):
            of_rows = labels[self._rows_of_step]
            known = (of_rows >= 0) & ~arguments[-1]  # a blend of two samples has no label of its own
            if known.any():
                total = total + FURTHER_WEIGHT * functional.cross_entropy(scores[known, index], of_rows[known])
        return total


def _labels_of(dataset: Dataset, factor: int) -> Tensor:
    """Return labels of a longer horizon, int64 `[T]`; -1 where it is not over before the end of train."""
    ahead, labels = factor * dataset.horizon, np.full(len(dataset.labels), -1)
    for symbol in range(len(dataset.symbol_names)):
        rows = np.flatnonzero(dataset.symbols == symbol)
        times, prices = dataset.timestamps[rows], dataset.log_prices[rows]
        moves = prices[ahead:] - prices[:-ahead]
        known = (times[ahead:] - times[:-ahead] == ahead * dataset.bar) & (times[ahead:] < dataset.borders.train[1])
        rows = rows[:-ahead]
        low, high = np.quantile(moves[known & np.isin(rows, dataset.train)], [0.25, 0.75])
        labels[rows[known]] = np.digitize(moves[known], [low, high])
    return torch.from_numpy(labels)


def _with_forest_as_features(dataset: Dataset, blocks: int = 4) -> Dataset:
    """Return a dataset with a forest's logits as features; on train rows, of forests that have not seen them."""
    logits = fit_forest(dataset).logits(dataset.features)
    times = dataset.timestamps[dataset.train]
    edges = np.quantile(times, np.linspace(0, 1, blocks + 1))
    for start, stop in pairwise(edges):
        margin = (dataset.horizon + 1) * dataset.bar
        others = dataset.train[(times < start - margin) | (times > stop + margin)]
        inside = (dataset.timestamps >= start) & (dataset.timestamps <= stop)
        logits[inside] = fit_forest(replace(dataset, train=others)).logits(dataset.features[inside])
    features = np.concatenate([dataset.features, logits.astype(np.float32)], axis=1)
    return replace(dataset, features=features, feature_names=(*dataset.feature_names, *"012"))


def _train(trainer: Trainer, dataset: Dataset) -> np.ndarray:
    for _ in trainer:
        pass
    trainer.load_best()
    return trainer._network_logits(torch.from_numpy(np.concatenate([dataset.val, dataset.test])))


def _by(trainer: type[Trainer], **settings: Any) -> Callable[[Dataset, TrainingConfig], np.ndarray]:
    def train(dataset: Dataset, recipe: TrainingConfig) -> np.ndarray:
        return _train(trainer(recipe.with_trainer(**settings), dataset, torch.device("cpu")), dataset)

    return train


def _with_stride(dataset: Dataset, recipe: TrainingConfig) -> np.ndarray:
    """Train on every third row for three times as many epochs, from the path that all rows have set."""

    class Strided(Changed):
        """Has the path of the whole dataset."""

        def change(self) -> None:
            self.path().set_direction(*fit_last_bar(dataset, recipe))

    every_third = replace(dataset, train=dataset.train[::3])
    longer = recipe.with_trainer(epochs=3 * recipe.trainer.epochs)
    return _train(Strided(longer, every_third, torch.device("cpu")), dataset)


def _with_short_epochs(times: float) -> Callable[[Dataset, TrainingConfig], np.ndarray]:
    """Train with epochs of a quarter of the windows, `times` as many; val may choose the weights of each."""

    def train(dataset: Dataset, recipe: TrainingConfig) -> np.ndarray:
        epochs = round(times * recipe.trainer.epochs)
        return _by(Trainer, epoch_windows=len(dataset.train) // 4, epochs=epochs)(dataset, recipe)

    return train


def _without_path(dataset: Dataset, recipe: TrainingConfig) -> np.ndarray:
    model = recipe.model.model_copy(update={"last_bar": "none"})
    return _by(Trainer)(dataset, recipe.model_copy(update={"model": model}))


PRESENT = "present, without the forest"
RAW = "log range, relative volume and taker share as further channels"
CHANGES: dict[str, Callable[[Dataset, TrainingConfig], np.ndarray]] = {
    PRESENT: _by(Trainer),
    "no path": _without_path,
    "path from zero": _by(FromZero),
    "path fixed": _by(Fixed),
    "path pulled to its start": _by(Pulled),
    "path gated": _by(Gated),
    "two layers beside the path": _by(TwoLayers),
    "forest's logits as features": lambda dataset, recipe: _by(Trainer)(_with_forest_as_features(dataset), recipe),
    "no average": _by(Trainer, ema_decay=0.0),
    "warm-up of 500 steps": _by(Trainer, warmup_steps=500),
    "horizons of 9 and 36 bars, too": _by(FurtherHorizons),
    "every third row, three times the epochs": _with_stride,
    "epochs of a quarter of the windows": _with_short_epochs(4),
    "epochs of a quarter of the windows, in the same time": _with_short_epochs(4 / (1 + 3 * EVALUATION)),
    RAW: _by(Trainer),
}


def _with_raw_columns(files: Sequence[Path], output: Path) -> DataConfig:
    """Write the bar files once more, with the channels of `RAW` as further columns, and return settings that name them.

    Args:
        files: the bar files.
        output: folder for the new files.
    """
    written = []
    for file in files:
        bars = pd.read_parquet(file)
        volume = bars["volume"]
        columns = {
            "raw_range": np.log(bars["high"] / bars["low"] + 1e-6),
            "raw_volume": np.log(volume / volume.rolling(DAY_BARS, min_periods=1).mean() + 0.01).fillna(0.0),
        }
        if "taker_buy_base" in bars:
            columns["raw_taker_share"] = (bars["taker_buy_base"] / volume).fillna(0.5)
        written.append(output / file.name)
        write_table(written[-1], bars.assign(**columns))
    return DataConfig(files=tuple(written), features=("raw_*",))


def run_span(span: str, changes: list[str], folder: Path, output: Path) -> None:
    """Make, or read, the predictions with all changes on one span, and print what each is worth."""
    data = DataConfig(files=tuple(folder / f"{name}.parquet" for name in SPANS[span]))
    market = read_market(data)
    raw = _with_raw_columns(data.files, output) if RAW in changes else data
    raw_market = read_market(raw)
    recipe = load_preset("production_small").training_config(size="quick", seed=1).with_trainer(epochs=EPOCHS[span])
    recipe = recipe.model_copy(update={"model": recipe.model.model_copy(update={"forest": "none"})})
    models: dict[str, list[Predictions]] = {}
    for fold, borders in enumerate(borders_of(market, data)):
        dataset = replace(fit_dataset(market, data, borders, MIN_ROWS), window=WINDOW)
        with_raw = replace(fit_dataset(raw_market, raw, borders, MIN_ROWS), window=WINDOW)
        for name in [PRESENT, *changes]:
            path = output / f"{span}-{fold}-{name}.npy".replace(" ", "_")
            if not path.exists():
                np.save(path, CHANGES[name](with_raw if name == RAW else dataset, recipe))
                print(f"{span}, fold {fold + 1}, {name}: trained", flush=True)
            models.setdefault(name, []).append(predictions(dataset, np.load(path), fold))
    show(span, {name: join(folds) for name, folds in models.items()}, data)


def show(span: str, models: dict[str, Predictions], data: DataConfig) -> None:
    """Print by how much each change improves each figure on one span."""
    present = models.pop(PRESENT)
    instants = np.unique(present.instants)
    drawn = resample(len(instants), minimum_block_length(data.horizon, present.bar), np.random.default_rng(0), DRAWS)
    seeds = resample_seeds(1, np.random.default_rng(1), DRAWS)
    print(f"\n{span}: what each change improves, in thousandths\n\n| change | " + " | ".join(METRICS) + " |")
    print("|" + "---|" * (1 + len(METRICS)))
    for name, changed in models.items():
        cells = []
        for metric in METRICS:
            with_it, without = (score_draws(metric, [m], instants, drawn.weights, seeds) for m in (changed, present))
            cells.append(describe(confidence_interval(with_it - without, drawn.blocks)).strip("()"))
        print(f"| {name} | " + " | ".join(cells) + " |")


def main() -> None:
    """Run the benchmark with the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--spans", nargs="+", default=list(EPOCHS), choices=list(EPOCHS))
    parser.add_argument("--changes", nargs="+", default=[c for c in CHANGES if c != PRESENT], choices=list(CHANGES))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    for span in options.spans:
        run_span(span, options.changes, options.folder, options.output)


if __name__ == "__main__":
    main()
