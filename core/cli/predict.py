"""`preset-train predict`: what a trained model says of the newest bars."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.markup import escape
from rich.table import Table

from core import console
from core.cli.data_settings import data_config
from core.cli.options import ConfigOption, DeviceOption, choice, with_data_options
from core.config import SOURCES, DataConfig, Device
from core.console import SYNTHETIC_NOTICE
from core.errors import ConfigError
from core.files import check_writable, writing

if TYPE_CHECKING:
    import pandas as pd

    from core.inference import TrainedModel

PREDICT_EPILOG = (
    "Examples:\n\n"
    "preset-train predict checkpoints/btc/checkpoint.pt --data data/binance_BTCUSDT_5m.parquet\n\n"
    "preset-train predict checkpoints/btc/checkpoint.pt --symbols BTCUSDT --days 3 --output calls.csv"
)


@with_data_options("data", "symbols", "days", "until", "store", "exchange", "offline", "synthetic")
def predict(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint.pt that preset-train wrote, or its folder.")],
    config_file: ConfigOption = None,
    *,
    source: dict[str, Any],
    output: Annotated[Path, typer.Option("--output", help="A .parquet or .csv file.")] = Path("predictions.parquet"),
    device: DeviceOption = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
) -> None:
    """Calibrated probabilities of SELL, HOLD and BUY at every bar, from bars like those of the training."""
    from core.data.sources.fetch import fetch_missing
    from core.data.sources.reader import read_market
    from core.inference import TrainedModel
    from core.training.device import resolve_device
    from core.training.run import CHECKPOINT_FILE

    where = resolve_device(cast(Device, choice(device, Device, "--device")))
    if output.suffix not in (".parquet", ".csv"):
        raise ConfigError(f"{output} is neither .parquet nor .csv", "Name such a file")
    if output.exists() and not overwrite:
        raise ConfigError(f"{output} already exists", "Choose another --output, or add --overwrite")
    check_writable(output.parent)
    trained = TrainedModel.load(checkpoint / CHECKPOINT_FILE if checkpoint.is_dir() else checkpoint)
    asked = _like_training(trained, source, config_file)
    fetch_missing(asked)
    market = read_market(asked, labelled=False)
    if market.is_synthetic:
        console.err.print(f"[bold yellow]{SYNTHETIC_NOTICE}[/]")
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
