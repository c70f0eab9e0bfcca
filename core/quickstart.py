"""The two functions that the guide starts with."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from core import presets
from core.config import BalanceConfig, DataConfig, ModelConfig, TrainerConfig, TrainingConfig, parse
from core.data.dataset import load_dataset
from core.data.sources.fetch import fetch_missing
from core.errors import ConfigError
from core.evaluation.history import EpochResult
from core.models import memory
from core.models.network import Network
from core.training.device import resolve_device
from core.training.run import check_output, train_model

SYMBOLS = ("BTCUSDT", "ETHUSDT")
DAYS = 30.0


class OptimizedTraining(NamedTuple):
    """Holds the four configs of the guide's recommended training.

    Losses and augmentation are not among them: their defaults are those of `production_small`.

    Attributes:
        model: size and dropout of the model.
        trainer: the optimisation.
        data: symbols and days of the store.
        balance: how unequal classes are compensated.
    """

    model: ModelConfig
    trainer: TrainerConfig
    data: DataConfig
    balance: BalanceConfig


def setup_optimized_training(symbols: Sequence[str] = SYMBOLS, days: float = DAYS) -> OptimizedTraining:
    """Return the guide's recommended settings: preset `production_small`, on the last days of these symbols.

    Args:
        symbols: names of the symbols to train on, for example BTCUSDT.
        days: length of the span in days, up to the last bar that all symbols have.

    Raises:
        ConfigError: a value is not valid.
    """
    if isinstance(symbols, str):
        raise ConfigError(f"symbols is the text {symbols!r}", f"Use a list: [{symbols!r}]")
    recipe = presets.load_preset("production_small").training_config(
        size=memory.default_size(resolve_device("auto")), metric="macro_f1", seed=0
    )
    data = parse(DataConfig, {"symbols": list(symbols), "days": days}, "setup_optimized_training")
    return OptimizedTraining(recipe.model, recipe.trainer, data, recipe.balance)


def quick_start_training(
    symbols: Sequence[str] = SYMBOLS,
    days: float = DAYS,
    *,
    store: Path | str = Path("data"),
    offline: bool = False,
    epochs: int | None = None,
    output: Path | None = None,
) -> tuple[Network, list[EpochResult]]:
    """Train the recommended model on the last days of these symbols, after fetching the bars that the store lacks.

    Args:
        symbols: names of the symbols to train on, for example BTCUSDT.
        days: length of the span, in days.
        store: folder of bar files.
        offline: whether to use only what the store has.
        epochs: maximum number of epochs, instead of the recipe's 150 (patience 20).
        output: folder for checkpoint, metrics and curves; they are not kept if it is None.

    Returns:
        the model with the weights of its best epoch, on the CPU and ready to predict; and the results of all epochs.

    Raises:
        ConfigError: the folder holds another training, or it is not clear what to fetch.
        DataError: the data are missing and cannot be fetched, or cannot be used.
    """
    model, trainer, data, balance = setup_optimized_training(symbols, days)
    data = data.model_copy(update={"store": Path(store), "offline": offline})
    if epochs is not None:
        trainer = parse(TrainerConfig, {**trainer.model_dump(), "epochs": epochs}, "quick_start_training")
    if output is not None:
        check_output(output, overwrite=False)
    fetch_missing(data)
    with tempfile.TemporaryDirectory() as scratch:
        result = train_model(
            TrainingConfig(model=model, trainer=trainer, balance=balance),
            data,
            load_dataset(data),
            output or Path(scratch),
        )
    return result.trained.build(torch.device("cpu")), result.history
