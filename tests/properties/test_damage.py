"""Whatever a file contains, the outcome is a sound dataset or one clear error: never a stack trace, never a NaN."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.config import DataConfig, LabelConfig, SyntheticConfig
from core.data import dataset as dataset_module
from core.data.dataset import CLIP, Dataset, load_dataset
from core.data.sources import synthetic
from core.errors import PresetSearchError

BARS = 1200
CLEAN = synthetic.make_bars(SyntheticConfig(bars=BARS), "5m")[0].frame

Damage = Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]


def _cell(value: Any) -> Damage:
    def damage(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        column = str(rng.choice(frame.columns[1:]))
        frame[column] = frame[column].astype(float)
        frame.loc[frame.index[rng.integers(len(frame))], column] = value
        return frame

    return damage


def _stretch(factor: float) -> Damage:
    def damage(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        start = int(rng.integers(len(frame)))
        prices = ["open", "high", "low", "close"]
        frame.loc[frame.index[start : start + 30], prices] *= factor
        return frame

    return damage


def _frozen(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    start = int(rng.integers(1, len(frame)))
    rows = frame.index[start : start + 200]
    frame.loc[rows, ["open", "high", "low", "close"]] = float(frame["close"].iloc[start - 1])
    frame.loc[rows, ["volume", "taker_buy_base"]] = 0.0
    return frame


DAMAGES: dict[str, Damage] = {
    "not a number": _cell(np.nan),
    "infinite": _cell(np.inf),
    "zero": _cell(0.0),
    "negative": _cell(-1.0),
    "huge": _cell(1e300),
    "tiny": _cell(1e-300),
    "price times 2": _stretch(2.0),
    "price times 1e12": _stretch(1e12),
    "price times 1e-12": _stretch(1e-12),
    "frozen": _frozen,
    "all frozen": lambda frame, rng: frame.assign(open=1.0, high=1.0, low=1.0, close=1.0, volume=0.0, taker_buy_base=0),
    "rows missing": lambda frame, rng: frame[rng.random(len(frame)) > 0.01],
    "half missing": lambda frame, rng: frame[rng.random(len(frame)) > 0.5],
    "row twice": lambda frame, rng: pd.concat([frame, frame.iloc[[5]]]).sort_values("timestamp"),
    "shuffled": lambda frame, rng: frame.sample(frac=1.0, random_state=int(rng.integers(100))),
    "empty": lambda frame, rng: frame.iloc[:0],
    "one row": lambda frame, rng: frame.iloc[:1],
    "few rows": lambda frame, rng: frame.iloc[: int(rng.integers(2, 300))],
    "a column less": lambda frame, rng: frame.drop(columns=str(rng.choice(frame.columns))),
    "a column of text": lambda frame, rng: frame.assign(**{str(rng.choice(frame.columns)): "text"}),
    "a column of booleans": lambda frame, rng: frame.assign(volume=True),
    "a column of nothing": lambda frame, rng: frame.assign(**{str(rng.choice(frame.columns)): None}),
    "a further column of text": lambda frame, rng: frame.assign(extra="text"),
    "no time zone": lambda frame, rng: frame.assign(timestamp=frame["timestamp"].dt.tz_localize(None)),
    "another time zone": lambda frame, rng: frame.assign(timestamp=frame["timestamp"].dt.tz_convert("Asia/Tokyo")),
    "off the grid": lambda frame, rng: frame.assign(timestamp=frame["timestamp"] + pd.Timedelta("7s")),
    "another interval": lambda frame, rng: frame.iloc[::3],
    "no timestamps": lambda frame, rng: frame.assign(timestamp=pd.NaT),
    "volume huge": lambda frame, rng: frame.assign(volume=frame["volume"] * 1e290),
    "high below low": lambda frame, rng: frame.assign(high=frame["low"], low=frame["high"]),
}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_module, "MIN_ROWS", 30)
    monkeypatch.setenv("PRESET_SEARCH_CACHE", "")


def _load(folder: Path, frame: pd.DataFrame, label: LabelConfig) -> None:
    path = folder / "test_BTCUSDT_5m.parquet"
    frame.to_parquet(path, index=False)
    try:
        dataset = load_dataset(DataConfig(files=(path,), window=10, horizon=2, labels=label))
    except PresetSearchError as error:
        refusal = error
    else:
        _assert_sound(dataset)
        return
    assert "\n" not in str(refusal)
    assert refusal.remedy


def _assert_sound(dataset: Dataset) -> None:
    for name in ("features", "returns", "thresholds", "return_scale"):
        assert np.isfinite(getattr(dataset, name)).all(), name
    assert np.abs(dataset.returns).max() <= CLIP
    for rows in (dataset.train, dataset.val, dataset.test):
        assert (dataset.labels[rows] >= 0).all()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    damages=st.lists(st.sampled_from(list(DAMAGES)), min_size=0, max_size=3),
    seed=st.integers(0, 10_000),
    kind=st.sampled_from(["quantile", "fixed", "triple_barrier"]),
    scaled=st.booleans(),
)
def test_any_damage_ends_in_a_sound_dataset_or_in_one_error(
    tmp_path_factory: pytest.TempPathFactory, damages: list[str], seed: int, kind: Any, scaled: bool
) -> None:
    rng = np.random.default_rng(seed)
    frame = CLEAN.copy()
    for name in damages:
        if "timestamp" in frame and len(frame) > 1 and set(CLEAN.columns) <= set(frame.columns):
            try:
                frame = DAMAGES[name](frame, rng)
            except (TypeError, ValueError, AttributeError, KeyError):
                continue  # this damage does not apply to the columns that are left
    _load(tmp_path_factory.mktemp("bars"), frame, LabelConfig(kind=kind, volatility_scaled=scaled))


@pytest.mark.parametrize("name", DAMAGES)
def test_each_damage_alone(tmp_path: Path, name: str) -> None:
    _load(tmp_path, DAMAGES[name](CLEAN.copy(), np.random.default_rng(0)), LabelConfig())


@pytest.mark.parametrize("row", [5, 120, 239, 240, 245, 700, 1190])
@pytest.mark.parametrize("value", [1.5e307, 1.7e308, 1e99])
@pytest.mark.parametrize("column", ["volume", "close"])
def test_a_number_near_the_largest_float(tmp_path: Path, row: int, value: float, column: str) -> None:
    frame = CLEAN.drop(index=range(400, 420)).copy()
    frame.loc[row, column] = value
    frame.loc[row, "high"] = max(frame.loc[row, "high"], frame.loc[row, "close"])
    _load(tmp_path, frame, LabelConfig())


@pytest.mark.parametrize("share", [0.5, 0.95, 0.999, 1.0])
def test_a_market_that_hardly_moves(tmp_path: Path, share: float) -> None:
    frozen = np.random.default_rng(0).random(BARS) < share
    frame = CLEAN.copy()
    prices = ["open", "high", "low", "close"]
    close = frame["close"].where(~frozen).ffill().fillna(100.0)
    for name in prices:
        frame[name] = close
    frame["volume"] = np.where(frozen, 0.0, frame["volume"])
    frame["taker_buy_base"] = np.where(frozen, 0.0, frame["taker_buy_base"])
    _load(tmp_path, frame, LabelConfig())


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"\0" * 100 + b"PAR1", bytes(range(256)) * 50])
def test_bytes_that_are_not_parquet(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "test_BTCUSDT_5m.parquet"
    path.write_bytes(content)
    with pytest.raises(PresetSearchError, match="cannot be read as Parquet"):
        load_dataset(DataConfig(files=(path,)))


@settings(max_examples=20, deadline=None)
@given(cut=st.floats(0.0, 0.999))
def test_a_truncated_file(tmp_path_factory: pytest.TempPathFactory, cut: float) -> None:
    path = tmp_path_factory.mktemp("bars") / "test_BTCUSDT_5m.parquet"
    CLEAN.to_parquet(path, index=False)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * cut)])
    with pytest.raises(PresetSearchError, match="cannot be read as Parquet"):
        load_dataset(DataConfig(files=(path,)))
