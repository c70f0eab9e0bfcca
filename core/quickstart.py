"""The functions that the guide starts with: recommended settings, a training with them, predictions of its model."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from core import presets
from core.config import (
    AugmentConfig,
    BalanceConfig,
    DataConfig,
    Device,
    LossConfig,
    ModelConfig,
    TrainerConfig,
    TrainingConfig,
    parse,
)
from core.data.dataset import load_dataset
from core.data.sources.fetch import fetch_missing
from core.data.sources.reader import read_market
from core.errors import ConfigError
from core.evaluation.history import EpochResult
from core.inference import TrainedModel
from core.models import memory
from core.training.device import resolve_device
from core.training.run import check_output, train_model

SYMBOLS = ("BTCUSDT", "ETHUSDT")
DAYS, INTERVAL, HORIZON = 30.0, "5m", 3


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


def setup_optimized_training(
    symbols: Sequence[str] = SYMBOLS,
    days: float = DAYS,
    *,
    interval: str = INTERVAL,
    horizon: int = HORIZON,
    seed: int = 0,
) -> OptimizedTraining:
    """Return the guide's recommended settings: preset `production_small`, on the last days of these symbols.

    Args:
        symbols: names of the symbols to train on, for example BTCUSDT.
        days: length of the span in days, up to the last bar that all symbols have.
        interval: length of a bar, such as 5m or 1h.
        horizon: number of bars that a label looks ahead.
        seed: seed of all random numbers of the training.

    Raises:
        ConfigError: a value is not valid.

    Example:
        `train(*setup_optimized_training(["BTCUSDT"], days=150, interval="15m"))`
    """
    if isinstance(symbols, str):
        raise ConfigError(f"symbols is the text {symbols!r}", f"Use a list: [{symbols!r}]")
    where = "setup_optimized_training"
    recipe = presets.load_preset("production_small").training_config(
        size=memory.default_size(resolve_device("auto")), metric="macro_f1", seed=0
    )
    trainer = parse(TrainerConfig, {**recipe.trainer.model_dump(), "seed": seed}, where)
    settings = {"symbols": list(symbols), "days": days, "interval": interval, "horizon": horizon}
    return OptimizedTraining(recipe.model, trainer, parse(DataConfig, settings, where), recipe.balance)


def train(
    model: ModelConfig,
    trainer: TrainerConfig,
    data: DataConfig,
    balance: BalanceConfig,
    *,
    loss: LossConfig | None = None,
    augment: AugmentConfig | None = None,
    output: Path | None = None,
    device: Device = "auto",
) -> tuple[TrainedModel, list[EpochResult]]:
    """Train a model with the four configs of `setup_optimized_training`, after fetching the bars that the store lacks.

    Args:
        model: size and dropout of the model.
        trainer: the optimisation, with its seed.
        data: the data to train on.
        balance: how unequal classes are compensated.
        loss: settings of the loss; None for the default, that of `production_small`.
        augment: settings of the augmentation; None for the default, that of `production_small`.
        output: folder for checkpoint, metrics and curves; they are not kept if it is None.
        device: device to train on.

    Returns:
        The model with the weights of its best epoch and all that it needs to predict bars (see `predict_bars`): scales
        of the features, calibration, data settings; and the results of all epochs.

    Raises:
        ConfigError: the folder holds another training, the settings contradict each other, or it is not clear what to
            fetch.
        DataError: the data are missing and cannot be fetched, or cannot be used.
        NonFiniteLossError: the training diverged.

    Example:
        `model, history = train(*setup_optimized_training())`
    """
    recipe = TrainingConfig(
        model=model, loss=loss or LossConfig(), augment=augment or AugmentConfig(), balance=balance, trainer=trainer
    )
    if output is not None:
        check_output(output, overwrite=False)
    fetch_missing(data)
    with tempfile.TemporaryDirectory() as scratch:
        result = train_model(recipe, data, load_dataset(data), output or Path(scratch), device=device)
    return result.trained, result.history


def quick_start_training(  # noqa: PLR0913 - what users of the guide change is named here, and not in configs
    symbols: Sequence[str] = SYMBOLS,
    days: float = DAYS,
    *,
    interval: str = INTERVAL,
    horizon: int = HORIZON,
    seed: int = 0,
    store: Path | str = Path("data"),
    offline: bool = False,
    epochs: int | None = None,
    output: Path | None = None,
) -> tuple[TrainedModel, list[EpochResult]]:
    """Train the recommended model on the last days of these symbols, after fetching the bars that the store lacks.

    Args:
        symbols: names of the symbols to train on, for example BTCUSDT.
        days: length of the span, in days.
        interval: length of a bar, such as 5m or 1h.
        horizon: number of bars that a label looks ahead.
        seed: seed of all random numbers of the training.
        store: folder of bar files.
        offline: whether to use only what the store has.
        epochs: maximum number of epochs, instead of the recipe's 150 (patience 20).
        output: folder for checkpoint, metrics and curves; they are not kept if it is None.

    Returns:
        The model with the weights of its best epoch, which predicts bars (see `predict_bars`; its `save` writes a
        checkpoint, its `build` returns the bare network); and the results of all epochs.

    Raises:
        ConfigError: the folder holds another training, a value is not valid, or it is not clear what to fetch.
        DataError: the data are missing and cannot be fetched, or cannot be used.
        NonFiniteLossError: the training diverged.

    Example:
        `model, history = quick_start_training(["BTCUSDT", "ETHUSDT"], interval="15m", horizon=1, seed=1)`
    """
    configs = setup_optimized_training(symbols, days, interval=interval, horizon=horizon, seed=seed)
    data = configs.data.model_copy(update={"store": Path(store), "offline": offline})
    trainer = configs.trainer
    if epochs is not None:
        trainer = parse(TrainerConfig, {**trainer.model_dump(), "epochs": epochs}, "quick_start_training")
    return train(configs.model, trainer, data, configs.balance, output=output)


def predict_bars(model: TrainedModel, bars: DataConfig, *, device: Device = "auto") -> pd.DataFrame:
    """Predict every bar at which a whole window ends, after fetching the bars that the store lacks up to now.

    The bars are read as the training read its own: interval, window, horizon, labels and features are the model's,
    whatever the settings say.

    Args:
        model: the trained model.
        bars: where the bars are: files, symbols of a store, a feature table or the synthetic market.
        device: device to predict on.

    Returns:
        One row per bar and symbol, see `TrainedModel.predict`.

    Raises:
        ConfigError: a setting does not fit, or it is not clear what to fetch.
        DataError: the bars are missing and cannot be fetched, or are not like those of the training.

    Example:
        `predict_bars(model, DataConfig(symbols=("BTCUSDT",), days=3))`
    """
    settings = bars.model_dump(mode="json", exclude_none=True, exclude_unset=True)
    config = parse(DataConfig, {**settings, **model.bar_settings}, "bars to predict")
    fetch_missing(config, up_to_now=True)
    return model.predict(read_market(config, labelled=False), resolve_device(device))
