"""`preset-train`: train one model from a preset; check what came of it; predict with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.markup import escape

from core import console, presets
from core.cli.data_settings import data_config
from core.cli.options import ConfigOption, DeviceOption, choice, with_data_options
from core.config import BalanceConfig, ClassWeights, DataConfig, Device, ModelSize, RankingMetric, TrainingConfig
from core.console import INTERRUPTED, SYNTHETIC_NOTICE, Row
from core.errors import ConfigError
from core.files import reserved
from core.presets import Preset

if TYPE_CHECKING:
    import torch

    from core.data.dataset import Dataset
    from core.evaluation.checklist import ChecklistLine
    from core.evaluation.history import EpochResult
    from core.training.run import TrainingResult

TRAIN_EPILOG = (
    "Examples:\n\n"
    "preset-train --preset production_small --data data/binance_BTCUSDT_5m.parquet --output-dir checkpoints/btc\n\n"
    "preset-train --symbols BTCUSDT ETHUSDT --days 30 --preset production_small --output-dir checkpoints/optimized\n\n"
    "preset-train --preset quick_experiment --synthetic --output-dir checkpoints/try\n\n"
    "preset-train --preset btc_eth_30d --config results/btc-eth-30d/campaign.yaml --final --epochs 7 "
    "--output-dir checkpoints/now\n\n"
    "Other commands: preset-train check --help, preset-train predict --help"
)


@dataclass(frozen=True)
class _Job:
    """A training as the command line asks for it."""

    preset: Preset
    config: TrainingConfig
    data: DataConfig
    device: torch.device
    final_epochs: int | None


@with_data_options()
def train(
    preset_name: Annotated[str, typer.Option("--preset", help="Name of a preset, or path of a .yaml file.")],
    output_dir: Annotated[Path, typer.Option("--output-dir", help="Where checkpoint.pt, metrics.json, curves.png go.")],
    config_file: ConfigOption = None,
    *,
    source: dict[str, Any],
    model: Annotated[str | None, typer.Option(help="quick, small or large. Default: quick; small on a GPU.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Most epochs, instead of the preset's.", min=1)] = None,
    metric: Annotated[str, typer.Option(help="Validation metric that chooses the epoch.")] = "macro_f1",
    seed: Annotated[int, typer.Option(help="Seed of everything random.", min=0, max=2**32 - 1)] = 0,
    device: DeviceOption = "auto",
    deterministic: Annotated[bool, typer.Option("--deterministic", help="Repeat exactly on a GPU too.")] = False,
    weights: Annotated[
        str, typer.Option("--class-weights", help="balanced, sqrt, effective or none.")
    ] = "balanced",
    oversample: Annotated[
        bool, typer.Option("--oversample", help="Draw rows of rarer classes more often; with --class-weights none.")
    ] = False,
    allow_double: Annotated[
        bool, typer.Option("--allow-double", help="Allow class weights and oversampling together.")
    ] = False,
    warmup_steps: Annotated[int, typer.Option(help="Steps over which the learning rate rises.", min=0)] = 0,
    final: Annotated[
        bool, typer.Option("--final", help="Train on all rows, for use now: nothing is held out or measured.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what the folder holds.")] = False,
) -> None:  # fmt: skip
    """Train a model from a preset; write its checkpoint, its metrics and its curves."""
    from core.data.sources.fetch import fetch_missing
    from core.models.memory import default_size
    from core.training import class_balance
    from core.training import run as training
    from core.training.device import resolve_device

    chosen = presets.load_preset(preset_name)
    where = resolve_device(cast(Device, choice(device, Device, "--device")))
    size = cast(ModelSize, choice(model, ModelSize, "--model")) if model else default_size(where)
    ranked_by = cast(RankingMetric, choice(metric, RankingMetric, "--metric"))
    recipe = chosen.training_config(size=size, metric=ranked_by, seed=seed)
    recipe = recipe.with_trainer(deterministic=deterministic, warmup_steps=warmup_steps)
    kind = cast(ClassWeights, choice(weights, ClassWeights, "--class-weights"))
    compensation = BalanceConfig(class_weights=kind, oversample=oversample, allow_double=allow_double)
    class_balance.check_balance(compensation)
    recipe = recipe.model_copy(update={"balance": compensation})
    job = _Job(chosen, recipe, data_config(source, config_file), where, None)
    job = _final(job, epochs) if final else _limited(job, epochs)
    training.check_output(output_dir, overwrite)
    fetch_missing(job.data)
    with reserved(output_dir):
        outcome = _train(job, output_dir)
    _report(chosen.name, outcome)
    if outcome.interrupted:
        raise typer.Exit(INTERRUPTED)


def _limited(job: _Job, epochs: int | None) -> _Job:
    if epochs is None:
        return job
    return _Job(job.preset, job.config.with_trainer(epochs=epochs), job.data, job.device, None)


def _final(job: _Job, epochs: int | None) -> _Job:
    """The same training without validation: as many epochs as were confirmed, on the schedule of the recipe."""
    wanted = epochs or job.preset.training.final_epochs
    if wanted is None:
        raise ConfigError(
            f"Preset {job.preset.name} has no confirmed number of epochs, and --final holds nothing out to choose one",
            "Confirm it, or give the best epoch of an ordinary training as --epochs",
        )
    config = job.config.with_trainer(epochs=max(wanted, job.config.trainer.epochs), patience=None)
    return _Job(job.preset, config, job.data, job.device, wanted)


def _train(job: _Job, output_dir: Path) -> TrainingResult:
    """Load the data, say what is to be done, and do it behind a progress bar."""
    from core.data import dataset, summary
    from core.training import run as training

    config = job.config
    made = dataset.load_dataset(job.data) if job.final_epochs is None else dataset.load_whole_dataset(job.data)
    made.check_batch_size(config.trainer.batch_size)
    if made.is_synthetic:
        console.err.print(f"[bold yellow]{SYNTHETIC_NOTICE}[/]")
    for sentence in summary.advice(made):
        console.err.print(f"[bold yellow]advice:[/] {escape(sentence)}")
    console.err.print(f"{job.preset.name} on {escape(_described(made))}; {_machine(config, made, job.device)}")
    about = {
        "preset": job.preset.model_dump(mode="json"),
        "data_config": job.data.model_dump(mode="json", exclude_none=True),
    }
    with console.progress_bar() as bar:
        task = bar.add_task("epoch", total=job.final_epochs or config.trainer.epochs)

        def show(result: EpochResult) -> None:
            told = f"{config.trainer.metric} {result.score:.4f}, best {result.value:.4f} at {result.best_epoch}"
            told = told if result.metrics else f"training loss {result.train_loss:.4f}"
            bar.update(task, completed=result.epoch, description=f"epoch  {told}")

        return training.train_model(
            config, job.data, made, output_dir,
            device=cast(Device, job.device.type), stop_after=job.final_epochs, about=about, on_epoch=show,
        )  # fmt: skip


def _described(made: Dataset) -> str:
    windows = (
        f"{len(made.train)} train and {len(made.val)} val windows"
        if len(made.val)
        else f"all {len(made.train)} windows"
    )
    return f"{', '.join(made.symbol_names)}, {made.span[0]} to {made.span[1]}: {windows}"


def _machine(config: TrainingConfig, made: Dataset, device: torch.device) -> str:
    import torch

    from core.models.memory import estimate_memory

    memory = estimate_memory(config.model, len(made.feature_names), made.window, config.trainer.batch_size)
    return (
        f"model {config.model.size}, {device} ({torch.get_num_threads()} threads), "
        f"about {memory.total / 2**20:.0f} MiB a training step"
    )


def _report(name: str, outcome: TrainingResult) -> None:
    """Print the closing table, what fails, and what was written."""
    best, findings = outcome.best, outcome.findings
    if findings:
        rows: list[Row] = [(name, findings["val"], [f"{best.epoch} of {len(outcome.history)}"])]
        rows += [(yardstick, scores, [""]) for yardstick, scores in findings["val_yardsticks"].items()]
        console.out.print(console.metrics_table("Validation window", rows, ["best epoch"]))
        console.out.print("The epoch was chosen on these rows, so its figures are optimistic. Test was not read.")
        _print_gates(outcome.checklist)
    else:
        console.out.print(
            f"Trained on all rows for {len(outcome.history)} epochs. No held-out figure exists, and the probabilities "
            "are not calibrated."
        )
    for diagnosis in outcome.diagnoses:
        console.out.print(f"[bold yellow]diagnosis:[/] {escape(str(diagnosis))}")
    if outcome.interrupted:
        console.out.print(f"Interrupted after epoch {len(outcome.history)}: the best epoch up to there was kept.")
    for path in outcome.files:
        console.out.print(f"wrote {escape(str(path))}")


def _print_gates(lines: list[ChecklistLine]) -> None:
    from core.evaluation.checklist import has_skill

    if has_skill(lines):
        console.out.print("Gates: all passed on validation rows.")
        return
    failed = [line for line in lines if line.kind == "gate" and line.verdict != "pass"]
    told = "; ".join(f"{line.name}: {line.value or 'not measured'}, should be {line.bound}" for line in failed)
    console.out.print(f"[bold red]No skill shown.[/] Gates failed: {escape(told)}.")
