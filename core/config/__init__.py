"""Settings of data, training and the six hyperparameters; each is checked when it is created."""

from core.config.base import Config, Name, check_name, is_name, parse
from core.config.data import (
    DEFAULT_EXCHANGE,
    SOURCES,
    DataConfig,
    LabelConfig,
    SyntheticConfig,
    TableConfig,
    Variance,
    canonical_interval,
    canonical_symbol,
    merge_sources,
)
from core.config.effects import refuse_without_effect
from core.config.hyperparameters import HYPERPARAMETER_NAMES, Hyperparameters
from core.config.training import (
    AugmentConfig,
    BalanceConfig,
    ClassWeights,
    Device,
    LossConfig,
    LossKind,
    ModelConfig,
    ModelSize,
    RankingMetric,
    Schedule,
    TrainerConfig,
    TrainingConfig,
)

__all__ = [
    "DEFAULT_EXCHANGE",
    "HYPERPARAMETER_NAMES",
    "SOURCES",
    "AugmentConfig",
    "BalanceConfig",
    "ClassWeights",
    "Config",
    "DataConfig",
    "Device",
    "Hyperparameters",
    "LabelConfig",
    "LossConfig",
    "LossKind",
    "ModelConfig",
    "ModelSize",
    "Name",
    "RankingMetric",
    "Schedule",
    "SyntheticConfig",
    "TableConfig",
    "TrainerConfig",
    "TrainingConfig",
    "Variance",
    "canonical_interval",
    "canonical_symbol",
    "check_name",
    "is_name",
    "merge_sources",
    "parse",
    "refuse_without_effect",
]
