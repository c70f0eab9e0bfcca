"""All rows of all symbols that a config names: from files, a store, a feature table, or the synthetic market."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from core.config import DataConfig
from core.errors import ConfigError
from core.market import bars as bars_module
from core.market import features, rows, store, synthetic, table
from core.market.bars import Bars
from core.market.rows import Rows
from core.splits import Span


@dataclass(frozen=True)
class Market:
    """All rows of all symbols, before anything is fitted.

    Attributes:
        rows: one entry a symbol.
        feature_names: the columns of `rows[i].features`.
        named: how many of them, at the end, are columns that the user named.
        ignored: columns of the files that nobody named.
        span: from the first bar to the end of the last.
        fingerprint: SHA-256 of the input.
        is_synthetic: whether it is made up.
    """

    rows: tuple[Rows, ...]
    feature_names: tuple[str, ...]
    named: int
    ignored: tuple[str, ...]
    span: Span
    fingerprint: str
    is_synthetic: bool


def read_bars(config: DataConfig) -> list[Bars]:
    """Read, check and cut the bars that a config names.

    Raises:
        DataError: they are missing, damaged or too few.
    """
    if config.synthetic is not None:
        all_bars = synthetic.make(config.synthetic, config.interval)
    else:
        all_bars = [bars_module.read(path, config.features) for path in bar_files(config)]
    return bars_module.common_span(all_bars, config.days, config.until)


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


def bars_market(all_bars: Sequence[Bars], config: DataConfig) -> Market:
    """Features, returns and labels of bars cut to one span.

    Raises:
        ConfigError: a named column is not there, or clashes with a feature.
    """
    named = bars_module.common_named(all_bars, config.features)
    # Features every symbol has: a column that one exchange records is no feature of them all.
    columns = set.intersection(*(set(bars.frame.columns) for bars in all_bars))
    chosen = features.available(sorted(columns))
    clash = sorted({feature.name for feature in chosen} & set(named))
    if clash:
        raise ConfigError(f"The named column(s) {', '.join(clash)} bear the name of a feature", "Rename them")
    found = [rows.from_bars(bars, chosen, named, config) for bars in all_bars]
    return Market(
        rows=tuple(found),
        feature_names=(*(feature.name for feature in chosen), *named),
        named=len(named),
        ignored=tuple(sorted({name for bars in all_bars for name in bars.ignored})),
        span=_span(found, all_bars[0].seconds * 1_000_000),
        fingerprint=bars_module.fingerprint(all_bars),
        is_synthetic=all(bars.exchange == synthetic.EXCHANGE for bars in all_bars),
    )


def _table_market(config: DataConfig, labelled: bool) -> Market:
    assert config.table is not None  # the caller has looked
    found, names, ignored, digest = table.read(config, config.table, labelled)
    bar = bars_module.interval_seconds(config.interval) * 1_000_000
    times = [pd.to_datetime(item.timestamps[[0, -1]], unit="us", utc=True) for item in found]
    first, last = max(time[0] for time in times), min(time[1] for time in times)
    start, stop = bars_module.resolve_span(first, last + pd.Timedelta(bar, "us"), config.days, config.until)
    edges = pd.DatetimeIndex([start, stop]).as_unit("us").asi8
    cut = [item.between(int(edges[0]), int(edges[1]), config.window) for item in found]
    return Market(
        rows=tuple(cut),
        feature_names=names,
        named=len(names),
        ignored=ignored,
        span=_span(cut, bar),
        fingerprint=digest,
        is_synthetic=False,
    )


def _span(found: Sequence[Rows], bar: int) -> Span:
    return Span(
        min(int(item.timestamps[0]) for item in found), max(int(item.timestamps[-1]) for item in found) + bar, bar
    )
