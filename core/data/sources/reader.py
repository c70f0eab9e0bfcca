"""Reading what a data config names: bar files, a store, a feature table, or the embedded synthetic market."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from rich.markup import escape

from core import console
from core.config import DEFAULT_EXCHANGE, DataConfig
from core.data.bars import Bars, check_rows, find_unshared, join_files, read_unchecked
from core.data.completion import fill_untraded, hold_columns, mark_reopenings
from core.data.file_format import FILE_NAME, TAKER_FLOW, UNTRADED, datetime_microseconds, interval_microseconds
from core.data.market import Market, bars_market, market_span
from core.data.sources import feature_table, store, synthetic
from core.data.sources.archive import import_bars
from core.data.sources.file_names import FileList, list_files, parse_file_name
from core.data.span import cut_to_common_span, cut_to_own_spans, describe_limit, resolve_span
from core.errors import DataError

_MAX_NAMED = len(TAKER_FLOW)
"""Number of columns that a message names; the others are counted."""


def read_bars(config: DataConfig) -> list[Bars]:
    """Read and check the bars that a config names, complete them, and cut them to the span that it asks for.

    Damage after the end of that span is no matter: columns may end before the bars do.

    Raises:
        ConfigError: short gaps of an order book cannot be filled.
        DataError: bars are missing, damaged or too few.
    """
    return _complete_and_cut(_read_all_bars(config), config)


def _read_all_bars(config: DataConfig, features: Collection[str] | None = None) -> list[Bars]:
    """Read and check all bars of each symbol that a config names.

    Args:
        config: settings of the data to read.
        features: names of the features that are needed, see `read_market`.
    """
    if config.synthetic is not None:
        return synthetic.make_bars(config.synthetic, config.interval)
    contents = read_files(config)
    if features is not None:
        contents = {path: (_with_named(bars, features), complete) for path, (bars, complete) in contents.items()}
    for path, (bars, _) in contents.items():
        check_rows(path, bars, tuple(config.holds), sound_until(config))
    return _join(list(contents.values()))


def _with_named(bars: Bars, features: Collection[str]) -> Bars:
    """Return bars with those of their additional columns alone that are among these features."""
    others = [name for name in bars.named if name not in features]
    return replace(
        bars,
        frame=bars.frame.drop(columns=others),
        named=tuple(name for name in bars.named if name in features),
        ignored=(*bars.ignored, *others),
    )


def _join(files: Sequence[tuple[Bars, bool]]) -> list[Bars]:
    """Join the files of each symbol, see `join_files`, and print which columns are left out since not all have them."""
    joined = join_files(files)
    for bars in joined:
        kind = (bars.exchange, bars.symbol, bars.interval)
        parts = [part for part, _ in files if (part.exchange, part.symbol, part.interval) == kind]
        counts = find_unshared(parts)
        lacking = [f"{len(parts) - count} of {len(parts)} files" for count in counts.values()]
        _print_left_out(f"{bars.symbol}: ", list(counts), lacking)
    unshared = [name for name in find_unshared(joined) if not any(name in bars.named for bars in joined)]
    without = [", ".join(bars.symbol for bars in joined if name not in bars.frame) for name in unshared]
    _print_left_out("", unshared, without)
    return joined


def _print_left_out(prefix: str, columns: Sequence[str], lacking: Sequence[str]) -> None:
    """Print which columns are left out, and what lacks each of them."""
    for whose in dict.fromkeys(lacking):
        names = [name for name, lacks in zip(columns, lacking, strict=True) if lacks == whose]
        shown = ", ".join(names[:_MAX_NAMED]) + (f" and {len(names) - _MAX_NAMED} more" if names[_MAX_NAMED:] else "")
        console.err.print(escape(f"{prefix}{shown} left out: missing in {whose}."))


def _complete_and_cut(all_bars: Sequence[Bars], config: DataConfig, common: bool = True) -> list[Bars]:
    """Complete bars as the config says, and cut them to the span that it asks for.

    What counts as a closure of the market is told from all bars, so that it does not depend on the span.

    Args:
        all_bars: all bars of each symbol.
        config: settings of the data.
        common: whether all symbols are cut to the time that they share; each keeps its own newest bar otherwise.
    """
    if config.sessions:
        all_bars = [mark_reopenings(bars) for bars in all_bars]
        if not any(bars.reopenings is not None and len(bars.reopenings) for bars in all_bars):
            console.err.print("sessions changes nothing: no gap recurs as the closures of a market do.")
    completed = [hold_columns(bars, config.holds, sound_until(config)) for bars in all_bars]
    if config.fill_untraded:
        completed = [fill_untraded(bars, config.fill_untraded) for bars in completed]
    cut = (cut_to_common_span if common else cut_to_own_spans)(completed, config.days, config.until)
    if config.fill_untraded and not any(bars.frame[UNTRADED].any() for bars in cut):
        console.err.print(f"fill_untraded changes nothing: no gap of up to {config.fill_untraded} bars is in the span.")
    return cut


def sound_until(config: DataConfig) -> int | None:
    """Return the end of the rows that must be sound, in microseconds since 1970; None for all."""
    return None if config.until is None else datetime_microseconds(config.until)


def _make_market(
    all_bars: Sequence[Bars],
    config: DataConfig,
    keep_features: bool = True,
    features: Collection[str] | None = None,
) -> Market:
    """Make the market of all bars of each symbol; see `bars_market` for what of the features is kept."""
    market = bars_market(_complete_and_cut(all_bars, config), config, keep_features, features)
    if config.days is not None:  # and all symbols cover them
        return market
    spans = {bars.symbol: (int(bars.opened[0]), int(bars.opened[-1]) + bars.bar) for bars in all_bars}
    return replace(market, span_limit=describe_limit(spans))


def read_files(config: DataConfig) -> dict[Path, tuple[Bars, bool]]:
    """Read the bar files that a config names without checking their rows; files that are ignored are printed.

    Returns:
        The bars of each file, and whether the last of them is known to have closed; empty if the config names none.

    Raises:
        ConfigError: a glob matches no file.
        DataError: a file is missing, misnamed, unreadable, or has too few rows or the wrong columns.
    """
    listed = _list_bar_files(config)
    if ignored := listed.describe_ignored():
        console.err.print(escape(ignored))
    exchanges = {match["exchange"] for path in listed.files if (match := FILE_NAME.fullmatch(path.name))}
    if config.files and config.exchange and exchanges - {config.exchange}:
        told = ", ".join(sorted(exchanges))
        console.err.print(
            escape(f"exchange {config.exchange} has no effect: the names of the files tell theirs ({told}).")
        )
    return {path: read_file(path, config) for path in listed.files}


def read_file(path: Path, config: DataConfig) -> tuple[Bars, bool]:
    """Read one file of bars without checking its rows, also one of another program if its name tells what it holds.

    What was made of the columns of such a file, and what was assumed, is printed.

    Args:
        path: bar or order-book file, see `core.data.file_format`, or a file named as
            `core.data.sources.file_names.parse_file_name` knows it.
        config: settings of the data, of which the named features and the exchange count here.

    Returns:
        The bars, and whether the last of them is known to have closed.

    Raises:
        DataError: the file is missing, misnamed, unreadable, or has too few rows or the wrong columns.
    """
    named = parse_file_name(path.name)
    if named is None or FILE_NAME.fullmatch(path.name) or not path.is_file():
        return read_unchecked(path, config.feature_patterns)
    exchange = config.exchange or named.exchange or DEFAULT_EXCHANGE
    bars, parts = import_bars([path], exchange, named.symbol, named.interval)
    if len(bars.frame) < 2:
        raise DataError(f"{path} holds {len(bars.frame)} bars", "Provide at least two")
    for part in parts:
        assumed = "" if config.exchange or named.exchange else " (assumed: --exchange names another)"
        what = f"{part.rows:,} {bars.interval} bars of {bars.symbol} from {exchange}{assumed}"
        console.err.print(escape(f"{part.name}: {part.format} with {what}. {part.describe_columns()}"))
    return bars, False


def bar_files(config: DataConfig) -> Sequence[Path]:
    """Return the bar files that a config names; none for a feature table or the synthetic market.

    Raises:
        DataError: the store lacks the file of a symbol, or a folder has no file of bars.
        ConfigError: a glob matches no file.
    """
    return list(_list_bar_files(config).files)


def _list_bar_files(config: DataConfig) -> FileList:
    """Return the bar files that a config names, and those beside them that hold no bars."""
    if config.symbols:
        return FileList(tuple(store.find_in_store(config.store, config.symbols, config.interval, config.exchange)), ())
    return list_files(config.files)


def read_market(config: DataConfig, labelled: bool = True, features: Collection[str] | None = None) -> Market:
    """Read the data that a config names, and compute everything that needs no fitting.

    Args:
        config: settings of the data to read.
        labelled: whether the data are for a training: a feature table must have its columns of labels and returns, and
            all symbols are cut to the time that they share. Without labels, each symbol keeps its own newest bar.
        features: names of the features to compute, such as `TrainedModel.features`, whatever else the columns allow;
            None for all features.

    Raises:
        ConfigError: a column that the config names is missing.
        DataError: data are missing, damaged or too few, or one of `features` cannot be computed.
    """
    if config.table is not None:
        return _table_market(config, labelled, features)
    all_bars = _read_all_bars(config, features)
    if not labelled:
        return bars_market(_complete_and_cut(all_bars, config, common=False), config, only_features=features)
    return _make_market(all_bars, config, features=features)


def check_market(config: DataConfig, files: Sequence[tuple[Bars, bool]]) -> Market:
    """Check, as `read_market` does, that the bars of files that were read can be used; their features are not kept.

    Args:
        config: settings of the data.
        files: the bars of each file, which have no damage, and whether the last of them is known to have closed.

    Returns:
        The market as `read_market` gives it, but without the features that are computed, see `bars_market`.

    Raises:
        ConfigError: a column that the config names is missing.
        DataError: data are too few, contradict each other, or are so extreme that a feature is not finite.
    """
    return _make_market(_join(files), config, keep_features=False)


def _table_market(config: DataConfig, labelled: bool, features: Collection[str] | None) -> Market:
    assert config.table is not None  # `read_market` chose this branch by it
    symbols, names, ignored, fingerprint = feature_table.read_feature_tables(config, config.table, labelled, features)
    bar = interval_microseconds(config.interval)
    spans = [(int(rows.timestamps[0]), int(rows.timestamps[-1]) + bar) for rows in symbols]
    if labelled:
        spans = [(max(first for first, _ in spans), min(last for _, last in spans))] * len(spans)
    resolved = [resolve_span(*span, config.days, config.until) for span in spans]
    cut = tuple(rows.between(*span, config.window) for rows, span in zip(symbols, resolved, strict=True))
    return Market(
        symbols=cut,
        feature_names=names,
        named_count=len(names),
        ignored=ignored,
        span=market_span(cut, bar),
        fingerprint=fingerprint,
        is_synthetic=False,
    )
