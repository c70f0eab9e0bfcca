"""`preset-train update`: goes on training a model with new bars, and says what that was worth."""

from __future__ import annotations

import hashlib
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.markup import escape
from rich.table import Table

from core import console
from core.cli.data_settings import bars_like_the_trainings
from core.cli.options import ConfigOption, DeviceOption, choice, with_data_options
from core.cli.train import OverwriteOption, SeedOption
from core.config import Device
from core.console import SYNTHETIC_NOTICE
from core.files import reserved, write_json, writing

if TYPE_CHECKING:
    import torch

    from core.data.market import Market
    from core.evaluation.block_bootstrap import Interval
    from core.inference import TrainedModel
    from core.training.update import UpdateResult, UpdateSettings
    from core.training.update_report import Comparison

UPDATE_EPILOG = (
    "Examples:\n\n"
    "preset-train update checkpoints/btc --symbols BTCUSDT --days 90 --output-dir checkpoints/btc-updated\n\n"
    "preset-train update checkpoints/btc --data data/binance_BTCUSDT_5m.parquet --every 12h --learning-rate 3e-5 "
    "--output-dir checkpoints/btc-updated\n\n"
    "preset-train update checkpoints/btc-updated --symbols BTCUSDT --days 90 --output-dir checkpoints/btc-updated "
    "--overwrite"
)


@with_data_options("data", "symbols", "days", "until", "store", "exchange", "offline", "synthetic")
def update(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint.pt written by preset-train, or its folder.")],
    output_dir: Annotated[
        Path, typer.Option("--output-dir", help="Folder for the updated checkpoint.pt, and update.json.")
    ],
    config_file: ConfigOption = None,
    *,
    source: dict[str, Any],
    every: Annotated[str, typer.Option("--every", help="Time between two updates, such as 1d or 12h.")] = "1d",
    learning_rate: Annotated[
        float, typer.Option("--learning-rate", min=1e-8, max=1.0, help="Learning rate of an update.")
    ] = 1e-4,
    passes: Annotated[int, typer.Option("--passes", min=1, max=100, help="Passes of an update over its new rows.")] = 2,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    overwrite: OverwriteOption = False,
) -> None:
    """Update a trained model with the bars after its validation rows, a step at a time, and say what that is worth.

    Each step is predicted before it is trained on, by the updated weights and by those of the checkpoint, so both are
    judged on rows that they have not seen. Give bars from before the end of the validation rows, too: windows reach
    back to them, and an update also draws rows of the 30 days before it, so that the model does not forget them.
    Scales, labels, calibration and decision rule stay those of the checkpoint. After Ctrl-C nothing is written.
    """
    from core.data.file_format import datetime_microseconds
    from core.data.sources.fetch import fetch_missing
    from core.data.sources.reader import read_market
    from core.inference import TrainedModel
    from core.training.device import resolve_device
    from core.training.run import CHECKPOINT_FILE, check_output
    from core.training.update import UPDATE_FILE, UpdateSettings

    torch_device = resolve_device(cast(Device, choice(device, Device, "--device")))
    path = checkpoint / CHECKPOINT_FILE if checkpoint.is_dir() else checkpoint
    trained = TrainedModel.load(path)
    about_source = {"path": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    config = bars_like_the_trainings(trained, source, config_file)
    check_output(output_dir, overwrite, (CHECKPOINT_FILE, UPDATE_FILE))
    fetch_missing(config, datetime_microseconds(datetime.now(UTC)), up_to_now=True)
    with reserved(output_dir):
        market = read_market(config, features=trained.features)
        if market.is_synthetic:
            console.err.print(f"[bold yellow]{SYNTHETIC_NOTICE}[/]")
        settings = UpdateSettings(every=every, learning_rate=learning_rate, passes=passes, seed=seed)
        result = _update(trained, market, settings, torch_device, about_source)
        files = output_dir / CHECKPOINT_FILE, output_dir / UPDATE_FILE
        # Both are written before either takes its name.
        with writing(files[0]) as new_checkpoint, writing(files[1]) as report:
            result.trained.save(new_checkpoint)
            write_json(report, result.trained.about["update"])
    _show(result, market.is_synthetic)
    for file in files:
        console.out.print(f"wrote {escape(str(file))}")


def _update(
    trained: TrainedModel, market: Market, settings: UpdateSettings, device: torch.device, source: dict[str, Any]
) -> UpdateResult:
    """Update a model behind a progress bar of the steps."""
    from core.training.update import update_model

    with console.progress_bar() as bar:
        task = bar.add_task("step", total=None)

        def show(done: int, steps: int) -> None:
            bar.update(task, completed=done, total=steps)

        return update_model(trained, market, settings, device, source=source, on_step=show)


def _show(result: UpdateResult, is_synthetic: bool) -> None:
    """Print how both models did, what updating was worth, and until when the model is updated."""
    report = result.report
    title = console.market_title(f"{report.comparison.rows:,} rows of {report.steps} steps", is_synthetic)
    console.out.print(_comparison_table(title, report.comparison))
    console.out.print(report.describe_worth())
    has_calibration = result.trained.calibration is not None
    console.out.print(
        "Every row was predicted before it was trained on, those of the first step by the same weights. "
        + (
            "Both models have the calibration and the decision rule of the checkpoint."
            if has_calibration
            else "The checkpoint has no calibration, as nothing was held out of its training: part of the lead may be "
            "that the updated model's probabilities fit the classes better, not that it knows more."
        )
    )
    console.out.print(f"{report.updates} updates, the last at {result.trained.about['update']['until']}.")


def _comparison_table(title: str, comparison: Comparison) -> Table:
    """Return a table of each metric of both models, and by how much the updated one leads."""
    intervals: dict[str, Interval] = {"nll": comparison.nll_lead, "macro_f1": comparison.macro_f1_lead}
    table = Table(title=title, title_justify="left")
    table.add_column("", no_wrap=True)
    for heading in ("static", "updated", "lead of updating", "95 % interval"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, shown in console.METRIC_HEADINGS.items():
        static, updated = comparison.static[name], comparison.updated[name]
        lead = static - updated if name == "nll" else updated - static
        interval = intervals.get(name)
        has_bounds = interval is not None and not math.isnan(interval.low)
        bounds = console.format_interval(interval.low, interval.high) if interval and has_bounds else ""
        table.add_row(shown, f"{static:.4f}", f"{updated:.4f}", f"{lead:+.4f}", bounds)
    return table
