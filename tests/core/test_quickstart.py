from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core import presets
from core.config import TrainingConfig
from core.errors import ConfigError, DataError
from core.models import checkpoint
from core.quickstart import quick_start_training, setup_optimized_training
from tests.helpers.market import random_bars

pytestmark = pytest.mark.costly


def test_the_four_configs_are_the_guides_recipe() -> None:
    model, trainer, data, balance = setup_optimized_training()
    expected = presets.load_preset("production_small").training_config(size=model.size, metric="macro_f1", seed=0)
    # Loss and augmentation, which are not among the four, are at their defaults.
    assert TrainingConfig(model=model, trainer=trainer, balance=balance) == expected
    assert data.symbols == ("BTCUSDT", "ETHUSDT")
    assert data.days == 30


def test_other_symbols_and_days_can_be_asked_for() -> None:
    data = setup_optimized_training(["SOLUSDT"], days=60).data
    assert (data.symbols, data.days) == (("SOLUSDT",), 60)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for seed, symbol in enumerate(("BTCUSDT", "ETHUSDT")):
        random_bars(4600, seed, symbol).frame.to_parquet(tmp_path / f"binance_{symbol}_5m.parquet")
    return tmp_path


def test_it_returns_a_model_that_predicts_and_its_history(store: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    model, history = quick_start_training(
        ["BTCUSDT", "ETHUSDT"], days=15, store=store, offline=True, epochs=1, output=output
    )
    assert [result.epoch for result in history] == [1]
    assert not model.training
    features = model.stem.in_channels
    assert model(torch.zeros(2, 60, features)).direction.shape == (2, 3)
    saved = checkpoint.load_checkpoint(output / "checkpoint.pt")["model"]
    assert all(np.array_equal(saved[name], value) for name, value in model.state_dict().items())


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
    [({"epochs": 0}, "'epochs'"), ({"days": -1}, "'days'"), ({"symbols": "BTCUSDT"}, "is the text 'BTCUSDT'")],
)
def test_a_value_that_does_not_fit_is_reported(store: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        quick_start_training(**{"symbols": ["BTCUSDT"], "days": 15, "store": str(store), "offline": True, **changes})
