"""A whole campaign: our `run` beside a stock Ray Tune script whose trial is Lightning with a DataLoader.

`python -m benchmarks.campaign [--bars FOLDER] [--seconds N]` gives both sides the same seconds of the same machine, and
again a half and a quarter of them, two trials at a time on one thread each, from an empty process. What each side found
best is then trained again by that side on folds of the time before val, and judged on rows that nothing was fitted on.

Ours is all that `run` does, with its defaults: windows of 16 bars, journal, checkpoints, all metrics, tables. The
script is OptunaSearch with TPE of the same seed, ASHAScheduler with the same rungs, the network as one would write it
on windows of 60 bars, the macro-F1 alone, nothing kept. The market is the synthetic switching one; with --bars, BTC and
ETH in 15-minute bars.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.side import run_side

TRIALS = 10_000
"""More than either side can begin in its time."""
MAX_EPOCHS, GRACE, REDUCTION = 18, 2, 3
STOCK_WINDOW = 60
FOLDS = 3
SHARES = (0.25, 0.5, 1.0)
FIGURES = ("nll", "auc", "direction_auc", "macro_f1")
DAYS = 120
"""Days of recorded bars."""


def _data(bars: str, window: int) -> Any:
    """Return the settings of the bars; `bars` is their folder, or empty for the synthetic market."""
    from core.config import DataConfig, SyntheticConfig

    if bars:
        files = tuple(Path(bars, f"binance_{symbol}_15m.parquet") for symbol in ("BTCUSDT", "ETHUSDT"))
        return DataConfig(files=files, days=DAYS, window=window)
    market = SyntheticConfig(bars=8640, symbols=("AAA", "BBB"), shape="switching", signal=0.6)
    return DataConfig(synthetic=market, window=window)


def run_ours(folder: Path, bars: str, seconds: float) -> dict[str, Any]:
    """Run our campaign for so long; return its epochs, its trials and the hyperparameters with the best value."""
    from core.config import HYPERPARAMETER_NAMES
    from search import CampaignConfig, CampaignFolder, plan_campaign, run_campaign
    from search.config import CAMPAIGN_WINDOW
    from search.engine import RayEngine

    config = CampaignConfig(
        name="bench", data=_data(bars, CAMPAIGN_WINDOW), trials=TRIALS, max_epochs=MAX_EPOCHS, grace=GRACE,
        reduction=REDUCTION, ask=(), model="quick", device="cpu",
    )  # fmt: skip
    campaign = CampaignFolder(folder / "bench")
    timer = threading.Timer(seconds, campaign.stop_request.touch)
    timer.start()
    run_campaign(plan_campaign(config, folder), RayEngine())
    timer.cancel()
    trials = campaign.read_trials()
    best = trials.sort_values("value", na_position="first").iloc[-1]
    pick = {name: best[name].item() for name in HYPERPARAMETER_NAMES}
    return {"epochs": len(campaign.read_curves()), "trials": len(trials), "pick": pick}


def run_stock(folder: Path, bars: str, seconds: float) -> dict[str, Any]:
    """Run the script of a user of stock Ray Tune for so long; return the same as `run_ours`."""
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    from core.data.dataset import load_dataset
    from search.cluster.session import ray_session
    from search.study.samplers import make_sampler
    from search.study.space import SpaceConfig

    end = time.monotonic() + seconds

    class Spent(tune.Stopper):
        """Ends it all when the time is over."""

        def __init__(self) -> None:
            self.epochs = 0

        def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
            self.epochs += 1
            return False

        def stop_all(self) -> bool:
            return time.monotonic() >= end

    spent = Spent()
    with ray_session():
        dataset = load_dataset(_data(bars, STOCK_WINDOW)).without_test()
        results = tune.Tuner(
            tune.with_resources(tune.with_parameters(_stock_trial, dataset=dataset), {"cpu": 1.0}),
            tune_config=tune.TuneConfig(
                search_alg=OptunaSearch(
                    space=SpaceConfig().distributions(), metric="macro_f1", mode="max", sampler=make_sampler("tpe", 0)
                ),
                scheduler=ASHAScheduler(
                    metric="macro_f1", mode="max", max_t=MAX_EPOCHS, grace_period=GRACE, reduction_factor=REDUCTION
                ),
                num_samples=TRIALS,
                max_concurrent_trials=2,
            ),
            run_config=tune.RunConfig(name="bench", storage_path=str(folder), verbose=0, stop=spent),
        ).fit()
    best = results.get_best_result("macro_f1", "max", scope="all").config
    return {"epochs": spent.epochs, "trials": len(results), "pick": best}


def _stock_trial(config: dict[str, Any], dataset: Any) -> None:
    from ray import tune

    for module in _stock_training(config, dataset):
        tune.report({"macro_f1": module.macro_f1})


def _stock_training(config: Mapping[str, Any], dataset: Any) -> Iterator[Any]:
    """Train as a user of Lightning would, and yield the module after each epoch."""
    import lightning
    import torch
    from torch.utils.data import DataLoader

    from benchmarks.stock_loop import Module, Windows
    from core import presets
    from core.config import Hyperparameters

    torch.set_num_threads(1)
    torch.manual_seed(0)
    base = presets.load_preset("production_small").training_config(size="quick", metric="macro_f1", seed=0)
    recipe = Hyperparameters(**config).apply(base)
    module = Module(recipe, dataset, torch.device("cpu"))
    train = DataLoader(Windows(dataset, dataset.train), recipe.trainer.batch_size, shuffle=True)
    val = DataLoader(Windows(dataset, dataset.val), 1024)
    trainer = lightning.Trainer(
        max_epochs=0, accelerator="cpu", gradient_clip_val=recipe.trainer.clip_norm, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    for epoch in range(MAX_EPOCHS):
        trainer.fit_loop.max_epochs = epoch + 1
        trainer.fit(module, train, val)
        yield module


def judge(side: str, bars: str, pick: Mapping[str, Any]) -> dict[str, float]:
    """Train hyperparameters again as a side does, on folds of the time before val; return the figures of the folds."""
    from benchmarks.network import join, predictions
    from core.data.dataset import fit_dataset
    from core.data.sources.reader import read_market
    from core.data.splits import fold_borders
    from search.config import CAMPAIGN_WINDOW
    from search.statistics.weighted_metrics import unweighted_score

    data = _data(bars, CAMPAIGN_WINDOW if side == "ours" else STOCK_WINDOW)
    market, folds = read_market(data), []
    for number, borders in enumerate(fold_borders(market.span, data, FOLDS)):
        dataset = fit_dataset(market, data, borders, 100)
        logits = _logits_of_ours(pick, dataset) if side == "ours" else _logits_of_stock(pick, dataset)
        folds.append(predictions(dataset, logits, number))
    joined = join(folds)
    return {name: abs(unweighted_score(name, joined)) for name in FIGURES}  # type: ignore[arg-type]


def _logits_of_ours(pick: Mapping[str, Any], dataset: Any) -> np.ndarray:
    from benchmarks.network import train
    from core import presets
    from core.config import Hyperparameters

    base = presets.load_preset("production_small").training_config(size="quick", metric="macro_f1", seed=1)
    trial = base.with_trainer(epochs=MAX_EPOCHS, schedule="cosine", patience=None)
    return train(dataset, Hyperparameters(**pick).apply(trial))


def _logits_of_stock(pick: Mapping[str, Any], dataset: Any) -> np.ndarray:
    """Return the logits of the epoch that was best on val, for val and test rows."""
    import torch

    from core.models.windows import predict_windows

    rows, best, kept = torch.from_numpy(np.concatenate([dataset.val, dataset.test])), -1.0, np.zeros((0, 3))
    for module in _stock_training(pick, dataset):
        if module.macro_f1 > best:
            model = module.model.eval()
            predicted = predict_windows(model, torch.from_numpy(dataset.features), rows, dataset.window)
            best, kept = module.macro_f1, np.asarray(predicted.direction.numpy())
            model.train()
    return kept


def _child(*arguments: str) -> dict[str, Any]:
    result: dict[str, Any] = run_side("benchmarks.campaign", *arguments)
    return result


def compare(bars: str, seconds: float) -> None:
    """Print what both sides reach with each share of the seconds, and how much sooner ours does."""
    market = "BTC and ETH, 15-minute bars" if bars else "synthetic switching market"
    print(f"\n{market}, {seconds:.0f} s of two cores\n")
    print("| side | seconds | trials | epochs | " + " | ".join(FIGURES) + " |")
    print("|" + "---|" * (4 + len(FIGURES)), flush=True)
    reached: dict[tuple[str, float], dict[str, float]] = {}
    speed: dict[str, float] = {}
    for share in SHARES:
        for side in ("ours", "stock"):
            found = _child(side, "--bars", bars, "--seconds", str(seconds * share))
            figures = _child("judge", "--side", side, "--bars", bars, "--pick", json.dumps(found["pick"]))
            reached[side, share], speed[side] = figures, found["epochs"] / found["seconds"]
            cells = [f"{figures[name]:.4f}" for name in FIGURES]
            counts = f"{found['seconds']:.0f} | {found['trials']} | {found['epochs']}"
            print(f"| {side} | {counts} | " + " | ".join(cells) + " |", flush=True)
    print(f"\nepochs a second, with all of the time: ours {speed['ours'] / speed['stock']:.2f}x")
    for name in FIGURES:
        sign = -1 if name == "nll" else 1
        target = sign * reached["stock", 1.0][name]
        shares = [share for share in SHARES if sign * reached["ours", share][name] >= target]
        said = f"at least {1 / shares[0]:.1f}x as soon" if shares else "not reached"
        print(f"what stock has at the end in {name}: {said}")


def main() -> None:
    """Run the benchmark, or one side of it, with the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=["ours", "stock", "judge"], help=argparse.SUPPRESS)
    parser.add_argument("--bars", default="", help="Folder of recorded 15-minute bars. Default: the synthetic market.")
    parser.add_argument("--seconds", type=float, default=240.0, help="What both sides have. Default: 240.")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--pick", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part is None:
        compare(options.bars, options.seconds)
    elif options.part == "judge":
        print(json.dumps(judge(options.side, options.bars, options.pick)))
    else:
        started = time.monotonic()
        run = run_ours if options.part == "ours" else run_stock
        with tempfile.TemporaryDirectory() as scratch:
            found = run(Path(scratch), options.bars, options.seconds)
        print(json.dumps(found | {"seconds": time.monotonic() - started}))


if __name__ == "__main__":
    main()
