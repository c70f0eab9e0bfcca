"""`preset-train predict`: applies a trained model to bars, and writes its predictions to a file."""

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
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint.pt written by preset-train, or its folder.")],
    config_file: ConfigOption = None,
    *,
    source: dict[str, Any],
    output: Annotated[Path, typer.Option("--output", help="File to write: .parquet or .csv.")] = Path(
        "predictions.parquet"
    ),
    device: DeviceOption = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")] = False,
) -> None:
    """Write calibrated probabilities of SELL, HOLD and BUY for every bar, from bars like those of the training."""
    from core.data.sources.fetch import fetch_missing
    from core.data.sources.reader import read_market
    from core.inference import TrainedModel
    from core.training.device import resolve_device
    from core.training.run import CHECKPOINT_FILE

    torch_device = resolve_device(cast(Device, choice(device, Device, "--device")))
    if output.suffix not in (".parquet", ".csv"):
        raise ConfigError(f"{output} is neither .parquet nor .csv", "Give --output a name with one of these endings")
    if output.exists() and not overwrite:
        raise ConfigError(f"{output} already exists", "Choose another --output, or add --overwrite")
    check_writable(output.parent)
    trained = TrainedModel.load(checkpoint / CHECKPOINT_FILE if checkpoint.is_dir() else checkpoint)
    config = _prediction_config(trained, source, config_file)
    fetch_missing(config)
    market = read_market(config, labelled=False)
    if market.is_synthetic:
        console.err.print(f"[bold yellow]{SYNTHETIC_NOTICE}[/]")
    table = trained.predict(market, torch_device)
    with writing(output) as temporary:
        if output.suffix == ".parquet":
            table.to_parquet(temporary, index=False)
        else:
            table.to_csv(temporary, index=False)
    _show_newest(table, trained)
    console.out.print(f"wrote {escape(str(output))}")


def _prediction_config(trained: TrainedModel, settings: dict[str, Any], file: Path | None) -> DataConfig:
    """Return settings that read the bars of the command line in the same way as the training read its bars.

    Args:
        trained: the model, which holds the data settings of its training.
        settings: data settings of the command line.
        file: YAML file of a campaign whose data settings are used; None if there is none.

    Raises:
        ConfigError: no source of bars is named, or a setting does not fit.
    """
    trained_on: dict[str, Any] = trained.data.model_dump(mode="json", exclude_none=True, exclude_unset=True)
    fixed: dict[str, Any] = {
        name: trained_on[name] for name in ("interval", "window", "horizon", "labels", "features") if name in trained_on
    }
    if file is None and not any(name in settings for name in SOURCES):
        raise ConfigError("No bars are named", "Use --data, --symbols, --synthetic or --config")
    return data_config({**settings, **fixed}, file)


def _show_newest(table: pd.DataFrame, trained: TrainedModel) -> None:
    """Print the newest prediction of each symbol, and what to know about all of them."""
    newest = Table(title="Newest bar of each symbol", title_justify="left")
    for heading in ("symbol", "bar opened", "SELL", "HOLD", "BUY", "call"):
        newest.add_column(heading)
    for row in table.groupby("symbol").tail(1).to_dict("records"):
        probabilities = [f"{row[name]:.3f}" for name in ("sell", "hold", "buy")]
        newest.add_row(escape(row["symbol"]), f"{row['timestamp']:%Y-%m-%d %H:%M:%S}", *probabilities, row["call"])
    console.out.print(newest)
    kind = "calibrated on val" if trained.calibration else "not calibrated: nothing was held out"
    console.out.print(
        f"{len(table)} bars. Probabilities are {kind}. Calls are those that the metrics judge: the class with the "
        "largest raw score, before calibration removes the effect of class weights."
    )
    seen = int((table["split"] != "new").sum())
    if seen:
        console.out.print(f"{seen} of them lie in the span of the training: calls there look better than they are.")
