"""`preset-train train`: train one model from a preset, and report how good it is on validation rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.markup import escape

from core import console, presets
from core.cli.data_settings import data_config
from core.cli.options import ConfigOption, DeviceOption, choice, with_data_options
from core.config import (
    BalanceConfig,
    ClassWeights,
    DataConfig,
    Device,
    ModelSize,
    RankingMetric,
    TrainingConfig,
    canonical_interval,
)
from core.console import INTERRUPTED, Row
from core.errors import ConfigError
from core.files import reserved
from core.presets import Difference, Preset

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
    "Other commands: preset-train check --help, preset-train predict --help, preset-train update --help"
)

PresetOption = Annotated[str, typer.Option("--preset", help="Name of a preset, or path to its .yaml file.")]
OutputOption = Annotated[
    Path, typer.Option("--output-dir", help="Folder for checkpoint.pt, metrics.json and curves.png.")
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        help="Model size: quick, small or large. Default: as the preset was measured, or else quick; small on a GPU."
    ),
]
EpochsOption = Annotated[
    int | None,
    typer.Option(help="Maximum number of epochs; with --final, the exact one. Default: the preset's.", min=1),
]
MetricOption = Annotated[
    str | None,
    typer.Option(
        help="Validation metric that selects the best epoch. Default: as the preset was measured, or else macro_f1."
    ),
]
SeedOption = Annotated[int, typer.Option(help="Seed of all random numbers.", min=0, max=2**32 - 1)]
DeterministicOption = Annotated[
    bool, typer.Option("--deterministic", help="Make the training repeatable on a GPU too; slower.")
]
WeightsOption = Annotated[
    str, typer.Option("--class-weights", help="How rare classes are weighted: balanced, sqrt, effective or none.")
]
OversampleOption = Annotated[
    bool, typer.Option("--oversample", help="Draw rows of rare classes more often; use it with --class-weights none.")
]
AllowDoubleOption = Annotated[
    bool, typer.Option("--allow-double", help="Allow class weights and oversampling together.")
]
WarmupOption = Annotated[int, typer.Option(help="Optimizer steps over which the learning rate rises from 0.", min=0)]
FinalOption = Annotated[
    bool, typer.Option("--final", help="Train on all rows, for production: nothing is held out or measured.")
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace the files of an earlier training in --output-dir.")
]
_MEASURED = "Default: as the preset was measured, or else"
_MEASURED_OPTIONS = {
    "interval": Annotated[
        str | None, typer.Option("--interval", help=f"Bar length, such as 5m or 1h. {_MEASURED} 5m.")
    ],
    "window": Annotated[
        int | None, typer.Option("--window", help=f"Number of bars that one prediction sees. {_MEASURED} 60.")
    ],
    "horizon": Annotated[
        int | None, typer.Option("--horizon", help=f"Number of bars that a label looks ahead. {_MEASURED} 3.")
    ],
}
"""Declarations of data options whose defaults a preset gives."""


@dataclass(frozen=True)
class _Job:
    """A training as the command line asks for it.

    Attributes:
        preset: the preset that gives the recipe.
        config: the recipe, with the options of the command line applied.
        data: the data settings.
        device: where to train.
        differences: in what the training differs from those that the preset was measured with.
        final_epochs: number of epochs to train on all rows without validation; None trains with validation.
    """

    preset: Preset
    config: TrainingConfig
    data: DataConfig
    device: torch.device
    differences: list[Difference]
    final_epochs: int | None = None


@with_data_options(**_MEASURED_OPTIONS)
def train(
    preset_name: PresetOption,
    output_dir: OutputOption,
    config_file: ConfigOption = None,
    *,
    source: dict[str, Any],
    model: ModelOption = None,
    epochs: EpochsOption = None,
    metric: MetricOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    deterministic: DeterministicOption = False,
    weights: WeightsOption = "balanced",
    oversample: OversampleOption = False,
    allow_double: AllowDoubleOption = False,
    warmup_steps: WarmupOption = 0,
    final: FinalOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Train a model from a preset; write its checkpoint, its metrics and its training curves.

    A preset of a campaign is trained as it was measured: model size, interval, window, horizon, labels and features are
    those of the campaign unless options or --config give others, and what differs is named.
    """
    from core.data.sources.fetch import fetch_missing
    from core.models.memory import default_size
    from core.training import class_balance
    from core.training.device import resolve_device
    from core.training.run import check_output

    preset = presets.load_preset(preset_name)
    torch_device = resolve_device(cast(Device, choice(device, Device, "--device")))
    size = cast(ModelSize, choice(model, ModelSize, "--model")) if model else None
    if size is None and preset.provenance is None:
        size = default_size(torch_device)
    ranking_metric = cast(RankingMetric, choice(metric, RankingMetric, "--metric")) if metric else None
    recipe = preset.training_config(size=size, metric=ranking_metric, seed=seed)
    recipe = recipe.with_trainer(deterministic=deterministic, warmup_steps=warmup_steps)
    class_weights = cast(ClassWeights, choice(weights, ClassWeights, "--class-weights"))
    balance = BalanceConfig(class_weights=class_weights, oversample=oversample, allow_double=allow_double)
    class_balance.check_balance(balance)
    recipe = recipe.model_copy(update={"balance": balance})
    data = data_config(source, config_file, preset)
    job = _Job(preset, recipe, data, torch_device, _find_differences(preset, recipe, data))
    job = _final_job(job, epochs) if final else _limited_job(job, epochs)
    check_output(output_dir, overwrite)
    fetch_missing(job.data)
    with reserved(output_dir):
        dataset = _load_dataset(job)
        result = _train(job, dataset, output_dir)
    _report(preset.name, dataset, result)
    if result.interrupted:
        raise typer.Exit(INTERRUPTED)


def _find_differences(preset: Preset, recipe: TrainingConfig, data: DataConfig) -> list[Difference]:
    """List in what a training differs from those that its preset was measured with; nothing is read for it.

    Raises:
        ConfigError: a glob matches no file, or the preset records data settings that this version does not know.
    """
    from core.data.file_format import FILE_NAME
    from core.data.sources.reader import bar_files

    if not data.files:
        symbols = data.synthetic.symbols if data.synthetic else data.symbols
        return presets.find_differences(preset, recipe, data, "" if data.table else data.interval, symbols)
    # The names of bar files say what is in them; a file with another name is refused when it is read.
    names = [match for path in bar_files(data) if (match := FILE_NAME.fullmatch(path.name))]
    intervals = sorted({canonical_interval(match["interval"]) for match in names})
    return presets.find_differences(
        preset, recipe, data, ", ".join(intervals), sorted({match["symbol"] for match in names})
    )


def _limited_job(job: _Job, epochs: int | None) -> _Job:
    """Return the job with another maximum number of epochs, if one is given."""
    return job if epochs is None else replace(job, config=job.config.with_trainer(epochs=epochs))


def _final_job(job: _Job, epochs: int | None) -> _Job:
    """Return the job without validation: it trains the confirmed number of epochs, on the schedule of the recipe.

    Raises:
        ConfigError: neither the preset nor the command line gives a number of epochs, or the preset's was confirmed for
            another model or task.
    """
    final_epochs = epochs or job.preset.training.final_epochs
    if final_epochs is None:
        raise ConfigError(
            f"Preset {job.preset.name} has no confirmed number of epochs, and --final holds out no rows to select one",
            "Confirm the campaign, or give the best epoch of an ordinary training as --epochs",
        )
    if epochs is None and (others := [str(difference) for difference in job.differences if difference.is_of_model]):
        raise ConfigError(
            f"The {final_epochs} epochs of preset {job.preset.name} were confirmed for another training: "
            + "; ".join(others),
            "Drop the options that make the difference, give the best epoch of an ordinary training as --epochs, or "
            "train without --final",
        )
    config = job.config.with_trainer(epochs=max(final_epochs, job.config.trainer.epochs), patience=None)
    return replace(job, config=config, final_epochs=final_epochs)


def _load_dataset(job: _Job) -> Dataset:
    """Load the data of a job, and announce the training with all that is doubtful about its data."""
    from core.data import summary
    from core.data.dataset import load_dataset, load_whole_dataset

    dataset = load_dataset(job.data) if job.final_epochs is None else load_whole_dataset(job.data)
    dataset.check_batch_size(job.config.trainer.batch_size)
    console.print_data_notices(dataset.is_synthetic, summary.advice(dataset))
    for difference in job.differences:
        console.err.print(f"[bold yellow]notice:[/] {escape(str(difference))}.")
    console.err.print(
        f"{job.preset.name} on {escape(_describe_dataset(dataset))}; {_describe_model(job.config, dataset, job.device)}"
    )
    return dataset


def _describe_dataset(dataset: Dataset) -> str:
    windows = (
        f"{len(dataset.train)} train and {len(dataset.val)} val windows"
        if len(dataset.val)
        else f"all {len(dataset.train)} windows"
    )
    return f"{', '.join(dataset.symbol_names)}, {dataset.span[0]} to {dataset.span[1]}: {windows}"


def _describe_model(config: TrainingConfig, dataset: Dataset, device: torch.device) -> str:
    import torch

    from core.models.memory import estimate_memory

    window = config.model.bars_seen(dataset.window)
    memory = estimate_memory(config.model, len(dataset.feature_names), window, config.trainer.batch_size)
    return (
        f"model {config.model.size}, {device} ({torch.get_num_threads()} threads), "
        f"about {memory.total / 2**20:.0f} MiB per training step"
    )


def _train(job: _Job, dataset: Dataset, output_dir: Path) -> TrainingResult:
    """Train behind a progress bar that shows the score of each epoch."""
    from core.training.run import train_model

    config = job.config
    about = {"preset": job.preset.model_dump(mode="json")}
    with console.progress_bar() as bar:
        task = bar.add_task("epoch", total=job.final_epochs or config.trainer.epochs)

        def show(epoch: EpochResult) -> None:
            scores = f"{config.trainer.metric} {epoch.score:.4f}, best {epoch.value:.4f} at {epoch.best_epoch}"
            text = scores if epoch.metrics else f"training loss {epoch.train_loss:.4f}"
            bar.update(task, completed=epoch.epoch, description=f"epoch  {text}")

        return train_model(
            config, job.data, dataset, output_dir,
            device=cast(Device, job.device.type), stop_after=job.final_epochs, about=about, on_epoch=show,
        )  # fmt: skip


def _report(name: str, dataset: Dataset, result: TrainingResult) -> None:
    """Print the validation metrics, the failed gates, the diagnoses, and the files that were written.

    Args:
        name: name of the preset.
        dataset: the dataset that the model was trained on.
        result: the result of the training.
    """
    best, findings = result.best, result.findings
    if findings:
        rows: list[Row] = [(name, findings["val"], [f"{best.epoch} of {len(result.history)}"])]
        rows += [(baseline, metrics, [""]) for baseline, metrics in findings["val_baselines"].items()]
        title = console.market_title("Validation window", dataset.is_synthetic)
        console.out.print(console.metrics_table(title, rows, ["epoch"]))
        console.out.print(
            "The best epoch was selected on these rows, so its figures are optimistic. The test rows were not read."
        )
        _print_gates(result.checklist)
    else:
        console.out.print(
            f"Trained on all rows for {len(result.history)} epochs. No held-out figure exists, and the probabilities "
            "are not calibrated."
        )
    for diagnosis in result.diagnoses:
        console.out.print(f"[bold yellow]diagnosis:[/] {escape(str(diagnosis))}")
    if result.interrupted:
        console.out.print(f"Interrupted after epoch {len(result.history)}: the best epoch so far was kept.")
    for path in result.files:
        console.out.print(f"wrote {escape(str(path))}")


def _print_gates(checklist: list[ChecklistLine]) -> None:
    """Print which gates failed on validation rows, or that all passed."""
    from core.evaluation.checklist import has_skill

    if has_skill(checklist):
        console.out.print("Gates: all passed on validation rows.")
        return
    failed = "; ".join(
        f"{line.name}: {line.value or 'not measured'}, should be {line.bound}"
        for line in checklist
        if line.kind == "gate" and line.verdict != "pass"
    )
    console.out.print(f"[bold red]No skill shown.[/] Gates failed: {escape(failed)}.")
