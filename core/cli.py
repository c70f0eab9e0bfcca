"""`preset-train`: train one model from a preset; check what came of it; predict with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import pandas as pd
import torch
import typer
from rich.markup import escape
from rich.table import Table
from typer.core import TyperGroup

from core import api, balance, console, dataset, preset, report
from core.checklist import Line, checklist, has_skill
from core.config import BalanceConfig, ClassWeights, DataConfig, Device, ModelSize, RankingMetric, TrainingConfig
from core.console import Command
from core.dataset import Dataset
from core.device import resolve_device
from core.errors import ConfigError
from core.files import check_writable, reserved, writing
from core.market.reader import read_market
from core.models.memory import estimate_memory
from core.options import (
    ConfigOption,
    DataOption,
    DaysOption,
    DeviceOption,
    ExchangeOption,
    FeaturesOption,
    HorizonOption,
    IntervalOption,
    OfflineOption,
    StoreOption,
    SymbolsOption,
    SyntheticOption,
    UntilOption,
    WindowOption,
    choice,
)
from core.preset import Preset
from core.sources import SOURCES, data_config, data_settings, fetch_lacking
from core.trained import TrainedModel
from core.trainer import EpochResult


class _TrainByDefault(TyperGroup):
    """`preset-train --preset X` is `preset-train train --preset X`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Name the command that is meant when none is named."""
        named = args[:1] and args[0] in self.commands
        return super().parse_args(ctx, args if named else ["train", *args])


app = typer.Typer(
    cls=_TrainByDefault, add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False
)  # fmt: skip

TRAIN_EPILOG = (
    "Examples:\n\n"
    "preset-train --preset production_small --data data/binance_BTCUSDT_5m.parquet --output-dir checkpoints/btc\n\n"
    "preset-train --symbols BTCUSDT ETHUSDT --days 30 --preset production_small --output-dir checkpoints/optimized\n\n"
    "preset-train --preset quick_experiment --synthetic --output-dir checkpoints/try\n\n"
    "preset-train --preset btc_eth_30d --config results/btc-eth-30d/campaign.yaml --final --epochs 7 "
    "--output-dir checkpoints/now\n\n"
    "Other commands: preset-train check --help, preset-train predict --help"
)
CHECK_EPILOG = "Examples:\n\npreset-train check production_small\n\npreset-train check checkpoints/btc/checkpoint.pt"
PREDICT_EPILOG = (
    "Examples:\n\n"
    "preset-train predict checkpoints/btc/checkpoint.pt --data data/binance_BTCUSDT_5m.parquet\n\n"
    "preset-train predict checkpoints/btc/checkpoint.pt --symbols BTCUSDT --days 3 --output calls.csv"
)
_VERDICT_COLOURS = {"pass": "green", "fail": "red", "not measured": "dim"}


@dataclass(frozen=True)
class _Job:
    """A training as the command line asks for it."""

    preset: Preset
    config: TrainingConfig
    data: DataConfig
    device: torch.device
    final_epochs: int | None


@app.command(cls=Command, epilog=TRAIN_EPILOG)
def train(
    preset_name: Annotated[str, typer.Option("--preset", help="Name of a preset, or path of a .yaml file.")],
    output_dir: Annotated[Path, typer.Option("--output-dir", help="Where checkpoint.pt, metrics.json, curves.png go.")],
    config_file: ConfigOption = None,
    data: DataOption = None,
    symbols: SymbolsOption = None,
    days: DaysOption = None,
    until: UntilOption = None,
    interval: IntervalOption = None,
    store: StoreOption = None,
    exchange: ExchangeOption = None,
    window: WindowOption = None,
    horizon: HorizonOption = None,
    features: FeaturesOption = None,
    offline: OfflineOption = False,
    synthetic: SyntheticOption = False,
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
    chosen = preset.load(preset_name)
    where = resolve_device(cast(Device, choice(device, Device, "--device")))
    size = cast(ModelSize, choice(model, ModelSize, "--model")) if model else api.default_size(where)
    settings = data_settings(
        data=data, symbols=symbols, days=days, until=until, interval=interval, store=store, exchange=exchange,
        window=window, horizon=horizon, features=features, offline=offline, synthetic=synthetic,
    )  # fmt: skip
    ranked_by = cast(RankingMetric, choice(metric, RankingMetric, "--metric"))
    recipe = chosen.training_config(size=size, metric=ranked_by, seed=seed)
    recipe = recipe.with_trainer(deterministic=deterministic, warmup_steps=warmup_steps)
    kind = cast(ClassWeights, choice(weights, ClassWeights, "--class-weights"))
    compensation = BalanceConfig(class_weights=kind, oversample=oversample, allow_double=allow_double)
    balance.check(compensation)
    recipe = recipe.model_copy(update={"balance": compensation})
    job = _Job(chosen, recipe, data_config(settings, config_file), where, None)
    job = _final(job, epochs) if final else _limited(job, epochs)
    api.check_output(output_dir, overwrite)
    fetch_lacking(job.data)
    with reserved(output_dir):
        outcome = _train(job, output_dir)
    _report(chosen.name, outcome)
    if outcome.interrupted:
        raise typer.Exit(console.INTERRUPTED)


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


def _train(job: _Job, output_dir: Path) -> api.Outcome:
    """Load the data, say what is to be done, and do it behind a progress bar."""
    config = job.config
    made = dataset.load(job.data) if job.final_epochs is None else dataset.load_whole(job.data)
    made.check_batch_size(config.trainer.batch_size)
    if made.is_synthetic:
        console.err.print(f"[bold yellow]{console.SYNTHETIC_NOTICE}[/]")
    for sentence in report.advice(made):
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

        return api.train(
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
    memory = estimate_memory(config.model, len(made.feature_names), made.window, config.trainer.batch_size)
    return (
        f"model {config.model.size}, {device} ({torch.get_num_threads()} threads), "
        f"about {memory.total / 2**20:.0f} MiB a training step"
    )


def _report(name: str, outcome: api.Outcome) -> None:
    """Print the closing table, what fails, and what was written."""
    best, findings = outcome.best, outcome.findings
    if findings:
        rows: list[console.Row] = [(name, findings["val"], [f"{best.epoch} of {len(outcome.history)}"])]
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


def _print_gates(lines: list[Line]) -> None:
    if has_skill(lines):
        console.out.print("Gates: all passed on validation rows.")
        return
    failed = [line for line in lines if line.kind == "gate" and line.verdict != "pass"]
    told = "; ".join(f"{line.name}: {line.value or 'not measured'}, should be {line.bound}" for line in failed)
    console.out.print(f"[bold red]No skill shown.[/] Gates failed: {escape(told)}.")


@app.command(cls=Command, epilog=CHECK_EPILOG)
def check(
    what: Annotated[
        str, typer.Argument(metavar="PRESET|CHECKPOINT", help="Name or path of a preset, or a checkpoint.")
    ],
) -> None:
    """Hold a preset or a trained model against the production checklist, the guide's targets and our gates."""
    path = Path(what)
    # A name of a preset is one, whatever lies in the working folder; so `load` has it too.
    if path.is_dir() and what not in preset.list_names():
        path = path / api.CHECKPOINT_FILE
    if path.suffix == ".pt":
        trained = TrainedModel.load(path)
        lines = checklist(trained.config, trained.findings)
        note = (
            "Figures of validation rows, which chose the epoch: optimistic."
            if trained.findings
            else api.FINAL_NOTE + "."
        )
    else:
        chosen = preset.load(what)
        lines = checklist(chosen.training_config(size="quick", metric="macro_f1", seed=0), {})
        note = "A preset is a recipe: figures are measured by training it (preset-train), then checking the checkpoint."
    table = Table(title=f"Checklist of {escape(what)}", title_justify="left")
    for heading in ("", "", "value", "should be", "verdict"):
        table.add_column(heading)
    for line in lines:
        colour = _VERDICT_COLOURS[line.verdict]
        table.add_row(line.kind, line.name, escape(line.value), escape(line.bound), f"[{colour}]{line.verdict}[/]")
    console.out.print(table)
    console.out.print(note)
    console.out.print("Advice, checks and targets are the guide's and decide nothing; the gates are ours.")


@app.command(cls=Command, epilog=PREDICT_EPILOG)
def predict(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint.pt that preset-train wrote, or its folder.")],
    config_file: ConfigOption = None,
    data: DataOption = None,
    symbols: SymbolsOption = None,
    days: DaysOption = None,
    until: UntilOption = None,
    store: StoreOption = None,
    exchange: ExchangeOption = None,
    offline: OfflineOption = False,
    synthetic: SyntheticOption = False,
    output: Annotated[Path, typer.Option("--output", help="A .parquet or .csv file.")] = Path("predictions.parquet"),
    device: DeviceOption = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
) -> None:
    """Calibrated probabilities of SELL, HOLD and BUY at every bar, from bars like those of the training."""
    where = resolve_device(cast(Device, choice(device, Device, "--device")))
    if output.suffix not in (".parquet", ".csv"):
        raise ConfigError(f"{output} is neither .parquet nor .csv", "Name such a file")
    if output.exists() and not overwrite:
        raise ConfigError(f"{output} already exists", "Choose another --output, or add --overwrite")
    check_writable(output.parent)
    trained = TrainedModel.load(checkpoint / api.CHECKPOINT_FILE if checkpoint.is_dir() else checkpoint)
    settings = data_settings(
        data=data, symbols=symbols, days=days, until=until, store=store, exchange=exchange, offline=offline,
        synthetic=synthetic,
    )  # fmt: skip
    asked = _like_training(trained, settings, config_file)
    fetch_lacking(asked)
    market = read_market(asked, labelled=False)
    if market.is_synthetic:
        console.err.print(f"[bold yellow]{console.SYNTHETIC_NOTICE}[/]")
    table = trained.predict(market, where)
    with writing(output) as temporary:
        table.to_parquet(temporary, index=False) if output.suffix == ".parquet" else table.to_csv(
            temporary, index=False
        )
    _show(table, trained)
    console.out.print(f"wrote {escape(str(output))}")


def _like_training(trained: TrainedModel, settings: dict[str, Any], file: Path | None) -> DataConfig:
    """The data that the command names, read as the training read its own."""
    own: dict[str, Any] = trained.data.model_dump(mode="json", exclude_none=True, exclude_unset=True)
    fixed: dict[str, Any] = {
        key: own[key] for key in ("interval", "window", "horizon", "labels", "features") if key in own
    }
    if file is None and not any(source in settings for source in SOURCES):
        raise ConfigError("No bars are named", "Use --data, --symbols, --synthetic or --config")
    return data_config({**settings, **fixed}, file)


def _show(table: pd.DataFrame, trained: TrainedModel) -> None:
    """Print the newest call of each symbol and how many there are."""
    shown = Table(title="Newest bar of each symbol", title_justify="left")
    for heading in ("symbol", "bar opened", "SELL", "HOLD", "BUY", "call"):
        shown.add_column(heading)
    for row in table.groupby("symbol").tail(1).to_dict("records"):
        shares = [f"{row[name]:.3f}" for name in ("sell", "hold", "buy")]
        shown.add_row(escape(row["symbol"]), f"{row['timestamp']:%Y-%m-%d %H:%M:%S}", *shares, row["call"])
    console.out.print(shown)
    kind = "calibrated on val" if trained.calibration else "not calibrated: nothing was held out"
    console.out.print(
        f"{len(table)} bars. Probabilities are {kind}; calls are those that the metrics judge: the largest "
        "raw score, before calibration undoes the class weights."
    )
    old = int((table["split"] != "new").sum())
    if old:
        console.out.print(f"{old} of them lie in the span of the training: calls there look better than they are.")


def main() -> None:
    """Entry point of `preset-train`."""
    console.run(app)
