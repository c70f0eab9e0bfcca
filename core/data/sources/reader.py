"""All rows of all symbols that a config names: from files, a store, a feature table, or the synthetic market."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from core.config import DataConfig
from core.data import file_format
from core.data.bars import Bars, common_span, read_bar_file, resolve_span
from core.data.market import Market, bars_market, market_span
from core.data.sources import feature_table, store, synthetic


def read_bars(config: DataConfig) -> list[Bars]:
    """Read, check and cut the bars that a config names.

    Raises:
        DataError: they are missing, damaged or too few.
    """
    if config.synthetic is not None:
        all_bars = synthetic.make_bars(config.synthetic, config.interval)
    else:
        all_bars = [read_bar_file(path, config.features) for path in bar_files(config)]
    return common_span(all_bars, config.days, config.until)


def bar_files(config: DataConfig) -> Sequence[Path]:
    """The files of bars that a config names; none for a table or the synthetic market.

    Raises:
        DataError: the store lacks one.
    """
    if config.symbols:
        return store.find_in_store(config.store, config.symbols, config.interval, config.exchange)
    return config.files


def read_market(config: DataConfig, labelled: bool = True) -> Market:
    """Read what a config names, and compute what needs no fitting.

    Args:
        config: what to read.
        labelled: whether a table must have its columns of labels and returns.

    Raises:
        ConfigError: a column that it names is not there.
        DataError: data are missing, damaged or too few.
    """
    return _table_market(config, labelled) if config.table is not None else bars_market(read_bars(config), config)


def _table_market(config: DataConfig, labelled: bool) -> Market:
    assert config.table is not None  # the caller has looked
    found, names, ignored, digest = feature_table.read_feature_tables(config, config.table, labelled)
    bar = file_format.interval_seconds(config.interval) * 1_000_000
    times = [pd.to_datetime(item.timestamps[[0, -1]], unit="us", utc=True) for item in found]
    first, last = max(time[0] for time in times), min(time[1] for time in times)
    start, stop = resolve_span(first, last + pd.Timedelta(bar, "us"), config.days, config.until)
    edges = pd.DatetimeIndex([start, stop]).as_unit("us").asi8
    cut = [item.between(int(edges[0]), int(edges[1]), config.window) for item in found]
    return Market(
        rows=tuple(cut),
        feature_names=names,
        named=len(names),
        ignored=ignored,
        span=market_span(cut, bar),
        fingerprint=digest,
        is_synthetic=False,
    )
