"""A source of data is read as the settings say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from core.config import DataConfig, SyntheticConfig
from core.data.bars import Bars, read_unchecked
from core.data.dataset import load_dataset
from core.data.features import Feature, registry
from core.data.sources.reader import bar_files, check_market, read_bars, read_market
from core.errors import ConfigError, DataError
from tests.core.data.test_continuity import session_starts
from tests.helpers.market import WINDOW, market_config, random_bars


def test_the_span_is_that_of_the_bars() -> None:
    dataset = load_dataset(market_config())
    assert dataset.span == ("2024-01-01T00:00:00+00:00", "2024-01-14T21:15:00+00:00")
    assert dataset.is_synthetic


def _store(folder: Path, *symbols: str) -> Path:
    for seed, symbol in enumerate(symbols):
        random_bars(4100 + 50 * seed, seed, symbol).frame.to_parquet(folder / f"binance_{symbol}_5m.parquet")
    return folder


def test_bars_come_from_files_or_the_store_alike(tmp_path: Path) -> None:
    store = _store(tmp_path, "BTCUSDT", "ETHUSDT")
    named = load_dataset(DataConfig(symbols=("BTCUSDT", "ETHUSDT"), store=store, window=WINDOW, days=14))
    files = tuple(store / f"binance_{symbol}_5m.parquet" for symbol in ("BTCUSDT", "ETHUSDT"))
    listed = load_dataset(DataConfig(files=files, window=WINDOW, days=14))
    assert named.fingerprint == listed.fingerprint
    assert named.symbol_names == ("BTCUSDT", "ETHUSDT")
    assert not named.is_synthetic
    assert len(named.timestamps) == 2 * 14 * 288


@pytest.mark.parametrize("labelled", [True, False])
def test_features_that_are_asked_for_are_read_and_no_others(tmp_path: Path, labelled: bool) -> None:
    frame = random_bars(900).frame.assign(f_1=1.0, f_2=np.nan)  # the second is damaged, were it needed
    frame.to_parquet(tmp_path / "binance_BTCUSDT_5m.parquet")
    config = DataConfig(files=(tmp_path / "binance_BTCUSDT_5m.parquet",), window=WINDOW, features=("f_*",))
    market = read_market(config, labelled, features=("return_1", "f_1"))
    assert market.feature_names == ("return_1", "f_1")
    with pytest.raises(DataError, match="f_2"):
        read_market(config, labelled)


def test_the_synthetic_market_can_be_cut_to_days() -> None:
    config = DataConfig(synthetic=SyntheticConfig(bars=6000), window=WINDOW, days=14)
    assert len(load_dataset(config).timestamps) == 14 * 288


def test_a_glob_means_the_files_that_match_it(tmp_path: Path) -> None:
    store = _store(tmp_path, "BTCUSDT", "ETHUSDT")
    config = DataConfig(files=(store / "*_5m.parquet", store / "binance_BTC*"))
    assert bar_files(config) == [store / f"binance_{symbol}_5m.parquet" for symbol in ("BTCUSDT", "ETHUSDT")]
    (tmp_path / "odd[1]").mkdir()
    odd = (tmp_path / "binance_ETHUSDT_5m.parquet").rename(tmp_path / "odd[1]" / "binance_ETHUSDT_5m.parquet")
    assert bar_files(DataConfig(files=(odd,))) == [odd]  # a name that exists is no glob
    with pytest.raises(ConfigError, match=r"No file matches .*nothing_\*"):
        bar_files(DataConfig(files=(store / "nothing_*",)))


def test_taker_flow_that_not_all_files_have_is_said_to_be_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = random_bars(6000).frame
    frame[:3000].to_parquet(tmp_path / "lob_binance_BTCUSDT_5m_20240301.parquet")
    frame[3000:].drop(columns="taker_buy_base").to_parquet(tmp_path / "lob_binance_BTCUSDT_5m_20240302.parquet")
    read_market(DataConfig(files=(tmp_path,)))
    assert " ".join(capsys.readouterr().err.split()) == "BTCUSDT: taker_buy_base left out: missing in 1 of 2 files."


def test_taker_flow_that_not_all_symbols_have_is_said_to_be_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = DataConfig(files=(_store(tmp_path, "BTCUSDT", "ETHUSDT"),))
    read_market(config)
    assert capsys.readouterr().err == ""
    path = tmp_path / "binance_ETHUSDT_5m.parquet"
    pd.read_parquet(path).drop(columns="taker_buy_base").to_parquet(path)
    read_market(config)
    assert capsys.readouterr().err == "taker_buy_base left out: missing in ETHUSDT.\n"


@pytest.mark.parametrize(
    ("settings", "note"),
    [
        ({"fill_untraded": 3}, "fill_untraded changes nothing: no gap of up to 3 bars is in the span."),
        ({"sessions": True}, "sessions changes nothing: no gap recurs as the closures of a market do."),
        ({"exchange": "kraken"}, "exchange kraken has no effect: the names of the files tell theirs (binance)."),
        ({"exchange": "binance"}, ""),
    ],
)
def test_a_setting_that_happens_to_change_nothing_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], settings: dict[str, Any], note: str
) -> None:
    _store(tmp_path, "BTCUSDT")
    read_market(DataConfig(files=(tmp_path,), **settings))
    assert " ".join(capsys.readouterr().err.split()) == note


def _stock(folder: Path) -> Path:
    """Write 60 days of a stock that trades from 9:30 to 16:00 in New York, with an outage in the last session."""
    opened = np.delete(session_starts(), np.r_[78 * 59 + 30 : 78 * 59 + 40])
    frame = random_bars(len(opened)).frame.assign(timestamp=pd.to_datetime(opened, unit="us", utc=True))
    path = folder / "nyse_SPY_5m.parquet"
    frame.to_parquet(path)
    return path


@pytest.mark.parametrize(
    "span",
    [{"days": 2.0}, {"days": 4.5}, {"days": 20.0}, {"until": "2024-02-07"}, {"until": "2024-03-01", "days": 9.0}],
)
def test_which_gaps_are_closures_does_not_depend_on_the_span(tmp_path: Path, span: dict[str, Any]) -> None:
    config = DataConfig(files=(_stock(tmp_path),), sessions=True, window=20)
    whole = read_market(config).symbols[0]
    assert whole.timestamps[whole.is_break].tolist() == [whole.timestamps[0], whole.timestamps[78 * 59 + 30]]
    part = read_market(config.model_copy(update=DataConfig(symbols=("A",), **span).model_dump(include=set(span))))
    rows = part.symbols[0]
    expected = whole.is_break[np.isin(whole.timestamps, rows.timestamps)]
    assert rows.is_break[1:].tolist() == expected[1:].tolist()
    assert rows.is_break[0]


def test_the_fingerprint_tells_bars_whose_closures_are_others(tmp_path: Path) -> None:
    config = DataConfig(files=(_stock(tmp_path),), sessions=True, days=2)
    fingerprint = read_market(config).fingerprint
    assert read_market(config.model_copy(update={"sessions": False})).fingerprint != fingerprint
    frame = pd.read_parquet(config.files[0])
    frame.iloc[10:].to_parquet(config.files[0])
    assert read_market(config).fingerprint == fingerprint
    frame.iloc[-200:].to_parquet(config.files[0])  # too few days to see that its nights recur
    assert read_market(config).fingerprint != fingerprint


def _write(folder: Path, symbol: str, seed: int) -> Path:
    """Write 1,200 bars with a gap and a column of their own."""
    path = folder / f"binance_{symbol}_5m.parquet"
    frame = random_bars(1200, seed, symbol).frame.drop(index=range(400, 420))
    frame.assign(funding=np.sin(np.arange(len(frame)))).to_parquet(path)
    return path


def _read(paths: list[Path], config: DataConfig) -> list[tuple[Bars, bool]]:
    return [read_unchecked(path, config.features) for path in paths]


@pytest.mark.parametrize("features", [(), ("fund*",)])
def test_a_checked_market_is_the_market_without_its_computed_features(
    tmp_path: Path, features: tuple[str, ...]
) -> None:
    paths = [_write(tmp_path, "BTCUSDT", 0), _write(tmp_path, "ETHUSDT", 1)]
    config = DataConfig(files=tuple(paths), features=features, days=3)
    whole, checked = read_market(config), check_market(config, _read(paths, config))
    count = len(whole.feature_names) - len(features)
    assert (checked.dropped, checked.feature_names) == (whole.feature_names[:count], whole.feature_names[count:])
    for name in ("named_count", "ignored", "span", "fingerprint", "is_synthetic"):
        assert getattr(checked, name) == getattr(whole, name)
    for part, full in zip(checked.symbols, whole.symbols, strict=True):
        for name in ("timestamps", "returns", "trade_returns", "log_prices", "scores", "window_ok"):
            np.testing.assert_array_equal(getattr(part, name), getattr(full, name))
        np.testing.assert_array_equal(part.features, full.features[:, count:])


def test_a_feature_that_is_not_finite_is_refused_in_whatever_piece_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _write(tmp_path, "BTCUSDT", 0)
    config = DataConfig(files=(path,))
    where = int(read_unchecked(path)[0].opened[911])
    odd = Feature("odd", "", "", 3, lambda bars: np.where(bars["timestamp"] == where, np.inf, 0.0), ("close",))
    monkeypatch.setattr(registry, "FEATURES", (*registry.FEATURES, odd))
    monkeypatch.setattr(registry, "_PIECE", 100)
    with pytest.raises(DataError) as whole:
        read_market(config)
    with pytest.raises(DataError, match="Feature odd of BTCUSDT is not finite at 2024-03-04T05:35:00") as checked:
        check_market(config, _read([path], config))
    assert str(checked.value) == str(whole.value)


def _klines(path: Path, frame: pd.DataFrame) -> Path:
    """Write bars as Binance archives them, in milliseconds and without a header."""
    opened = frame["timestamp"].astype("datetime64[ms, UTC]").astype("int64")
    columns = [opened, *(frame[name] for name in ("open", "high", "low", "close", "volume"))]
    rest = [opened + 299_999, *(frame["volume"] * factor for factor in (100.0, 2.0, 0.5, 50.0, 0.0))]
    pd.concat([*columns, *rest], axis=1).to_csv(path, header=False, index=False)
    return path


def test_files_of_other_programs_are_read_where_their_names_tell_what_they_hold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = random_bars(3000).frame
    first = _klines(tmp_path / "BTCUSDT-5m-2024-03-01.csv", frame[:1500])
    second = _klines(tmp_path / "BTCUSDT-5m-2024-03-02.csv", frame[1500:])
    (bars,) = read_bars(DataConfig(files=(second, first)))
    assert (bars.exchange, bars.symbol, bars.interval) == ("binance", "BTCUSDT", "5m")
    # The last bar may not have closed; that of the first file was followed by others.
    np.testing.assert_array_equal(bars.frame["close"], frame["close"][:-1])
    shown = " ".join(capsys.readouterr().err.split())
    assert "CSV with 1,500 5m bars of BTCUSDT from binance. Column open_time is timestamp, count is trades" in shown
    assert "close_time, ignore left out. Its columns have no names and were taken by their order for those" in shown
    assert "Times are milliseconds since 1970." in shown


def test_an_exchange_that_is_not_told_is_assumed_and_said_to_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "BTC_USDT-5m.feather"
    random_bars(100).frame.rename(columns={"timestamp": "date"}).to_feather(path)
    (bars,) = read_bars(DataConfig(files=(path,)))
    assert bars.exchange == "binance"
    assert "from binance (assumed: --exchange names another)" in " ".join(capsys.readouterr().err.split())
    (bars,) = read_bars(DataConfig(files=(path,), exchange="kraken"))
    assert bars.exchange == "kraken"
    assert "assumed" not in capsys.readouterr().err


def test_a_damaged_row_of_such_a_file_is_named(tmp_path: Path) -> None:
    frame = random_bars(100).frame
    frame.loc[7, "close"] = -1.0
    with pytest.raises(DataError, match=r"BTCUSDT-5m-2024-03-01\.csv: row 7 .* has a non-positive close"):
        read_bars(DataConfig(files=(_klines(tmp_path / "BTCUSDT-5m-2024-03-01.csv", frame),)))


def test_a_file_with_a_single_bar_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds 1 bars"):
        read_bars(DataConfig(files=(_klines(tmp_path / "BTCUSDT-5m-2024-03-01.csv", random_bars(1).frame),)))


def test_a_file_whose_name_does_not_tell_what_it_holds_is_refused_with_the_command_that_imports_it(
    tmp_path: Path,
) -> None:
    with pytest.raises(DataError, match="is a CSV file, not a Parquet file of bars") as caught:
        read_bars(DataConfig(files=(_klines(tmp_path / "prices.csv", random_bars(10).frame),)))
    assert "preset-search data import" in caught.value.remedy


def test_a_symbol_that_limits_the_span_is_named_unless_days_are_asked_for(tmp_path: Path) -> None:
    random_bars(9000, symbol="AAA").frame.to_parquet(tmp_path / "binance_AAA_5m.parquet")
    late = random_bars(9000, symbol="BBB").frame.iloc[4500:]
    late.to_parquet(tmp_path / "binance_BBB_5m.parquet")
    files = (tmp_path / "binance_AAA_5m.parquet", tmp_path / "binance_BBB_5m.parquet")
    assert load_dataset(DataConfig(files=files)).span_limit.startswith("BBB, whose bars are from 2024-03-16")
    assert load_dataset(DataConfig(files=files, days=10)).span_limit == ""
    assert load_dataset(DataConfig(files=files[:1])).span_limit == ""
