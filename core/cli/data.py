"""The commands `preset-search data check` and `preset-search data fetch`."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from core import console
from core.cli.data_settings import data_config, data_settings
from core.cli.options import (
    ConfigOption,
    DaysOption,
    ExchangeOption,
    FeaturesOption,
    FillUntradedOption,
    HorizonOption,
    SessionsOption,
    UntilOption,
)
from core.config import DEFAULT_EXCHANGE, DataConfig, parse
from core.console import Command
from core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from core.data.dataset import Dataset
    from core.data.market import Market
    from core.data.sources.archive import ImportedPart
    from core.data.summary import FileReport

app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Check and fetch market data.")

_FILES_PER_TABLE = 5
"""Number of files that fit side by side into a table."""
FETCH_EPILOG = (
    "Examples:\n\n"
    "preset-search data fetch --symbols BTCUSDT ETHUSDT --interval 5m --days 60 --exchange binance\n\n"
    "preset-search data fetch --symbols BTCUSDT --interval 5m --days 60 --exchange binanceusdm"
)
IMPORT_EPILOG = (
    "Examples:\n\n"
    "preset-search data import BTCUSDT-5m-2025-*.zip --exchange binance --symbol BTCUSDT --interval 5m\n\n"
    "preset-search data import BTC_USDT-5m.feather --exchange kraken --symbol BTCUSDT --interval 5m --store data\n\n"
    "preset-search data import quotes.csv --exchange nyse --symbol SPY --interval 1d --columns close='Adj Close'"
)
DATA_CHECK_EPILOG = (
    "Examples:\n\n"
    "preset-search data check data/binance_BTCUSDT_5m.parquet data/binance_ETHUSDT_5m.parquet --days 30\n\n"
    "preset-search data check data/*_1h.parquet --horizon 1\n\n"
    "preset-search data check data/nyse_SPY_5m.parquet --sessions\n\n"
    "preset-search data check --config campaign.yaml"
)


@app.command(cls=Command, epilog=DATA_CHECK_EPILOG)
def check(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Bar or order-book files, or folders of them.", metavar="FILE…", show_default=False),
    ] = None,
    config_file: ConfigOption = None,
    days: DaysOption = None,
    until: UntilOption = None,
    horizon: HorizonOption = None,
    features: FeaturesOption = None,
    fill_untraded: FillUntradedOption = None,
    sessions: SessionsOption = False,
    exchange: ExchangeOption = None,
) -> None:
    """Report what the files contain, what is wrong with them, and what their span can prove."""
    from core.data import summary
    from core.data.dataset import MIN_ROWS, fit_dataset
    from core.data.row_counts import check_row_counts
    from core.data.sources.reader import check_market, read_files, read_market, sound_until
    from core.data.splits import main_borders

    settings = data_settings(
        data=files or None,
        days=days,
        until=until,
        horizon=horizon,
        features=features,
        fill_untraded=fill_untraded,
        sessions=sessions,
        exchange=exchange,
    )
    config = data_config(settings, config_file)
    contents = read_files(config)
    sparse = tuple(config.holds)
    end = sound_until(config)
    reports = [summary.check_file(path, bars, sparse, end) for path, (bars, _) in contents.items()]
    _print_reports(reports)
    damaged = sum(1 for report in reports if report.problems)
    if damaged:
        raise DataError(f"{damaged} of {len(reports)} files cannot be used", "Correct the rows named above")
    market = check_market(config, list(contents.values())) if contents else read_market(config)
    dataset = fit_dataset(market, config, main_borders(market.span, config), min_rows=1)
    _print_span(dataset, len(market.feature_names) + len(market.dropped))
    if config.sessions:
        _print_closures(market)
    check_row_counts(market, dataset.row_counts(), dataset.borders, MIN_ROWS)


@app.command(cls=Command, epilog=FETCH_EPILOG)
def fetch(
    symbols: Annotated[list[str], typer.Option("--symbols", help="Symbols such as BTCUSDT; takes several values.")],
    days: Annotated[float, typer.Option("--days", help="Number of days before --until.", min=0.001, max=36_500)],
    interval: Annotated[str, typer.Option("--interval", help="Bar length: 1m, 5m, 1h, …")] = "5m",
    until: UntilOption = None,
    exchange: Annotated[
        str,
        typer.Option(
            "--exchange",
            help="Name of the exchange in ccxt; one that lists only derivatives, such as binanceusdm, gives perpetual "
            "swaps, all others spot markets.",
        ),
    ] = DEFAULT_EXCHANGE,
    store: Annotated[Path, typer.Option("--store", help="Folder of bar files.")] = Path("data"),
) -> None:
    """Fetch bars from an exchange into the store: only what is missing; run again after an interruption to continue."""
    from core.data.file_format import DAY, datetime_microseconds
    from core.data.sources.fetch import fetch_ranges
    from core.data.sources.store import FetchRange

    settings = data_settings(symbols=symbols, days=days, interval=interval, until=until, exchange=exchange, store=store)
    config = parse(DataConfig, settings, "command line")
    end = datetime_microseconds(config.until or datetime.now(UTC))
    start = end - round(days * DAY)
    source = config.exchange or DEFAULT_EXCHANGE
    ranges = [FetchRange(source, symbol, start, end) for symbol in config.symbols]
    paths = fetch_ranges(config.store, config.interval, ranges)
    for path in paths:
        console.out.print(f"wrote {escape(str(path))}")
    # A file that was there before may spell the interval in another way.
    spellings = dict.fromkeys(path.stem.rpartition("_")[2] for path in paths) or {config.interval: None}
    place = shlex.quote(str(config.store))
    named = " ".join(f"{place}/{source}_*_{spelling}.parquet" for spelling in spellings)
    console.out.print(f"next: preset-search data check {escape(named)}")


@app.command(name="import", cls=Command, epilog=IMPORT_EPILOG)
def import_files(
    files: Annotated[list[Path], typer.Argument(help="Files or folders of files.", metavar="FILE…")],
    exchange: Annotated[str, typer.Option("--exchange", help="Name of the exchange that recorded the bars.")],
    symbol: Annotated[str, typer.Option("--symbol", help="Symbol such as BTCUSDT.")],
    interval: Annotated[str, typer.Option("--interval", help="Bar length: 1m, 5m, 1h, …")],
    store: Annotated[Path, typer.Option("--store", help="Folder of bar files.")] = Path("data"),
    columns: Annotated[
        list[str] | None,
        typer.Option("--columns", help="Columns whose names are not known, as close=Last; takes several values."),
    ] = None,
) -> None:
    """Import the bars of one symbol from CSV, JSON, Feather or Parquet files of other programs into the store."""
    from core.data.file_format import iso
    from core.data.sources.archive import import_bars
    from core.data.sources.file_names import list_files
    from core.data.sources.further_columns import describe_ends
    from core.data.sources.store import add_to_store, check_symbol

    config = parse(
        DataConfig,
        {"symbols": [symbol], "exchange": exchange, "interval": interval, "store": str(store)},
        "command line",
    )
    check_symbol(config.symbols[0])
    pairs = [pair.partition("=") for pair in columns or ()]
    if wrong := [name for name, equals, column in pairs if not (equals and name and column)]:
        raise ConfigError(f"--columns {wrong[0]} names no column", "Write it as close=Last")
    listed = list_files(files)
    if ignored := listed.describe_ignored():
        console.err.print(escape(ignored))
    bars, parts = import_bars(
        listed.files,
        config.exchange or DEFAULT_EXCHANGE,
        config.symbols[0],
        config.interval,
        {name: column for name, _, column in pairs},
    )
    for part in parts:
        console.out.print(_import_table(part))
    replaced: list[int] = []
    spans = [part.span for part in parts if part.span]
    path, joined = add_to_store(config.store, bars, spans, on_replaced=replaced.append)
    first, end = (iso(int(instant)) for instant in (joined.opened[0], joined.opened[-1] + joined.bar))
    console.out.print(f"wrote {escape(str(path))}: {len(joined.frame):,} bars from {first} to {end}")
    for opened in replaced:
        what = f"The bar of {iso(opened)}, the last one that was stored, may have been open then"
        console.out.print(f"{what}: it is replaced by that of the files.")
    for sentence in describe_ends(path):
        console.err.print(escape(sentence))
    console.out.print("The last bar may not have closed when it was recorded; it is not used until later bars follow.")
    console.out.print(f"next: preset-search data check {escape(shlex.quote(str(path)))}")


def _import_table(part: ImportedPart) -> Table:
    """Return a table of what became of each column of a file."""
    table = Table(title=f"{escape(part.name)}: {part.format}, {part.rows:,} bars", title_justify="left")
    table.add_column("column")
    table.add_column("becomes")
    for column, original in part.mapped.items():
        table.add_row(escape(original), column)
    for column in part.dropped:
        table.add_row(escape(column), "[dim]left out[/]")
    table.caption = escape(". ".join(note for note in part.notes if note))
    table.caption_justify = "left"
    return table


def _print_reports(reports: list[FileReport]) -> None:
    """Print what each file holds, and what is odd or wrong in it."""
    for start in range(0, len(reports), _FILES_PER_TABLE):
        console.out.print(_files_table(reports[start : start + _FILES_PER_TABLE]))
    for report in reports:
        if report.ignored:
            console.out.print(f"{escape(str(report.path))}: ignored columns: {escape(', '.join(report.ignored))}")
        if report.bad_ticks:
            console.out.print(f"[bold yellow]advice:[/] {escape(_describe_bad_ticks(report))}")
        for problem in report.problems:
            console.out.print(f"[bold red]damaged:[/] {escape(str(report.path))}: {escape(problem)}")


def _print_closures(market: Market) -> None:
    """Print how many gaps of each symbol are closures of the market, which windows reach across."""
    from core.data.continuity import find_gaps

    for data in market.symbols:
        gaps = int(find_gaps(data.timestamps, market.span.bar)[1:].sum())
        closures = gaps - int(data.is_break[1:].sum())
        console.out.print(escape(f"{closures:,} of the {gaps:,} gaps of {data.symbol} are closures of the market."))


def _describe_bad_ticks(report: FileReport) -> str:
    """Return advice about prices that look like errors of a recording."""
    return (
        f"{report.path} has {report.bad_ticks} bar(s) with a price of over twice, or under half, the closes around "
        f"them; the first is at {report.first_bad_tick}. If it is an error, correct it or remove the row."
    )


def _files_table(reports: list[FileReport]) -> Table:
    """Return a table with a column for each file: there are more facts than files."""
    table = Table(title="Files", title_justify="left")
    table.add_column("")
    for report in reports:
        table.add_column(f"{report.symbol} {report.interval}", justify="right")
    lines: dict[str, Callable[[FileReport], str]] = {
        "rows": lambda report: f"{report.rows:,}",
        "first": lambda report: report.start[:16],
        "last": lambda report: report.end[:16],
        "days": lambda report: f"{report.days:.1f}",
        "gaps": lambda report: f"{report.gaps} ({report.missing} bars, longest {report.longest_gap})",
        "duplicates": lambda report: str(report.duplicates),
        "frozen bars": lambda report: str(report.frozen),
        "zero volume": lambda report: str(report.zero_volume),
        "outliers": lambda report: str(report.outliers),
        "damage": lambda report: str(len(report.problems)) if report.problems else "none",
    }
    if any(report.offset for report in reports):
        lines["grid offset"] = lambda report: str(timedelta(microseconds=report.offset))
    for name, show in lines.items():
        table.add_row(name, *(show(report) for report in reports))
    return table


def _print_span(dataset: Dataset, feature_count: int) -> None:
    """Print rows, class shares, what can be proved and what is doubtful of the span that a campaign would use.

    Args:
        dataset: the dataset, which may be without its features.
        feature_count: how many features it would have in a training.
    """
    from core.data import summary

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
    proof = (
        f"can prove a direction_auc of {provable:.3f} and above (one-sided 95 %); it cannot tell a smaller one from 0.5"
        if provable < 1
        else "cannot prove any direction_auc"
    )
    console.out.print(
        f"{feature_count} features, window {dataset.window}, horizon {dataset.horizon}. The test span {proof}."
    )
    if dataset.untraded:
        console.out.print(f"{dataset.untraded:,} untraded bars were filled into gaps; no label begins or ends in one.")
    for sentence in summary.advice(dataset):
        console.out.print(f"[bold yellow]advice:[/] {escape(sentence)}")
