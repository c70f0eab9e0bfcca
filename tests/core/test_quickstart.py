from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from core import presets
from core.config import AugmentConfig, DataConfig, LossConfig, SyntheticConfig, TrainingConfig
from core.errors import ConfigError, DataError
from core.inference import TrainedModel
from core.quickstart import (
    OptimizedTraining,
    predict_bars,
    quick_start_training,
    setup_optimized_training,
    train,
)
from tests.helpers.market import random_bars

pytestmark = pytest.mark.costly

CPU = torch.device("cpu")


def test_the_four_configs_are_the_guides_recipe() -> None:
    model, trainer, data, balance = setup_optimized_training()
    expected = presets.load_preset("production_small").training_config(size=model.size, metric="macro_f1", seed=0)
    # Loss and augmentation, which are not among the four, are at their defaults.
    assert TrainingConfig(model=model, trainer=trainer, balance=balance) == expected
    assert data == DataConfig(symbols=("BTCUSDT", "ETHUSDT"), days=30)


def test_other_data_and_another_seed_can_be_asked_for() -> None:
    configs = setup_optimized_training(["SOLUSDT"], days=60, interval="15m", horizon=1, seed=5)
    assert configs.data == DataConfig(symbols=("SOLUSDT",), days=60, interval="15m", horizon=1)
    assert configs.trainer == setup_optimized_training().trainer.model_copy(update={"seed": 5})


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for seed, symbol in enumerate(("BTCUSDT", "ETHUSDT")):
        random_bars(4600, seed, symbol).frame.to_parquet(tmp_path / f"binance_{symbol}_5m.parquet")
    return tmp_path


def _one_epoch(store: Path, **data: Any) -> OptimizedTraining:
    """Return the four configs for one epoch on the bars of a store."""
    configs = setup_optimized_training(["BTCUSDT"], days=15)
    return configs._replace(
        trainer=configs.trainer.model_copy(update={"epochs": 1}),
        data=configs.data.model_copy(update={"store": store, "offline": True, **data}),
    )


def test_it_returns_a_model_that_predicts_bars_and_its_history(store: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    model, history = quick_start_training(
        ["BTCUSDT", "ETHUSDT"], days=15, store=store, offline=True, epochs=1, output=output
    )
    assert [result.epoch for result in history] == [1]
    # All that the probabilities depend on came with the model: scales, features, calibration.
    assert model.calibration is not None
    newest = DataConfig(symbols=("ETHUSDT", "BTCUSDT"), store=store, offline=True, days=3)
    table = predict_bars(model, newest, device="cpu")
    assert set(table["symbol"]) == {"BTCUSDT", "ETHUSDT"}
    assert table["timestamp"].iloc[-1] == pd.read_parquet(store / "binance_ETHUSDT_5m.parquet")["timestamp"].iloc[-2]
    assert table[["sell", "hold", "buy"]].sum(axis=1).to_numpy() == pytest.approx(1)
    assert set(table["call"]) <= {"SELL", "HOLD", "BUY"}
    saved = TrainedModel.load(output / "checkpoint.pt")
    pd.testing.assert_frame_equal(predict_bars(saved, newest, device="cpu"), table)
    assert saved.build(CPU).state_dict().keys() == model.build(CPU).state_dict().keys()


def test_the_four_configs_train_the_same_model_as_the_quick_start(store: Path) -> None:
    by_configs, history = train(*_one_epoch(store))
    by_name, _ = quick_start_training(["BTCUSDT"], days=15, store=store, offline=True, epochs=1)
    assert [result.epoch for result in history] == [1]
    assert all(torch.equal(by_configs.weights[name], value) for name, value in by_name.weights.items())
    assert (by_configs.config, by_configs.calibration) == (by_name.config, by_name.calibration)


def test_interval_horizon_and_seed_reach_the_training_and_the_predictions(tmp_path: Path) -> None:
    random_bars(4600, interval="15m").frame.to_parquet(tmp_path / "binance_BTCUSDT_15m.parquet")
    model, _ = quick_start_training(
        ["BTCUSDT"], days=45, interval="15m", horizon=1, seed=7, store=tmp_path, offline=True, epochs=1
    )
    assert (model.data.interval, model.data.horizon, model.config.trainer.seed) == ("15m", 1, 7)
    assert model.bar == 15 * 60 * 1_000_000
    # Neither has to be said again: the bars are read as the training read its own.
    table = predict_bars(model, DataConfig(symbols=("BTCUSDT",), store=tmp_path, offline=True))
    assert set(table["timestamp"].diff().dropna()) == {pd.Timedelta("15min")}
    files = DataConfig(files=(tmp_path / "binance_BTCUSDT_15m.parquet",), window=20, horizon=9)
    pd.testing.assert_frame_equal(predict_bars(model, files), table)


def test_loss_and_augmentation_can_be_given_beside_the_four(store: Path) -> None:
    loss, augment = LossConfig(kind="focal", focal_gamma=1.0), AugmentConfig(mixup_alpha=0.0)
    model, _ = train(*_one_epoch(store), loss=loss, augment=augment, device="cpu")
    assert (model.config.loss, model.config.augment) == (loss, augment)
    table = predict_bars(model, DataConfig(symbols=("BTCUSDT",), store=store, offline=True))
    assert table[["confidence", "forecast_return"]].isna().all(axis=None)


def test_bars_unlike_those_of_the_training_are_refused(store: Path) -> None:
    model, _ = train(*_one_epoch(store))
    with pytest.raises(DataError, match="not trained on SYNTHETIC"):
        predict_bars(model, DataConfig(synthetic=SyntheticConfig(bars=400)))


def test_without_a_folder_nothing_is_left_behind(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    quick_start_training(["BTCUSDT"], days=15, store=store, offline=True, epochs=1)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_taken_folder_is_refused_before_training(store: Path, tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(ConfigError, match="already holds"):
        quick_start_training(["BTCUSDT"], days=15, store=store, offline=True, output=tmp_path)


def test_a_store_without_the_bars_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no 5m bars of BTCUSDT"):
        quick_start_training(["BTCUSDT"], store=tmp_path, offline=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "'epochs'"),
        ({"days": -1}, "'days'"),
        ({"symbols": "BTCUSDT"}, "is the text 'BTCUSDT'"),
        ({"interval": "5x"}, "'interval'"),
        ({"horizon": 0}, "'horizon'"),
        ({"seed": -1}, "'seed'"),
    ],
)
def test_a_value_that_does_not_fit_is_reported(store: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        quick_start_training(**{"symbols": ["BTCUSDT"], "days": 15, "store": str(store), "offline": True, **changes})
