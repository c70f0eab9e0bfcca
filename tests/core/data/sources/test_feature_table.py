from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.config import DataConfig, parse
from core.data import dataset as dataset_module
from core.data.dataset import Dataset, load_dataset
from core.data.labels import BUY, HOLD, NO_LABEL, SELL
from core.errors import ConfigError, DataError, PresetSearchError

ROWS = 700


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_module, "MIN_ROWS", 20)
    monkeypatch.setenv("PRESET_SEARCH_CACHE", "")


def _table(seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    parts = []
    for symbol in ("BBB", "AAA"):
        returns = rng.normal(0, 0.01, ROWS)
        parts.append(
            pd.DataFrame(
                {
                    "when": pd.date_range("2024-01-01", periods=ROWS, freq="1h", tz="UTC"),
                    "ticker": symbol,
                    "flow_1": rng.normal(0, 1, ROWS),
                    "flow_2": returns * 0.1 + rng.normal(0, 0.01, ROWS),
                    "other": 1.0,
                    "y": np.where(returns > 0.005, "BUY", np.where(returns < -0.005, "SELL", "HOLD")),
                    "r": returns,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _load(folder: Path, frame: pd.DataFrame, **changes: Any) -> Dataset:
    path = folder / "features.parquet"
    frame.to_parquet(path)
    settings = {"files": [str(path)], "features": ["flow_*"], "label": "y", "returns": "r"}
    settings |= {"timestamp": "when", "symbol": "ticker", **changes.pop("table", {})}
    content = {"table": settings, "interval": "1h", "window": 8, "horizon": 2, **changes}
    return load_dataset(parse(DataConfig, content, "here"))


def test_features_labels_and_returns_are_taken_as_they_are(tmp_path: Path) -> None:
    frame = _table()
    dataset = _load(tmp_path, frame)
    assert dataset.symbol_names == ("AAA", "BBB")
    assert dataset.feature_names == ("flow_1", "flow_2")
    assert dataset.ignored == ("other",)
    table = frame[frame["ticker"] == "AAA"].reset_index(drop=True)
    rows = np.concatenate([dataset.train, dataset.val, dataset.test])
    rows = rows[dataset.symbols[rows] == 0]
    codes = {"SELL": SELL, "HOLD": HOLD, "BUY": BUY}
    assert dataset.labels[rows].tolist() == [codes[name] for name in table["y"].to_numpy()[rows]]
    scaled = table["r"].to_numpy()[rows] / dataset.return_scale[0]
    np.testing.assert_allclose(dataset.returns[rows], scaled, rtol=1e-6)


def test_labels_may_be_numbers_and_empty_ones_are_left_out(tmp_path: Path) -> None:
    frame = _table()
    frame["y"] = frame["y"].map({"SELL": 0.0, "HOLD": 1.0, "BUY": 2.0})
    frame.loc[[100, 101], "y"] = np.nan
    frame.loc[102, "r"] = np.nan
    dataset = _load(tmp_path, frame)
    # The table holds BBB first; the dataset is ordered by symbol.
    unlabelled = {ROWS + 100, ROWS + 101, ROWS + 102}
    assert not unlabelled & set(dataset.train.tolist())
    assert (dataset.labels[sorted(unlabelled)] == NO_LABEL).all()


def test_no_label_crosses_a_gap_whatever_the_table_says(tmp_path: Path) -> None:
    frame = _table().drop(index=range(200, 210)).reset_index(drop=True)
    dataset = _load(tmp_path, frame)
    for row in np.concatenate([dataset.train, dataset.val, dataset.test]):
        times = dataset.timestamps[row - dataset.window + 1 : row + dataset.horizon + 1]
        assert (np.diff(times) == dataset.bar).all()


def test_a_shorter_span_has_no_window_from_before_it(tmp_path: Path) -> None:
    dataset = _load(tmp_path, _table(), days=20)
    first_rows = [int(np.flatnonzero(dataset.symbols == symbol)[0]) for symbol in range(2)]
    for symbol, first in enumerate(first_rows):
        train = dataset.train[dataset.symbols[dataset.train] == symbol]
        assert train.min() == first + dataset.window - 1


def test_a_feature_that_knows_the_future_is_refused_unless_allowed_by_name(tmp_path: Path) -> None:
    frame = _table()
    frame["flow_2"] = frame["r"] + np.random.default_rng(1).normal(0, 0.01, len(frame))
    with pytest.raises(
        DataError, match=r"Feature flow_2 of AAA seems to look into the future: its value has rank correlation"
    ) as caught:
        _load(tmp_path, frame)
    assert caught.value.remedy == 'Drop it, or if it is legitimate add allow_lookahead: ["flow_2"]'
    assert "flow_2" in _load(tmp_path, frame, allow_lookahead=["flow_2"]).feature_names


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.drop(columns="y"), "no column 'y'"),
        (
            lambda frame: frame.drop(columns=["flow_1", "flow_2"]),
            r"No column of .*features\.parquet matches features: flow_\*",
        ),
        (lambda frame: frame.assign(y="UP"), "row 0 has the label 'UP'"),
        (lambda frame: frame.assign(r=np.inf), r"features\.parquet: row 700 has the r inf"),
        (lambda frame: frame.assign(flow_1=np.nan), r"features\.parquet: row 700 \(AAA, .*\) has no finite flow_1"),
        (lambda frame: frame.assign(flow_1="text"), "column flow_1 is"),
        (lambda frame: frame.assign(when=frame["when"].dt.tz_localize(None)), "not a UTC timestamp"),
        (lambda frame: pd.concat([frame, frame.iloc[[3]]]), "older than the row before"),
        (lambda frame: frame.iloc[::-1], "older than the row before"),
        (lambda frame: frame.iloc[:40], "usable"),
        (lambda frame: frame.iloc[:0], "has no rows"),
        (lambda frame: frame.assign(ticker=None), "row 0 has the symbol None"),
        (lambda frame: frame.assign(ticker=[["A"]] * len(frame)), "row 0 has the symbol"),
        (lambda frame: frame.assign(r=0.5), "forward return of AAA is the same in every train row"),
        (lambda frame: frame.assign(r=1e30), "row 700 has the r 1e"),
        (lambda frame: frame.assign(flow_1=1.7e308), "has an absurd flow_1"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path: Path, change: Any, message: str) -> None:
    with pytest.raises(PresetSearchError, match=message):
        _load(tmp_path, change(_table()))


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    table = {"files": ["gone.parquet"], "features": ["a"], "label": "y", "returns": "r"}
    content = {"table": table, "horizon": 3}
    with pytest.raises(DataError, match=r"gone\.parquet does not exist"):
        load_dataset(parse(DataConfig, content, "here"))


def test_the_features_of_a_table_are_named_only_in_its_own_settings() -> None:
    content = {
        "table": {"files": ["a"], "features": ["a"], "label": "y", "returns": "r"},
        "features": ["b"],
        "horizon": 3,
    }
    with pytest.raises(ConfigError, match=r"name the features of a table in table\.features"):
        parse(DataConfig, content, "here")


def test_labels_may_be_a_category_with_empty_ones(tmp_path: Path) -> None:
    frame = _table()
    frame.loc[100, "y"] = None
    dataset = _load(tmp_path, frame.assign(y=frame["y"].astype("category")))
    assert dataset.labels[ROWS + 100] == NO_LABEL


def test_the_horizon_of_the_labels_of_a_table_must_be_given() -> None:
    table = {"files": ["a"], "features": ["a"], "label": "y", "returns": "r"}
    with pytest.raises(ConfigError, match="give the horizon"):
        parse(DataConfig, {"table": table}, "here")


def test_a_column_cannot_have_two_roles() -> None:
    table = {"files": ["a"], "features": ["a"], "label": "y", "returns": "y"}
    with pytest.raises(ConfigError, match="four different columns"):
        parse(DataConfig, {"table": table, "horizon": 3}, "here")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    column=st.sampled_from(["when", "ticker", "flow_1", "other", "y", "r"]),
    value=st.sampled_from([None, np.nan, np.inf, -1.0, 0, 3, 1e-300, 1e300, "", "text", True, pd.Timestamp(0), [1]]),
    rows=st.sampled_from([slice(0, 1), slice(699, 701), slice(None), slice(0, 0), slice(100, 900, 3)]),
)
def test_any_damage_ends_in_a_sound_dataset_or_in_one_error(
    tmp_path_factory: pytest.TempPathFactory, column: str, value: Any, rows: slice
) -> None:
    frame = _table().astype({column: object})
    cells = frame[column].tolist()
    cells[rows] = [value] * len(cells[rows])
    frame[column] = pd.Series(cells, dtype=object)
    try:
        frame = frame.infer_objects()
        dataset = _load(tmp_path_factory.mktemp("table"), frame)
    except PresetSearchError as error:
        message = str(error)
    except (pa.ArrowException, OverflowError):
        return  # Parquet cannot hold such a column
    else:
        assert np.isfinite(dataset.features).all()
        assert np.isfinite(dataset.returns).all()
        return
    assert "\n" not in message


@pytest.mark.filterwarnings("error")
def test_many_columns_cause_no_warning(tmp_path: Path) -> None:
    frame = _table()
    noise = np.random.default_rng(0).normal(size=(len(frame), 150))
    columns = pd.DataFrame(noise, columns=[f"flow_{index}" for index in range(3, 153)])
    assert len(_load(tmp_path, pd.concat([frame, columns], axis=1)).feature_names) == 152
