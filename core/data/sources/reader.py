"""Reading what a data config names: bar files, a store, a feature table, or the embedded synthetic market."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.config import DataConfig
from core.data.bars import Bars, read_bar_files
from core.data.file_format import datetime_microseconds, interval_microseconds
from core.data.market import Market, bars_market, market_span
from core.data.sources import feature_table, store, synthetic
from core.data.span import cut_to_common_span, resolve_span
from core.files import expand_globs


def read_bars(config: DataConfig) -> list[Bars]:
    """Read and check the bars that a config names, and cut them to the span that it asks for.

    Damage after the end of that span is no matter: columns may end before the bars do.

    Raises:
        DataError: bars are missing, damaged or too few.
    """
    if config.synthetic is not None:
        all_bars = synthetic.make_bars(config.synthetic, config.interval)
    else:
        until = None if config.until is None else datetime_microseconds(config.until)
        all_bars = read_bar_files(bar_files(config), config.features, until)
    return cut_to_common_span(all_bars, config.days, config.until)


def bar_files(config: DataConfig) -> Sequence[Path]:
    """Return the bar files that a config names; none for a feature table or the synthetic market.

    Raises:
        DataError: the store lacks the file of a symbol.
        ConfigError: a glob matches no file.
    """
    if config.symbols:
        return store.find_in_store(config.store, config.symbols, config.interval, config.exchange)
    return expand_globs(config.files)


def read_market(config: DataConfig, labelled: bool = True) -> Market:
    """Read the data that a config names, and compute everything that needs no fitting.

    Args:
        config: settings of the data to read.
        labelled: whether a feature table must have its columns of labels and returns.

    Raises:
        ConfigError: a column that the config names is missing.
        DataError: data are missing, damaged or too few.
    """
    return _table_market(config, labelled) if config.table is not None else bars_market(read_bars(config), config)


def _table_market(config: DataConfig, labelled: bool) -> Market:
    assert config.table is not None  # `read_market` chose this branch by it
    symbols, names, ignored, fingerprint = feature_table.read_feature_tables(config, config.table, labelled)
    bar = interval_microseconds(config.interval)
    first = max(int(rows.timestamps[0]) for rows in symbols)
    last = min(int(rows.timestamps[-1]) for rows in symbols) + bar
    start, stop = resolve_span(first, last, config.days, config.until)
    cut = tuple(rows.between(start, stop, config.window) for rows in symbols)
    return Market(
        symbols=cut,
        feature_names=names,
        named_count=len(names),
        ignored=ignored,
        span=market_span(cut, bar),
        fingerprint=fingerprint,
        is_synthetic=False,
    )
