"""Settings: frozen, strict, each field documented where it is declared.

A setting that is not declared here (or in `search.config`) does not exist: unknown keys are
refused, and so are values of the wrong type (`"3"` is not `3`).
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Hashable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from core.errors import ConfigError

ModelSize = Literal["quick", "small", "large"]
Schedule = Literal["warm_restarts", "cosine", "plateau", "constant"]
ClassWeights = Literal["none", "balanced", "sqrt", "effective"]
RankingMetric = Literal["macro_f1", "mcc", "balanced_accuracy", "auc", "direction_auc", "nll", "net_sharpe"]
LabelKind = Literal["quantile", "fixed", "triple_barrier"]
SignalShape = Literal["linear", "switching"]
Variance = Literal["constant", "garch", "regime"]
Device = Literal["auto", "cpu", "cuda"]


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


class Config(BaseModel):
    """Base of all settings: immutable, strict, closed."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )


class SyntheticConfig(Config):
    """The embedded synthetic market: see `core.market.synthetic`."""

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
    """What SELL, HOLD and BUY mean: see `core.market.labels`."""

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


class ModelConfig(Config):
    """The network: see `core.models.hybrid`."""

    size: ModelSize = "quick"
    """quick (about 0.1M parameters), small (about 1M), large (about 4M)."""
    dropout: float = Field(default=0.4, ge=0.0, lt=1.0)
    """Probability that an activation is dropped in training."""


class LossConfig(Config):
    """What is minimised: see `core.losses`."""

    focal_gamma: float = Field(default=2.5, ge=0.0, le=10.0)
    """Focusing exponent; 0 is cross-entropy."""
    label_smoothing: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Probability mass spread evenly over the three classes."""
    direction_weight: float = Field(default=1.0, gt=0.0)
    """Weight of the direction loss."""
    confidence_weight: float = Field(default=0.5, ge=0.0)
    """Weight of the confidence loss."""
    return_weight: float = Field(default=0.3, ge=0.0)
    """Weight of the return loss."""
    opposite_weight: float = Field(default=0.0, ge=0.0)
    """Weight of the directional accuracy loss, added to the direction loss; 0 switches it off."""


class AugmentConfig(Config):
    """Changes made to training windows, drawn anew for each sample: see `core.augment`."""

    mixup_alpha: float = Field(default=0.2, ge=0.0, le=10.0)
    """Both parameters of mixup's Beta distribution; 0 switches it off."""
    time_mask: float = Field(default=0.1, ge=0.0, le=0.9)
    """Longest masked stretch, as a share of the window; 0 switches it off."""
    noise_std: float = Field(default=0.01, ge=0.0)
    """Standard deviation of Gaussian noise, in units of the scaled features; 0 switches it off."""
    feature_dropout: float = Field(default=0.05, ge=0.0, lt=1.0)
    """Probability that a whole feature of a sample is set to its median, 0; 0 switches it off."""


class BalanceConfig(Config):
    """How unequal classes are compensated: see `core.balance`."""

    class_weights: ClassWeights = "balanced"
    """none, balanced (n / (3 n_k)), sqrt (its square root) or effective (inverse effective number of samples)."""
    oversample: bool = False
    """Draw rows of the rarer classes more often, until all classes are equally frequent."""
    allow_double: bool = False
    """Allow class weights and oversampling together."""


class TrainerConfig(Config):
    """The optimisation: see `core.trainer`."""

    learning_rate: float = Field(default=5e-5, gt=0.0, le=1.0)
    """Peak learning rate of AdamW."""
    batch_size: int = Field(default=256, ge=1)
    """Windows per optimizer step."""
    weight_decay: float = Field(default=0.01, ge=0.0)
    """Decoupled weight decay of the parameters of two and more dimensions."""
    schedule: Schedule = "warm_restarts"
    """How the learning rate changes over the epochs."""
    warmup_steps: int = Field(default=0, ge=0)
    """Optimizer steps over which the learning rate rises from 0; 0 starts at the full rate."""
    epochs: int = Field(default=150, ge=1)
    """Most epochs to train."""
    patience: int | None = Field(default=20, ge=1)
    """Epochs without improvement after which training ends; none switches early stopping off."""
    clip_norm: float = Field(default=1.0, gt=0.0)
    """Largest norm of the gradient of all parameters."""
    metric: RankingMetric = "macro_f1"
    """Validation metric that chooses the best epoch; higher is better, nll counts negated."""
    deterministic: bool = False
    """Use on a GPU only what repeats to the last bit; slower. On a CPU every training repeats anyway."""
    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    """Seed of initialisation, batch order, dropout and augmentation."""


class TrainingConfig(Config):
    """All that one training needs beside its data."""

    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    augment: AugmentConfig = AugmentConfig()
    balance: BalanceConfig = BalanceConfig()
    trainer: TrainerConfig = TrainerConfig()

    def with_trainer(self, **changes: Any) -> TrainingConfig:
        """The same recipe with some of the trainer's settings changed."""
        return self.model_copy(update={"trainer": self.trainer.model_copy(update=changes)})


class _Loader(yaml.SafeLoader):
    """`yaml.SafeLoader` that reads `1e-4` as a number (YAML 1.1 wants `1.0e-4`) and each key once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Refuse a key that is set twice: YAML itself would let the last one win, unseen."""
        keys = [str(key.value) for key, _ in node.value]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"{', '.join(twice)} is set twice", node.start_mark)
        return super().construct_mapping(node, deep=deep)


class _Dumper(yaml.SafeDumper):
    """`yaml.SafeDumper` that puts quotes around a text that `_Loader` would read as a number."""


for _side in (_Loader, _Dumper):
    _side.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?\d[\d_]*(?:\.[\d_]*)?[eE][-+]?\d+$"),
        list("-+0123456789"),
    )

C = TypeVar("C", bound=BaseModel)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds one mapping, without ever running what it says.

    Raises:
        ConfigError: the file cannot be read, is no YAML, or holds no mapping.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror})", "Check the path and its permissions") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        first_line = " ".join(str(error).split())
        raise ConfigError(f"{path} is not valid YAML ({first_line})", "Mend the file at the place named") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds no settings", "Write it as lines of `key: value`")
    return content


def to_yaml(content: dict[str, Any]) -> str:
    """The YAML of plain content, which `read_yaml` reads back unchanged; the same text everywhere."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=110)


def parse(cls: type[C], content: dict[str, Any], where: str) -> C:
    """Make a config of plain YAML or JSON content.

    Args:
        cls: the config class.
        content: mappings, lists, numbers, strings, dates.
        where: what the content came from, for the message.

    Raises:
        ConfigError: a key is unknown or missing, or a value does not fit; names every such place.
    """
    try:
        # JSON mode is strict about types, yet turns lists into tuples and strings into paths.
        text = json.dumps(content, default=str)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: {error}", "Use plain keys and values, without references") from None
    try:
        return cls.model_validate_json(text)
    except ValidationError as error:
        problems = "; ".join(_problem(cls, item) for item in error.errors())
        raise ConfigError(f"{where}: {problems}", "Mend these settings") from None


def _problem(cls: type[BaseModel], item: Any) -> str:
    place = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        close = difflib.get_close_matches(str(item["loc"][-1]), _keys(cls), n=1)
        return f"unknown key {place!r}" + (f" (did you mean {close[0]!r}?)" if close else "")
    if item["type"] == "missing":
        return f"{place!r} is missing"
    message = str(item["msg"]).removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    return f"{place!r}: {message}" if place else message


def _keys(cls: type[BaseModel]) -> set[str]:
    """Every key that `cls` or a config inside it knows."""
    keys = set(cls.model_fields)
    for field in cls.model_fields.values():
        for inner in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                keys |= _keys(inner)
    return keys
