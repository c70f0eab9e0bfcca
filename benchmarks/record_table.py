"""Records how configurations learn on real bars: the table that searches are simulated on.

`python -m benchmarks.record_table FOLDER OUTPUT [--table FILE]` trains quasi-random configurations of the default space
on three folds of BTC and ETH, 15-minute bars, for eighteen short epochs; each fifth configuration with three seeds, the
others with one. Configuration 0 is `production_small`. OUTPUT keeps a file for each training, so the recording goes on
where it was interrupted, and several processes with the same OUTPUT share the work. Trainings that an earlier table
holds are taken from it. The table is written when nothing is left to train, or of what is there with `--partly`.

A row of the table is an epoch of a training. Columns are the six hyperparameters, `configuration`, `fold`, `seed`,
`epoch`, `seconds`, `train_loss`, `weight` of the forest beside the network, and each metric three times: `val_…`, as a
campaign's trial is judged on the fold's val; `later_…`, on the block of time that follows, with calibration, weight and
rule that val asks for; and `network_…`, on val by the network alone, for metrics that need no calls.
"""

from __future__ import annotations

import argparse
import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.special import softmax
from scipy.stats import qmc

from core.config import HYPERPARAMETER_NAMES, DataConfig, Hyperparameters, TrainingConfig
from core.data.dataset import Dataset, fit_dataset
from core.data.sources.reader import read_market
from core.data.splits import fold_borders
from core.errors import PresetSearchError, one_line
from core.evaluation.decision import decide, fit_decisions
from core.evaluation.metric_names import METRIC_NAMES
from core.evaluation.metrics import evaluate
from core.evaluation.report import evaluate_rows
from core.files import write_json, write_table
from core.models.forest import blend
from core.presets import load_preset
from core.training.trainer import Trainer
from search.study.space import Choice, SpaceConfig

CONFIGURATIONS, FOLDS, SEEDS, EVERY = 200, 3, 3, 5
EPOCHS, EPOCH_WINDOWS, WINDOW = 18, 8192, 16
MIN_ROWS = 300
NETWORK_METRICS = ("nll", "auc", "direction_auc")


class Cell(NamedTuple):
    """One training: a configuration by its number, a fold and a seed, both counted from 0."""

    configuration: int
    fold: int
    seed: int


def configurations() -> list[Hyperparameters]:
    """Return the configurations: `production_small`, then a scrambled Sobol sequence over the default space."""
    space = SpaceConfig()
    points = qmc.Sobol(len(HYPERPARAMETER_NAMES), rng=np.random.default_rng(0)).random(256)[:CONFIGURATIONS]
    scaled: list[dict[str, Any]] = [
        {name: _scaled(getattr(space, name), share) for name, share in zip(HYPERPARAMETER_NAMES, point, strict=True)}
        for point in points
    ]
    return [load_preset("production_small").hyperparameters, *(Hyperparameters(**values) for values in scaled)]


def _scaled(part: Any, share: float) -> float | int:
    """Return the value at a share, in 0..1, of a range or a choice."""
    if isinstance(part, Choice):
        return int(part.values[int(share * len(part.values))])  # noqa: PD011
    low, high = part.ends()
    return float(low * (high / low) ** share if part.log else low + (high - low) * share)


def cells() -> Iterator[Cell]:
    """Return all cells, so that a part of them, from the first on, is a smaller table of the same kind."""
    for number in range(CONFIGURATIONS + 1):
        for seed in range(SEEDS if number % EVERY == 0 else 1):
            for fold in range(FOLDS):
                yield Cell(number, fold, seed)


class RecordingTrainer(Trainer):
    """A trainer that also judges its present weights on the block of time after val."""

    later_forest: np.ndarray | None = None

    def later_scores(self) -> dict[str, float]:
        """Return the metrics of the present weights as columns of the table."""
        dataset, metric = self._dataset, self.config.trainer.metric
        on_val = self._network_logits(self._val)
        later = self._network_logits(torch.from_numpy(dataset.test))
        labels, instants = dataset.labels[dataset.val], dataset.timestamps[dataset.val]
        of_network = evaluate(
            labels,
            np.asarray(softmax(on_val, axis=1)),
            decide(on_val, instants, *fit_decisions(on_val, labels, instants, dataset.bar, metric)),
            NETWORK_METRICS,
        )
        weight = 0.0
        if self.forest is not None and self._forest_on_val is not None:
            if self.later_forest is None:
                self.later_forest = self.forest.logits(dataset.features[dataset.test])
            weight = self._forest_on_val.fit_weight(on_val)
            on_val = blend(on_val, self._forest_on_val.logits, weight)
            later = blend(later, self.later_forest, weight)
        fitted = fit_decisions(on_val, labels, instants, dataset.bar, metric)
        decisions = decide(later, dataset.timestamps[dataset.test], *fitted)
        scores = evaluate_rows(dataset, dataset.test, np.asarray(softmax(later, axis=1)), decisions, METRIC_NAMES)
        return {
            "weight": weight,
            **{f"later_{name}": value for name, value in scores.items()},
            **{f"network_{name}": of_network[name] for name in NETWORK_METRICS},
        }


def record(dataset: Dataset, recipe: TrainingConfig) -> list[dict[str, float]]:
    """Train, and return the columns of each epoch; fewer rows than epochs if the training diverges."""
    rows: list[dict[str, float]] = []
    try:
        rows.extend(epochs(RecordingTrainer(recipe, dataset, torch.device("cpu"))))  # those before an error are kept
    except PresetSearchError as error:
        print(f"a training ended at epoch {len(rows) + 1}: {one_line(error)}", flush=True)
    return rows


def epochs(trainer: RecordingTrainer) -> Iterator[dict[str, float]]:
    """Train, and yield the columns of each epoch."""
    for result in trainer:
        yield {
            "epoch": result.epoch,
            "seconds": result.seconds,
            "train_loss": result.train_loss,
            **{f"val_{name}": value for name, value in result.metrics.items()},
            **trainer.later_scores(),
        }


def folds(folder: Path) -> list[Dataset]:
    """Return the datasets of the folds, on the bars of a folder."""
    data = DataConfig(files=tuple(folder / f"binance_{symbol}_15m.parquet" for symbol in ("BTCUSDT", "ETHUSDT")))
    market = read_market(data)
    borders = fold_borders(market.span, data, FOLDS)
    return [replace(fit_dataset(market, data, fold, MIN_ROWS), window=WINDOW) for fold in borders]


def path_of(output: Path, cell: Cell) -> Path:
    """Return the path of the file that keeps the result of a cell."""
    return output / f"{cell.configuration:03d}-{cell.fold}-{cell.seed}.json"


@contextmanager
def claimed(output: Path, cell: Cell) -> Iterator[bool]:
    """Yield whether a cell is left to train; while the block lasts, no other process trains it."""
    path = path_of(output, cell)
    with path.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield not path.exists()


def unpack(table: Path, output: Path) -> None:
    """Write the trainings of an earlier table to files, so that they are not run again."""
    if not table.exists():
        return
    for key, rows in pd.read_parquet(table).groupby([*Cell._fields]):
        path = path_of(output, Cell(*(int(str(part)) for part in key)))
        if not path.exists():
            columns = [name for name in rows if name not in (*Cell._fields, *HYPERPARAMETER_NAMES)]
            write_json(path, {"epochs": rows.sort_values("epoch")[columns].to_dict("records")})


def write(output: Path, table: Path) -> None:
    """Write the table of all trainings that are there."""
    values = configurations()
    frame = pd.DataFrame(
        {**cell._asdict(), **values[cell.configuration].model_dump(), **row}
        for cell in cells()
        if path_of(output, cell).exists()
        for row in json.loads(path_of(output, cell).read_text())["epochs"]
    )
    floats = frame.columns[frame.dtypes == np.float64].difference(list(HYPERPARAMETER_NAMES))
    table.parent.mkdir(parents=True, exist_ok=True)
    write_table(table, frame.astype(dict.fromkeys(floats, np.float32)))
    print(f"{table}: {frame.groupby(list(Cell._fields)).ngroups} trainings, {len(frame)} epochs")


def main() -> None:
    """Run the recording with the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--table", type=Path, default=Path("benchmarks/tables/btc-eth-15m.parquet"))
    parser.add_argument("--partly", action="store_true", help="train nothing, write the table of what is there")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.output.mkdir(parents=True, exist_ok=True)
    unpack(options.table, options.output)
    if not options.partly:
        values, datasets = configurations(), folds(options.folder)
        base = load_preset("production_small").training_config(size="quick")
        base = base.with_trainer(epochs=EPOCHS, epoch_windows=EPOCH_WINDOWS, patience=None)
        for cell in cells():
            with claimed(options.output, cell) as is_left:
                if is_left:
                    recipe = values[cell.configuration].apply(base).with_trainer(seed=cell.seed)
                    write_json(path_of(options.output, cell), {"epochs": record(datasets[cell.fold], recipe)})
                    print(cell, flush=True)
    write(options.output, options.table)


if __name__ == "__main__":
    main()
