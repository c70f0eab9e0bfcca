"""`preset-search data`: look market data over, and fetch them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from core import console
from core.cli.data_settings import data_config, data_settings
from core.cli.options import ConfigOption, DaysOption, FeaturesOption, HorizonOption, UntilOption
from core.config import DataConfig, parse
from core.console import Command
from core.data import summary
from core.data.dataset import MIN_ROWS, Dataset, fit_dataset, too_few_rows
from core.data.sources.fetch import fetch_ranges
from core.data.sources.reader import bar_files, read_market
from core.data.sources.store import DEFAULT_EXCHANGE, FetchRange
from core.data.splits import main_borders
from core.data.summary import FileReport
from core.errors import DataError

app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Look market data over, and fetch them.")

FETCH_EPILOG = (
    "Example:\n\npreset-search data fetch --symbols BTCUSDT ETHUSDT --interval 5m --days 60 --exchange binance"
)
CHECK_EPILOG = (
    "Examples:\n\n"
    "preset-search data check data/binance_BTCUSDT_5m.parquet data/binance_ETHUSDT_5m.parquet --days 30\n\n"
    "preset-search data check data/*_1h.parquet --horizon 1\n\n"
    "preset-search data check --config campaign.yaml"
)


@app.command(cls=Command, epilog=CHECK_EPILOG)
def check(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Bar or order-book files.", metavar="FILE…", show_default=False)
    ] = None,
    config_file: ConfigOption = None,
    days: DaysOption = None,
    until: UntilOption = None,
    horizon: HorizonOption = None,
    features: FeaturesOption = None,
) -> None:
    """Report what the files hold, what is wrong with them, and what their span can prove."""
    settings = data_settings(data=files or None, days=days, until=until, horizon=horizon, features=features)
    config = data_config(settings, config_file)
    paths = bar_files(config)
    reports = [summary.check_file(path, config.features) for path in paths]
    if reports:
        console.out.print(_files_table(reports))
    for item in reports:
        if item.ignored:
            console.out.print(f"{escape(str(item.path))}: ignored columns: {escape(', '.join(item.ignored))}")
        for problem in item.problems:
            console.out.print(f"[bold red]damaged:[/] {escape(str(item.path))}: {escape(problem)}")
    damaged = [str(item.path) for item in reports if item.problems]
    if damaged:
        raise DataError(f"{len(damaged)} of {len(reports)} files cannot be used", "Mend the rows named above")
    market = read_market(config)
    dataset = fit_dataset(market, config, main_borders(market.span, config), least=1)
    _print_span(dataset)
    for name in ("train", "val", "test"):
        rows = len(getattr(dataset, name))
        if rows < MIN_ROWS:
            raise too_few_rows("the data", name, rows)


@app.command(cls=Command, epilog=FETCH_EPILOG)
def fetch(
    symbols: Annotated[list[str], typer.Option("--symbols", help="Symbols like BTCUSDT; several may follow.")],
    days: Annotated[float, typer.Option("--days", help="How many days back from --until.", min=0.001, max=36_500)],
    interval: Annotated[str, typer.Option("--interval", help="Bar length: 1m, 5m, 1h, …")] = "5m",
    until: UntilOption = None,
    exchange: Annotated[str, typer.Option("--exchange", help="The exchange's name in ccxt.")] = DEFAULT_EXCHANGE,
    store: Annotated[Path, typer.Option("--store", help="Folder of bar files.")] = Path("data"),
) -> None:
    """Fetch bars from an exchange into the store: only what is missing, and again from there if interrupted."""
    settings = data_settings(symbols=symbols, days=days, interval=interval, until=until, exchange=exchange, store=store)
    config = parse(DataConfig, settings, "command line")
    end = config.until or datetime.now(UTC)
    pieces = [FetchRange(exchange, symbol, end - timedelta(days=days), end) for symbol in config.symbols]
    for path in fetch_ranges(store, interval, pieces):
        console.out.print(f"wrote {escape(str(path))}")
    console.out.print(f"next: preset-search data check {escape(str(store))}/{exchange}_*_{interval}.parquet")


def _files_table(reports: list[FileReport]) -> Table:
    """One column a file: there are more facts than files."""
    table = Table(title="Files", title_justify="left")
    table.add_column("")
    for item in reports:
        table.add_column(f"{item.symbol} {item.interval}", justify="right")
    lines: dict[str, Callable[[FileReport], str]] = {
        "rows": lambda item: f"{item.rows:,}",
        "first": lambda item: item.start[:16],
        "last": lambda item: item.end[:16],
        "days": lambda item: f"{item.days:.1f}",
        "gaps": lambda item: f"{item.gaps} ({item.missing} bars, longest {item.longest_gap})",
        "duplicates": lambda item: str(item.duplicates),
        "frozen bars": lambda item: str(item.frozen),
        "zero volume": lambda item: str(item.zero_volume),
        "outliers": lambda item: str(item.outliers),
        "damage": lambda item: str(len(item.problems)) if item.problems else "none",
    }
    for name, show in lines.items():
        table.add_row(name, *(show(item) for item in reports))
    return table


def _print_span(dataset: Dataset) -> None:
    """Rows, class shares and what can be proved, for the span that a campaign would use."""
    table = Table(
        title=f"Dataset: {summary.span_days(dataset):.1f} days, {dataset.span[0]} to {dataset.span[1]}",
        title_justify="left",
    )
    for heading in ("", "rows", "SELL", "HOLD", "BUY"):
        table.add_column(heading, justify="right" if heading else "left")
    for name in ("train", "val", "test"):
        rows = getattr(dataset, name)
        shares = summary.class_shares(dataset, rows)
        table.add_row(name, f"{len(rows):,}", *(f"{share:.1%}" for share in shares.values()))
    console.out.print(table)
    provable = summary.provable_direction_auc(dataset, dataset.test)
    console.out.print(
        f"{len(dataset.feature_names)} features, window {dataset.window}, horizon {dataset.horizon}. The test span can "
        f"prove a direction_auc of {provable:.3f} and above (one-sided 95 %); less is not told from 0.5."
    )
    for sentence in summary.advice(dataset):
        console.out.print(f"[bold yellow]advice:[/] {escape(sentence)}")
