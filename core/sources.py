"""Which market data a command line means, and fetching what the store lacks of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.progress import TaskID

from core import console
from core.config import DataConfig, SyntheticConfig, parse, read_yaml
from core.errors import ConfigError
from core.market import store as store_module
from core.market.exchange import Client
from core.market.fetch import fetch

SOURCES = ("files", "symbols", "table", "synthetic")
"""Settings of which a data config names exactly one."""


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


def where_bars_lie(file: Path) -> dict[str, Any]:
    """What a campaign's YAML says of where its data lie, and nothing else that it says.

    Raises:
        ConfigError: it cannot be read, or its settings do not fit.
    """
    places = {*SOURCES, "store", "exchange", "offline"}
    told = data_config({}, file).model_dump(mode="json", include=places, exclude_defaults=True)
    return dict(told)


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
