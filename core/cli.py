"""`preset-train`: train one model from a preset."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, cast, get_args

import torch
import typer
from rich.markup import escape
from rich.progress import TaskID

from core import api, console, preset, report
from core.config import DataConfig, Device, ModelSize, SyntheticConfig, parse, read_yaml
from core.console import Command
from core.dataset import load
from core.errors import ConfigError
from core.market import store as store_module
from core.market.exchange import Client
from core.market.fetch import fetch
from core.trainer import EpochResult, resolve_device

app = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)

DataOption = Annotated[
    list[Path] | None,
    typer.Option("--data", help="Bar files named <exchange>_<SYMBOL>_<interval>.parquet; several may follow."),
]
SymbolsOption = Annotated[
    list[str] | None, typer.Option("--symbols", help="Symbols to read from the store; several may follow.")
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="A campaign's YAML, whose data settings are used; flags override them."),
]
DaysOption = Annotated[float | None, typer.Option("--days", help="Use the last N days. Default: all.")]
UntilOption = Annotated[str | None, typer.Option("--until", help="End of the span, ISO 8601, UTC. Default: newest.")]
IntervalOption = Annotated[str | None, typer.Option("--interval", help="Bar length in the store. Default: 5m.")]
StoreOption = Annotated[Path | None, typer.Option("--store", help="Folder of bar files. Default: data.")]
ExchangeOption = Annotated[str | None, typer.Option("--exchange", help="Whose bars. Default: binance.")]
WindowOption = Annotated[int | None, typer.Option("--window", help="Bars one prediction sees. Default: 60.")]
OfflineOption = Annotated[bool, typer.Option("--offline", help="Fetch nothing that the store lacks.")]
FeaturesOption = Annotated[
    list[str] | None, typer.Option("--features", help="Further columns that are features; globs; several may follow.")
]
HorizonOption = Annotated[int | None, typer.Option("--horizon", help="Bars ahead a label looks. Default: 3.")]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]

SOURCES = ("files", "symbols", "table", "synthetic")
"""Settings of which a data config names exactly one."""

EPILOG = (
    "Examples:\n\n"
    "preset-train --preset production_small --data data/binance_BTCUSDT_5m.parquet --output-dir checkpoints/btc\n\n"
    "preset-train --preset quick_experiment --symbols BTCUSDT ETHUSDT --days 30 --output-dir checkpoints/two\n\n"
    "preset-train --preset quick_experiment --synthetic --output-dir checkpoints/try"
)


def data_settings(**flags: Any) -> dict[str, Any]:
    """The data settings that the flags of a command line name, as plain values; flags not given are left out."""
    renamed = {"data": "files"}
    settings: dict[str, Any] = {}
    for name, value in flags.items():
        if value is None or value is False:
            continue
        if name == "synthetic":
            settings["synthetic"] = SyntheticConfig().model_dump(mode="json")
        elif isinstance(value, list):
            settings[renamed.get(name, name)] = [str(item) for item in value]
        else:
            settings[name] = str(value) if isinstance(value, Path) else value
    return settings


def data_config(settings: dict[str, Any], file: Path | None) -> DataConfig:
    """The data settings of a campaign's YAML (its own, or `results/<name>/campaign.yaml`), overridden by flags.

    Raises:
        ConfigError: a setting is unknown or does not fit.
    """
    written: Any = {}
    if file is not None:
        content = read_yaml(file)
        written = (content.get("config") or content) if isinstance(content.get("config", {}), dict) else {}
        written = written.get("data") or {}
        if not isinstance(written, dict):
            raise ConfigError(f"{file}: 'data' holds no settings", "Write it as lines of `key: value` below `data:`")
    return parse(DataConfig, merge_sources(written, settings), str(file) if file else "command line")


def merge_sources(written: dict[str, Any], flags: dict[str, Any]) -> dict[str, Any]:
    """Data settings of a file, overridden by those of flags; a source named by a flag replaces the file's."""
    if any(kind in flags for kind in SOURCES):
        written = {key: value for key, value in written.items() if key not in SOURCES}
    return {**written, **flags}


def fetch_lacking(config: DataConfig) -> None:
    """Fetch what the store lacks of the days that a config asks for, unless it is to stay offline.

    Raises:
        ConfigError: it is not said how much to fetch, or from where.
        DataError: the exchange cannot be reached, or does not have it.
    """
    if config.offline or not config.symbols:
        return
    pieces = store_module.lacking(config, datetime.now(UTC))
    if pieces:
        fetch_pieces(config.store, config.interval, pieces)


def fetch_pieces(store: Path, interval: str, pieces: Sequence[store_module.Piece]) -> list[Path]:
    """Fetch pieces of symbols' histories into a store, with a progress bar; returns the files.

    Raises:
        ConfigError: the exchange, the interval or the store cannot be used.
        DataError: the exchange cannot be reached, or does not have it.
    """
    paths = []
    with console.progress_bar() as bar:
        clients = {exchange: Client(exchange) for exchange in sorted({piece.exchange for piece in pieces})}
        for piece in pieces:
            task = bar.add_task(f"fetching {piece.symbol} {interval} from {piece.exchange}", total=None)

            def show(done: int, total: int, task: TaskID = task) -> None:
                bar.update(task, completed=done, total=total)

            client = clients[piece.exchange]
            paths.append(fetch(store, client, piece.symbol, interval, piece.start, piece.end, on_progress=show))
    return paths


def choice(value: str, options: Any, flag: str) -> str:
    """Return `value` if it is one of a Literal's values.

    Raises:
        ConfigError: it is not.
    """
    known = get_args(options)
    if value not in known:
        raise ConfigError(f"{flag} {value!r} is not known", f"Use one of {', '.join(known)}")
    return value


@app.command(cls=Command, epilog=EPILOG)
def train(
    preset_name: Annotated[str, typer.Option("--preset", help="Name of a preset, or path of a .yaml file.")],
    output_dir: Annotated[Path, typer.Option("--output-dir", help="Where checkpoint.pt and metrics.json go.")],
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
    synthetic: Annotated[bool, typer.Option("--synthetic", help="Use the embedded synthetic market.")] = False,
    model: Annotated[str | None, typer.Option(help="quick, small or large. Default: quick; small on a GPU.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Most epochs, instead of the preset's.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random.", min=0)] = 0,
    device: DeviceOption = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what the folder holds.")] = False,
) -> None:
    """Train a model from a preset; write its checkpoint and metrics."""
    chosen = preset.load(preset_name)
    where = resolve_device(cast(Device, choice(device, Device, "--device")))
    size = cast(ModelSize, choice(model, ModelSize, "--model")) if model else api.default_size(where)
    settings = data_settings(
        data=data, symbols=symbols, days=days, until=until, interval=interval, store=store, exchange=exchange,
        window=window, horizon=horizon, features=features, offline=offline, synthetic=synthetic,
    )  # fmt: skip
    data_settings_used = data_config(settings, config_file)
    api.check_output(output_dir, overwrite)
    fetch_lacking(data_settings_used)
    config = chosen.training_config(size=size, metric="macro_f1", seed=seed)
    if epochs is not None:
        config = config.model_copy(update={"trainer": config.trainer.model_copy(update={"epochs": epochs})})
    dataset = load(data_settings_used)
    if dataset.is_synthetic:
        console.err.print(f"[bold yellow]{console.SYNTHETIC_NOTICE}[/]")
    for sentence in report.advice(dataset):
        console.err.print(f"[bold yellow]advice:[/] {escape(sentence)}")
    console.err.print(
        f"{chosen.name} on {', '.join(dataset.symbol_names)}, {dataset.span[0]} to {dataset.span[1]}: "
        f"{len(dataset.train)} train and {len(dataset.val)} val windows, model {size}, {where} "
        f"({torch.get_num_threads()} threads)"
    )
    about = {
        "preset": chosen.model_dump(mode="json"),
        "data_config": data_settings_used.model_dump(mode="json", exclude_none=True),
    }
    with console.progress_bar() as bar:
        task = bar.add_task("epoch", total=config.trainer.epochs)

        def show(result: EpochResult) -> None:
            description = f"epoch  macro-F1 {result.score:.4f}, best {result.value:.4f} at {result.best_epoch}"
            bar.update(task, completed=result.epoch, description=description)

        outcome = api.train(config, dataset, output_dir, device=cast(Device, where.type), about=about, on_epoch=show)
    _report(chosen.name, outcome)
    if outcome.interrupted:
        raise typer.Exit(console.INTERRUPTED)


def _report(name: str, outcome: api.Outcome) -> None:
    """Print the closing table and what was written."""
    best = outcome.best
    rows = [
        (name, outcome.best.metrics, [f"{best.epoch} of {len(outcome.history)}"]),
        ("majority class", outcome.majority, [""]),
    ]
    console.out.print(console.metrics_table("Validation window", rows, ["best epoch"]))
    if outcome.interrupted:
        console.out.print(f"Interrupted after epoch {len(outcome.history)}: the best epoch up to there was kept.")
    console.out.print("The epoch was chosen on these rows, so its figures are optimistic. Test was not read.")
    for path in outcome.files:
        console.out.print(f"wrote {escape(str(path))}")


def main() -> None:
    """Entry point of `preset-train`."""
    console.run(app)
