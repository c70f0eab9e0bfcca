"""A whole campaign: our `run` beside a stock Ray Tune script whose trial is Lightning with a DataLoader.

Ours goes first, with everything that `run` does: journal, checkpoints, all metrics each epoch, tables. The
script (OptunaSearch with TPE of the same seed, ASHAScheduler with the same rungs, the same network, recipe and data,
the macro-F1 alone, nothing kept) then trains as many epochs as ours did. Both have two trials at
a time on one thread each, and both are timed from an empty process to the end.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.side import run_side

TRIALS, MAX_EPOCHS, GRACE, REDUCTION = 12, 18, 2, 3


def _data() -> Any:
    from core.config import DataConfig, SyntheticConfig

    return DataConfig(synthetic=SyntheticConfig(bars=8640, symbols=("AAA", "BBB")))


def run_ours(folder: Path) -> int:
    """Run our campaign, and return the number of epochs that it trained."""
    from search import CampaignConfig, CampaignFolder, plan_campaign, run_campaign
    from search.engine import RayEngine

    config = CampaignConfig(
        name="bench", data=_data(), trials=TRIALS, max_epochs=MAX_EPOCHS, grace=GRACE, reduction=REDUCTION,
        ask=(), model="quick", device="cpu",
    )  # fmt: skip
    run_campaign(plan_campaign(config, folder), RayEngine())
    return len(CampaignFolder(folder / "bench").read_curves())


def run_stock(folder: Path, epochs: int) -> int:
    """Run the script of a user of stock Ray Tune until its trials have trained a number of epochs; return the number.

    Args:
        folder: where Tune writes its files.
        epochs: number of epochs of all trials together, after which the script ends.
    """
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    from core.data.dataset import load_dataset
    from search.cluster.session import ray_session
    from search.study.samplers import make_sampler
    from search.study.space import SpaceConfig

    class Spent(tune.Stopper):
        """Ends it all when the budget of epochs is spent."""

        def __init__(self) -> None:
            self.epochs = 0

        def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
            self.epochs += 1
            return False

        def stop_all(self) -> bool:
            return self.epochs >= epochs

    spent = Spent()
    with ray_session():
        tune.Tuner(
            tune.with_resources(
                tune.with_parameters(_stock_trial, dataset=load_dataset(_data()).without_test()), {"cpu": 1.0}
            ),
            tune_config=tune.TuneConfig(
                search_alg=OptunaSearch(
                    space=SpaceConfig().distributions(), metric="macro_f1", mode="max", sampler=make_sampler("tpe", 0)
                ),
                scheduler=ASHAScheduler(
                    metric="macro_f1", mode="max", max_t=MAX_EPOCHS, grace_period=GRACE, reduction_factor=REDUCTION
                ),
                num_samples=-1,
                max_concurrent_trials=2,
            ),
            run_config=tune.RunConfig(name="bench", storage_path=str(folder), verbose=0, stop=spent),
        ).fit()
    return spent.epochs


def _stock_trial(config: dict[str, Any], dataset: Any) -> None:
    import lightning
    import torch
    from ray import tune
    from torch.utils.data import DataLoader

    from benchmarks.stock_loop import Module, Windows
    from core import presets
    from core.config import Hyperparameters

    torch.set_num_threads(1)
    torch.manual_seed(0)
    base = presets.load_preset("production_small").training_config(size="quick", metric="macro_f1", seed=0)
    recipe = Hyperparameters(**config).apply(base)
    module = Module(recipe, dataset, torch.device("cpu"))

    class Report(lightning.Callback):
        """Tells Tune the score of each epoch."""

        def on_train_epoch_end(self, *_: Any) -> None:
            tune.report({"macro_f1": module.macro_f1})

    lightning.Trainer(
        max_epochs=MAX_EPOCHS, accelerator="cpu", gradient_clip_val=recipe.trainer.clip_norm, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
        callbacks=[Report()],
    ).fit(
        module,
        DataLoader(Windows(dataset, dataset.train), recipe.trainer.batch_size, shuffle=True),
        DataLoader(Windows(dataset, dataset.val), 1024),
    )  # fmt: skip


def _child(*arguments: str) -> tuple[float, int]:
    started = time.perf_counter()
    epochs: int = run_side("benchmarks.campaign", *arguments)["epochs"]
    return time.perf_counter() - started, epochs


def main() -> None:
    """Print a line a side and the ratio."""
    seconds, epochs = _child("ours")
    print(f"ours: {epochs} epochs in {seconds:.0f} s")
    stock_seconds, stock_epochs = _child("stock", str(epochs))
    print(f"stock Tune, Lightning and DataLoader: {stock_epochs} epochs in {stock_seconds:.0f} s")
    ratio = (stock_seconds / stock_epochs) / (seconds / epochs)
    print(f"ours is {ratio:.2f}x as fast an epoch of the campaign")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        with tempfile.TemporaryDirectory() as scratch:
            epochs = run_ours(Path(scratch)) if sys.argv[1] == "ours" else run_stock(Path(scratch), int(sys.argv[2]))
        print(json.dumps({"epochs": epochs}))
    else:
        main()
