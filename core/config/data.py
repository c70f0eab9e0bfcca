"""Settings of the data: where bars come from, and how windows, labels and splits are made from them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from core.config.base import Config

LabelKind = Literal["quantile", "fixed", "triple_barrier"]
SignalShape = Literal["linear", "switching", "delayed"]
Variance = Literal["constant", "garch", "regime"]


def _instant(value: object) -> object:
    """Return the instant of an ISO 8601 text or a datetime, in UTC unless it names a time zone."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime) and value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    if isinstance(value, datetime) and not 2000 <= value.year <= 2200:
        raise ValueError(f"the year {value.year} is not between 2000 and 2200")
    return value


Instant = Annotated[datetime, BeforeValidator(_instant)]

INTERVAL = r"^[1-9][0-9]{0,5}[smhd]$"
_UNIT_SECONDS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}


def canonical_interval(interval: str) -> str:
    """Return the shortest spelling of an interval such as 60m.

    >>> canonical_interval("60m")
    '1h'
    """
    seconds = int(interval[:-1]) * _UNIT_SECONDS[interval[-1]]
    unit = next(unit for unit, length in _UNIT_SECONDS.items() if seconds % length == 0)
    return f"{seconds // _UNIT_SECONDS[unit]}{unit}"


def canonical_symbol(symbol: str) -> str:
    """Return a symbol in the spelling of file names: capital letters and digits, without what separates its parts.

    >>> canonical_symbol("btc/usdt:usdt")
    'BTCUSDT'
    """
    return re.sub(r"[-/_ ]", "", symbol.partition(":")[0]).upper()


def _interval(value: object) -> object:
    """Return an interval in its shortest spelling; what is no interval is left to be refused by its pattern."""
    if not isinstance(value, str):
        return value
    interval = value if value.endswith("M") else value.lower()  # 1M is a month
    return canonical_interval(interval) if re.fullmatch(INTERVAL, interval, re.ASCII) else value


def _location(value: object) -> object:
    """Return a path with the home folder in place of a leading `~`."""
    if isinstance(value, Path):
        return value.expanduser()
    return str(Path(value).expanduser()) if isinstance(value, str) and value.startswith("~") else value


def _spelled(spell: Callable[[str], str]) -> BeforeValidator:
    """Return a validator that spells a text in the one way that all of this program uses."""
    return BeforeValidator(lambda value: spell(value) if isinstance(value, str) else value)


Symbol = Annotated[str, _spelled(canonical_symbol)]
Interval = Annotated[str, BeforeValidator(_interval), Field(pattern=INTERVAL)]
Exchange = Annotated[str, _spelled(str.lower), Field(pattern=r"^[a-z0-9]+$")]
Location = Annotated[Path, BeforeValidator(_location)]
DEFAULT_EXCHANGE = "binance"
"""Exchange that bars are fetched from if none is named."""


class SyntheticConfig(Config):
    """Settings of the embedded synthetic market; see `core.data.sources.synthetic`."""

    bars: int = Field(default=5000, ge=100, le=5_000_000)
    """Number of bars of each symbol."""
    symbols: tuple[str, ...] = Field(default=("SYNTHETIC",), min_length=1)
    """Names of the symbols, which share one recipe and differ in their seeds."""
    signal: float = Field(default=0.6, ge=0.0, le=0.9)
    """Share of the standard deviation of a one-bar return that the planted signal explains; 0 gives a martingale."""
    shape: SignalShape = "linear"
    """linear (returns follow the taker flow), switching (they oppose it at high volume, which no linear model sees) or
    delayed (they follow it bars later, which only a model of the sequence sees)."""
    variance: Variance = "constant"
    """constant, garch (GARCH(1,1)) or regime (two states, calm and volatile)."""
    correlation: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Correlation of the unpredictable shocks of any two symbols."""
    gaps: int = Field(default=0, ge=0)
    """Number of outages of each symbol, each of 1 to 60 missing bars."""
    outliers: int = Field(default=0, ge=0)
    """Number of bars of each symbol in which the price jumps by 5 to 50 %."""
    seed: int = Field(default=7, ge=0, le=2**32 - 1)
    """Seed of the random generator."""


class LabelConfig(Config):
    """Settings of the labels SELL, HOLD and BUY; see `core.data.labels`."""

    kind: LabelKind = "quantile"
    """quantile (borders fitted on train, per symbol), fixed (given borders) or triple_barrier (first touch)."""
    quantiles: tuple[float, float] = (0.25, 0.75)
    """quantile: forward returns below the first quantile are SELL, those above the second are BUY."""
    fixed: tuple[float, float] = (-0.001, 0.001)
    """fixed: the two borders, in log return; in units of volatility if volatility_scaled."""
    volatility_scaled: bool = False
    """quantile, fixed: divide the return by the volatility known at t, so that HOLD is not a volatility forecast."""
    volatility_span: int = Field(default=48, ge=2, le=5000)
    """Number of bars over which that volatility is measured."""
    barrier_width: float = Field(default=1.0, gt=0, le=100)
    """triple_barrier: distance of the barriers, in units of the volatility of h bars."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        low, high = self.quantiles
        if not 0 < low < high < 1:
            raise ValueError("quantiles must be two increasing numbers between 0 and 1")
        if not self.fixed[0] < self.fixed[1]:
            raise ValueError("fixed must be two increasing numbers")
        return self

    def in_use(self) -> dict[str, Any]:
        """Return the settings beside `kind` that labels of this kind depend on, as plain values."""
        unused = {"kind", *_UNUSED_SETTINGS.get(self.kind, ())}
        if "volatility_scaled" not in unused and not self.volatility_scaled:
            unused |= {"volatility_scaled", "volatility_span"}
        return self.model_dump(mode="json", exclude=unused)


_UNUSED_SETTINGS: dict[str, tuple[str, ...]] = {
    "quantile": ("fixed", "barrier_width"),
    "fixed": ("quantiles", "barrier_width"),
    "triple_barrier": ("quantiles", "fixed", "volatility_scaled"),
}
"""Settings of other kinds of labels, on which labels of a kind do not depend."""


class TableConfig(Config):
    """Settings of a ready feature table, whose features, labels and returns are used as they are."""

    files: tuple[Location, ...] = Field(min_length=1)
    """Parquet files with one row per symbol and instant."""
    features: tuple[str, ...] = Field(min_length=1)
    """Columns to use as features, by name or glob (`flow_*`)."""
    label: str
    """Column of the labels: 0, 1, 2 or SELL, HOLD, BUY; empty where unknown."""
    returns: str
    """Column of the forward log returns over the horizon; empty where unknown."""
    timestamp: str = "timestamp"
    """Column of the opening times of the bars, UTC."""
    symbol: str = "symbol"
    """Column of the symbols."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len({self.label, self.returns, self.timestamp, self.symbol}) < 4:
            raise ValueError("label, returns, timestamp and symbol must be four different columns")
        return self


class ColumnConfig(Config):
    """Settings of an additional column that is used as a feature."""

    hold: Interval | None = None
    """How long a value of the column stays valid, such as 9h; if not given, every bar must have one."""


class DataConfig(Config):
    """Settings of the bars, and of the windows, labels and splits made from them; they name exactly one source."""

    files: tuple[Location, ...] = ()
    """Bar files named `<exchange>_<SYMBOL>_<interval>.parquet`, globs of them, or folders, for all files below them."""
    symbols: tuple[Symbol, ...] = ()
    """Symbols to read from the store, such as BTCUSDT; BTC/USDT and btcusdt mean the same."""
    table: TableConfig | None = None
    """Settings of a ready feature table."""
    synthetic: SyntheticConfig | None = None
    """Settings of the embedded synthetic market."""
    store: Location = Path("data")
    """Folder of bar files in which `symbols` are looked up."""
    interval: Interval = "5m"
    """Bar length of the symbols read from the store, of a table or of the synthetic market, such as 5m or 1h."""
    exchange: Exchange | None = None
    """Exchange of the files in the store, needed if it holds several, and of bars to fetch; binance by default."""
    offline: bool = False
    """Never fetch bars that the store lacks from the exchange."""
    days: float | None = Field(default=None, gt=0, le=36_500)
    """Number of days to use, up to the end of the span; all common days if not given."""
    until: Instant | None = None
    """End of the span, a date or an instant, UTC unless it names a zone; the newest common instant if not given."""
    window: int = Field(default=60, ge=2, le=4096)
    """L: number of consecutive bars that one prediction sees."""
    horizon: int = Field(default=3, ge=1, le=10_000)
    """h: number of bars that a label looks ahead."""
    labels: LabelConfig = LabelConfig()
    """Settings of the labels."""
    features: tuple[str, ...] | dict[str, ColumnConfig] = ()
    """Extra columns of the files to use as features, by name or glob, with or without settings of each
    (`funding_*: {hold: 9h}`); other columns are ignored."""
    allow_lookahead: tuple[str, ...] = ()
    """Extra features allowed to correlate with the forward return as if they knew it, by name or glob."""
    fill_untraded: int = Field(default=0, ge=0, le=1000)
    """Number of missing bars up to which a gap is filled with untraded bars: flat, without volume, and marked."""
    sessions: bool = False
    """Whether the market closes: windows reach across nights, weekends and other recurring closures; labels do not."""
    val_fraction: float = Field(default=0.15, gt=0, lt=0.5)
    """Share of the time span used for validation."""
    test_fraction: float = Field(default=0.15, gt=0, lt=0.5)
    """Share of the time span held out for test, which is read once."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        named = [bool(self.files), bool(self.symbols), self.table is not None, self.synthetic is not None]
        if sum(named) != 1:
            raise ValueError("name exactly one source of data: files, symbols, table or synthetic")
        if self.table is not None and "horizon" not in self.model_fields_set:
            raise ValueError("give the horizon of the table's labels, in bars: it cannot be read from the table")
        if self.table is not None and self.features:
            raise ValueError("name the features of a table in table.features")
        if self.table is not None and self.fill_untraded:
            raise ValueError("fill_untraded needs bars: a table's rows are used as they are")
        return self

    @property
    def feature_patterns(self) -> tuple[str, ...]:
        """Names or globs of the extra columns that are features."""
        return tuple(self.features)

    @property
    def holds(self) -> dict[str, str]:
        """How long the values of slow columns stay valid, as intervals, by name or glob."""
        if not isinstance(self.features, dict):
            return {}
        return {pattern: column.hold for pattern, column in self.features.items() if column.hold}


SOURCES = ("files", "symbols", "table", "synthetic")
"""Sources of data, of which a data config names exactly one."""
UNUSED_BY_SOURCE: dict[str, tuple[str, ...]] = {
    "files": ("interval", "store"),
    "symbols": (),
    "table": ("labels", "store", "exchange"),
    "synthetic": ("store", "exchange"),
}
"""Settings that have no effect on data from a source."""


def merge_sources(file_settings: dict[str, Any], flags: dict[str, Any]) -> dict[str, Any]:
    """Return the data settings of a file, overridden by those of flags.

    Args:
        file_settings: data settings of the file, by name.
        flags: data settings of the command line, by name; if they name a source, the file's source is dropped, and so
            are those settings of the file that have no effect on data from the new one.
    """
    for source in SOURCES:
        if source in flags:
            dropped = {*SOURCES, *UNUSED_BY_SOURCE[source]}
            file_settings = {key: value for key, value in file_settings.items() if key not in dropped}
    return {**file_settings, **flags}
