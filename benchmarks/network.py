"""What networks and training recipes are worth beside simple models, on real bars: folds, seeds, paired intervals.

`python -m benchmarks.network FOLDER OUTPUT [--spans …] [--variants …] [--seeds …] [--epochs N]` trains every variant on
every fold of every span with every seed, on the bars of FOLDER. OUTPUT keeps the predictions of each training, so the
benchmark goes on where it was interrupted, and prints what is there.

Each fold has test rows that nothing was fitted on: calibration, decision rule and epoch are chosen on its val. A table
shows each model's figures and its lead over the better of the two baselines, with a paired 95 % interval, for which the
same blocks of time are drawn for both sides.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.config import DataConfig, RankingMetric, TrainingConfig
from core.data.dataset import Dataset, fit_dataset
from core.data.market import Market
from core.data.sources.reader import read_market
from core.data.splits import Borders, fold_borders, main_borders
from core.evaluation import baselines
from core.evaluation.block_bootstrap import Interval, confidence_interval, minimum_block_length
from core.evaluation.calibration import logits_of
from core.evaluation.decision import decide, fit_decisions
from core.presets import load_preset
from core.training.trainer import Trainer
from search.statistics.bootstrap import resample, resample_seeds, score_draws
from search.statistics.weighted_metrics import Predictions

SPANS = {
    "BTC+ETH 15m": ("binance_BTCUSDT_15m", "binance_ETHUSDT_15m"),
    "BTC+ETH 5m": ("binance_BTCUSDT_5m", "binance_ETHUSDT_5m"),
    "SOL+XRP 5m": ("binance_SOLUSDT_5m", "binance_XRPUSDT_5m"),
    "BTC+SOL perpetuals 5m": ("binanceusdm_BTCUSDT_5m", "binanceusdm_SOLUSDT_5m"),
    "BTC+ETH 1h": ("binance_BTCUSDT_1h", "binance_ETHUSDT_1h"),
}
METRICS: tuple[RankingMetric, ...] = ("nll", "auc", "direction_auc", "macro_f1", "mcc")
BASELINES = ("logistic regression", "gradient boosting")
DRAWS = 1000
MIN_ROWS = 300
"""Fewest usable rows of a split; the val of the first fold of 1-hour bars has 484."""
FAST: dict[str, Any] = {"learning_rate": 1e-3, "batch_size": 512, "schedule": "cosine", "epochs": 6}
"""A higher learning rate over fewer epochs than the guide advises."""


def _variant(model: Mapping[str, Any] | None = None, **trainer: Any) -> Callable[[TrainingConfig], TrainingConfig]:
    def change(recipe: TrainingConfig) -> TrainingConfig:
        changed = recipe.model.model_copy(update=dict(model or {}))
        return recipe.model_copy(update={"model": changed}).with_trainer(**trainer)

    return change


VARIANTS: dict[str, Callable[[TrainingConfig], TrainingConfig]] = {
    "present": _variant(),
    "without the forest": _variant({"forest": "none"}),
    "without the path": _variant({"last_bar": "none"}),
    "without the average": _variant(ema_decay=0.0),
    "without any": _variant({"forest": "none", "last_bar": "none"}, ema_decay=0.0),
    "fast": _variant(**FAST),
}
"""Changes to the default recipe, by the name of the variant."""
WINDOWS = {f"window {bars}": bars for bars in (8, 16, 32)}
"""Bars in a window, by the name of the variant, whose recipe is the default one; others have those of the data."""


def borders_of(market: Market, data: DataConfig) -> list[Borders]:
    """Return the borders of two folds of confirmation, and those of the main splits as a third."""
    return [*fold_borders(market.span, data, 2), main_borders(market.span, data)]


def train(dataset: Dataset, recipe: TrainingConfig) -> np.ndarray:
    """Train, and return the logits of the best epoch for val and test rows, one after the other, `[N, 3]`."""
    trainer = Trainer(recipe, dataset, torch.device("cpu"))
    for _ in trainer:
        pass
    trainer.evaluate_best()
    return trainer.logits(torch.from_numpy(np.concatenate([dataset.val, dataset.test])))


def logits(name: str, dataset: Dataset, recipe: TrainingConfig) -> np.ndarray:
    """Return the logits of a simple model or of a variant of the recipe for val and test rows."""
    rows = np.concatenate([dataset.val, dataset.test])
    if name in BASELINES:
        return logits_of(baselines.BASELINES[name](dataset, rows))
    if name in WINDOWS:  # on the same rows, at which longer windows end, too
        return train(replace(dataset, window=WINDOWS[name]), recipe)
    return train(dataset, VARIANTS[name](recipe))


def predictions(dataset: Dataset, scores: np.ndarray, fold: int) -> Predictions:
    """Return the predictions of a fold's test rows, calibrated and called by what its val asks for."""
    val, test, size = scores[: len(dataset.val)], scores[len(dataset.val) :], len(dataset.test)
    val_labels, val_instants = dataset.labels[dataset.val], dataset.timestamps[dataset.val]
    fitted = fit_decisions(val, val_labels, val_instants, dataset.bar, "macro_f1")
    instants, labels = dataset.timestamps[dataset.test], dataset.labels[dataset.test].astype(np.int64)
    decisions = decide(test, instants, *fitted)
    return Predictions(
        instants=instants,
        labels=labels,
        probabilities=decisions.probabilities,
        losses=-np.log(decisions.probabilities[np.arange(size), labels]),
        bar=dataset.bar,
        calls=decisions.calls,
        folds=np.full(size, fold),
    )


def join(folds: Sequence[Predictions]) -> Predictions:
    """Return the predictions of several folds as one."""
    names = ("instants", "labels", "probabilities", "losses", "calls", "folds")
    return Predictions(**{name: np.concatenate([getattr(f, name) for f in folds]) for name in names}, bar=folds[0].bar)


def run_span(span: str, names: Sequence[str], folder: Path, output: Path, options: argparse.Namespace) -> None:
    """Make, or read, the predictions of all models on one span, and print their table."""
    data = DataConfig(files=tuple(folder / f"{name}.parquet" for name in SPANS[span]))
    market = read_market(data)
    recipe = load_preset("production_small").training_config(size="quick").with_trainer(epochs=options.epochs)
    by_model: dict[str, dict[int, list[Predictions]]] = {}
    for fold, borders in enumerate(borders_of(market, data)):
        dataset = fit_dataset(market, data, borders, MIN_ROWS)
        for name, seed in product([*BASELINES, *names], options.seeds):
            if name in BASELINES and seed != options.seeds[0]:
                continue
            path = output / f"{span}-{fold}-{name}-{seed}-{options.epochs}.npy".replace(" ", "_")
            if not path.exists():
                np.save(path, logits(name, dataset, recipe.with_trainer(seed=seed)))
                print(f"{span}, fold {fold + 1}, {name}, seed {seed}: trained", flush=True)
            by_model.setdefault(name, {}).setdefault(seed, []).append(predictions(dataset, np.load(path), fold))
    show(span, {name: [join(folds) for folds in by_seed.values()] for name, by_seed in by_model.items()}, data)


def show(span: str, models: dict[str, list[Predictions]], data: DataConfig) -> None:
    """Print the figures of all models on one span, and the leads of the networks over the better baseline."""
    first = models[BASELINES[0]][0]
    instants, rng = np.unique(first.instants), np.random.default_rng(0)
    drawn = resample(len(instants), minimum_block_length(data.horizon, first.bar), rng, DRAWS)
    draws: dict[str, dict[str, np.ndarray]] = {}
    for name, by_seed in models.items():
        seeds = resample_seeds(len(by_seed), np.random.default_rng(1), DRAWS)
        draws[name] = {m: score_draws(m, by_seed, instants, drawn.weights, seeds) for m in METRICS}
    rows = []
    for name, of_model in draws.items():
        cells = [f"{abs(of_model[metric][0]):.4f}" for metric in METRICS]
        if name not in BASELINES:
            for index, metric in enumerate(METRICS):
                best = max((draws[baseline][metric] for baseline in BASELINES), key=lambda values: float(values[0]))
                cells[index] += f" {describe(confidence_interval(of_model[metric] - best, drawn.blocks))}"
        rows.append([name, *cells])
    print(f"\n{span}, {len(first.labels):,} test rows; leads over the better baseline in thousandths\n")
    for row in (["model", *METRICS], ["---"] * (1 + len(METRICS)), *rows):
        print("| " + " | ".join(row) + " |")


def describe(lead: Interval) -> str:
    """Return a lead with its interval, in thousandths."""
    return f"({lead.value * 1e3:+.1f}, {lead.low * 1e3:+.1f} to {lead.high * 1e3:+.1f})"


def main() -> None:
    """Run the benchmark with the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--spans", nargs="+", default=list(SPANS), choices=list(SPANS))
    parser.add_argument("--variants", nargs="*", default=["present", "without any"], choices=[*VARIANTS, *WINDOWS])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    for span in options.spans:
        run_span(span, options.variants, options.folder, options.output, options)


if __name__ == "__main__":
    main()
