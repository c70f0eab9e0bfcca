"""Settings of the data: where bars come from, and how windows and labels are made of them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from core.config.base import Config

LabelKind = Literal["quantile", "fixed", "triple_barrier"]


SignalShape = Literal["linear", "switching"]


Variance = Literal["constant", "garch", "regime"]


def _instant(value: object) -> object:
    """A date or an instant in words, in UTC unless it names a zone."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime) and value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    if isinstance(value, datetime) and not 2000 <= value.year <= 2200:
        raise ValueError(f"{value.year} is no year of a market that this program knows")
    return value


Instant = Annotated[datetime, BeforeValidator(_instant)]
DEFAULT_EXCHANGE = "binance"
"""The exchange that bars are fetched from, if no other is named."""


class SyntheticConfig(Config):
    """The embedded synthetic market: see `core.data.sources.synthetic`."""

    bars: int = Field(default=5000, ge=100, le=5_000_000)
    """Bars of each symbol."""
    symbols: tuple[str, ...] = Field(default=("SYNTHETIC",), min_length=1)
    """Symbol names, all made of the same recipe with different seeds."""
    signal: float = Field(default=0.6, ge=0.0, le=0.9)
    """Share of the standard deviation of a one-bar return that the planted signal explains; 0 is a martingale."""
    shape: SignalShape = "linear"
    """linear (returns follow the pressure) or switching (against it while volume is high: no linear model can tell)."""
    variance: Variance = "constant"
    """constant, garch (GARCH(1,1)) or regime (two states, calm and wild)."""
    correlation: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Correlation of the unseen shocks of any two symbols."""
    gaps: int = Field(default=0, ge=0)
    """Outages of each symbol: stretches of 1 to 60 missing bars."""
    outliers: int = Field(default=0, ge=0)
    """Bars of each symbol in which the price jumps by 5 to 50 %."""
    seed: int = Field(default=7, ge=0, le=2**32 - 1)
    """Seed of the generator."""


class LabelConfig(Config):
    """What SELL, HOLD and BUY mean: see `core.data.labels`."""

    kind: LabelKind = "quantile"
    """quantile (borders fitted on train, per symbol), fixed (borders given) or triple_barrier (first touch)."""
    quantiles: tuple[float, float] = (0.25, 0.75)
    """quantile: forward returns below the first quantile are SELL, above the second BUY."""
    fixed: tuple[float, float] = (-0.001, 0.001)
    """fixed: the borders, in log return; in units of volatility if volatility_scaled."""
    volatility_scaled: bool = False
    """quantile and fixed: divide the return by the volatility known at t, so that HOLD is not a volatility forecast."""
    volatility_span: int = Field(default=48, ge=2, le=5000)
    """Bars over which that volatility is measured."""
    barrier_width: float = Field(default=1.0, gt=0, le=100)
    """triple_barrier: distance of the barriers, in units of the volatility of h bars."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        low, high = self.quantiles
        if not 0 < low < high < 1:
            raise ValueError("quantiles must be two rising numbers between 0 and 1")
        if not self.fixed[0] < self.fixed[1]:
            raise ValueError("fixed must be two rising numbers")
        return self


class TableConfig(Config):
    """A finished feature table: features, label and return are taken as they are."""

    files: tuple[Path, ...] = Field(min_length=1)
    """Parquet files with a row a symbol and instant."""
    features: tuple[str, ...] = Field(min_length=1)
    """Columns that are features, by name or glob (`flow_*`)."""
    label: str
    """Column of labels: 0, 1, 2 or SELL, HOLD, BUY; empty where unknown."""
    returns: str
    """Column of forward log returns over the horizon; empty where unknown."""
    timestamp: str = "timestamp"
    """Column of bar openings, UTC."""
    symbol: str = "symbol"
    """Column of symbols."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len({self.label, self.returns, self.timestamp, self.symbol}) < 4:
            raise ValueError("label, returns, timestamp and symbol must be four different columns")
        return self


class DataConfig(Config):
    """Which bars, and how they become windows, labels and splits. Exactly one source is named."""

    files: tuple[Path, ...] = ()
    """Bar files named `<exchange>_<SYMBOL>_<interval>.parquet`."""
    symbols: tuple[str, ...] = ()
    """Symbols to read from the store, for example BTCUSDT."""
    table: TableConfig | None = None
    """A finished feature table."""
    synthetic: SyntheticConfig | None = None
    """Settings of the embedded synthetic market."""
    store: Path = Path("data")
    """Folder of bar files that `symbols` are looked up in."""
    interval: str = Field(default="5m", pattern=r"^[1-9]\d{0,3}[smhd]$")
    """Bar length of the symbols read from the store, of a table and of the synthetic market, for example 5m, 1h."""
    exchange: str | None = Field(default=None, pattern=r"^[a-z0-9]+$")
    """Exchange of the store's files, needed if it holds several, and to fetch from; binance by default."""
    offline: bool = False
    """Whether what the store lacks must not be fetched from the exchange."""
    days: float | None = Field(default=None, gt=0, le=36_500)
    """Use the last N days; all common days if not given."""
    until: Instant | None = None
    """End of the span, a date or an instant, UTC unless it names a zone; the newest common to all if not given."""
    window: int = Field(default=60, ge=2, le=4096)
    """L: consecutive bars that one prediction sees."""
    horizon: int = Field(default=3, ge=1, le=10_000)
    """h: bars ahead that a label looks."""
    labels: LabelConfig = LabelConfig()
    """What the labels mean."""
    features: tuple[str, ...] = ()
    """Further columns of the files that are features, by name or glob; columns not named are ignored."""
    allow_lookahead: tuple[str, ...] = ()
    """Named features that may correlate with the forward return as if they knew it, by name or glob."""
    val_fraction: float = Field(default=0.15, gt=0, lt=0.5)
    """Share of the span's time used for validation."""
    test_fraction: float = Field(default=0.15, gt=0, lt=0.5)
    """Share of the span's time kept for the one reading of test."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        named = [bool(self.files), bool(self.symbols), self.table is not None, self.synthetic is not None]
        if sum(named) != 1:
            raise ValueError("name exactly one source of data: files, symbols, table or synthetic")
        if self.table is not None and "horizon" not in self.model_fields_set:
            raise ValueError("say the horizon: a table's labels look some bars ahead, and only you know how many")
        if self.table is not None and self.features:
            raise ValueError("a table's features are named in its own settings")
        return self


SOURCES = ("files", "symbols", "table", "synthetic")
"""Settings of which a data config names exactly one."""


def merge_sources(written: dict[str, Any], flags: dict[str, Any]) -> dict[str, Any]:
    """Data settings of a file, overridden by those of flags; a source named by a flag replaces the file's."""
    if any(kind in flags for kind in SOURCES):
        written = {key: value for key, value in written.items() if key not in SOURCES}
    return {**written, **flags}
