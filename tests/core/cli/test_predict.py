"""Bars become the predictions of a checkpoint."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.cli import predict
from core.data.newest_bars import NewestBar
from core.data.sources import fetch
from core.data.sources.exchange import ExchangeClient
from core.inference import TrainedModel
from tests.helpers.exchange_server import STEP, ExchangeServer, exchange_server, kline
from tests.helpers.fetching import connect
from tests.helpers.market import random_bars
from tests.helpers.training_commands import Run

pytestmark = pytest.mark.costly


def test_bars_become_calibrated_probabilities(run: Run, trained: Path) -> None:
    assert run("predict out --synthetic --output calls.csv") == 0
    assert "SYNTHETIC DATA" in run.err
    assert "calibrated on val" in run.out
    assert "lie in the span of the training" in run.out
    table = pd.read_csv("calls.csv")
    assert list(table.columns) == [
        "timestamp", "symbol", "sell", "hold", "buy", "call", "confidence", "forecast_return", "split"
    ]  # fmt: skip
    assert run("predict out/checkpoint.pt --synthetic") == 0
    assert len(pd.read_parquet("predictions.parquet")) == len(table)


def test_new_rows_of_a_feature_table_need_no_labels(run: Run) -> None:
    rng = np.random.default_rng(0)
    rows = 4000
    returns = 0.01 * rng.standard_normal(rows)
    frame = pd.DataFrame(
        {
            "timestamp": pd.date_range("2024-01-01", periods=rows, freq="1h", tz="UTC"),
            "symbol": "[/X]",
            "f_1": rng.standard_normal(rows),
            "f_2": rng.standard_normal(rows),
            "y": np.digitize(returns, [-0.005, 0.005]),
            "r": returns,
        }
    )
    frame.to_parquet("old.parquet")
    frame.drop(columns=["y", "r"]).tail(200).assign(f_0=1.0).to_parquet("new.parquet")
    frame.drop(columns=["f_2"]).to_parquet("less.parquet")
    table = "{{files: [{}.parquet], features: ['f_*'], label: y, returns: r}}"
    text = "data:\n  {{interval: 1h, horizon: 3, window: 8, table: " + table + "}}\n"
    for name in ("old", "new", "less"):
        Path(f"{name}.yaml").write_text(text.format(name))
    assert run("--preset quick_experiment --config old.yaml --epochs 1 --output-dir out") == 0
    assert run("predict out --config new.yaml") == 0
    assert len(pd.read_parquet("predictions.parquet")) == 200 - 7
    assert run("predict out --config less.yaml --overwrite") == 2
    assert "less.parquet lacks the feature(s) f_2" in run.err
    assert run("--preset quick_experiment --config new.yaml --epochs 1 --output-dir more") == 2
    assert "has no column 'y'" in run.err


def test_predictions_are_read_as_the_training_read_its_bars(run: Run) -> None:
    random_bars(4100, interval="15m", symbol="AAA").frame.to_parquet("binance_AAA_15m.parquet")
    line = "--preset quick_experiment --data binance_AAA_15m.parquet --window 8 --horizon 2 --epochs 1 --output-dir out"
    assert run(line) == 0
    # Neither interval nor window nor horizon are said again.
    assert run("predict out --symbols AAA --store . --offline") == 0
    assert len(pd.read_parquet("predictions.parquet")) > 3000


def _write(symbol: str, *, seed: int = 0, without: str = "", **more: float) -> None:
    """Write 4,100 bars of a symbol without a column, or with columns of noise, each with this in its newest bar."""
    frame = random_bars(4100, interval="15m", symbol=symbol, seed=seed).frame
    for name, newest in more.items():
        frame[name] = np.random.default_rng(seed).standard_normal(len(frame))
        frame.loc[frame.index[-2], name] = newest
    frame.drop(columns=without or []).to_parquet(f"binance_{symbol}_15m.parquet")


_TRAINING = (
    "--preset quick_experiment --data binance_AAA_15m.parquet binance_BBB_15m.parquet --window 8 --horizon 2 "
    "--epochs 1 --output-dir out"
)


def test_a_symbol_is_predicted_alone_though_it_has_more_columns_than_all_symbols_had(run: Run) -> None:
    _write("AAA")
    _write("BBB", seed=1, without="taker_buy_base")
    assert run(_TRAINING) == 0
    assert not any("taker" in name for name in TrainedModel.load(Path("out/checkpoint.pt")).features)
    assert run("predict out --data binance_AAA_15m.parquet binance_BBB_15m.parquet --output both.parquet") == 0
    assert run("predict out --data binance_AAA_15m.parquet --output alone.parquet") == 0
    both, alone = pd.read_parquet("both.parquet"), pd.read_parquet("alone.parquet")
    expected = both[both["symbol"] == "AAA"].reset_index(drop=True)
    _assert_same_but_for_a_few_calls(alone, expected)


def _assert_same_but_for_a_few_calls(alone: pd.DataFrame, expected: pd.DataFrame) -> None:
    """The decision rule follows what is predicted for the symbols that are given, here one instead of two."""
    assert (alone["call"] == expected["call"]).mean() > 0.98
    columns = alone.columns.drop("call")
    pd.testing.assert_frame_equal(alone[columns], expected[columns], check_exact=False, atol=1e-6)


def test_a_feature_that_the_bars_have_no_columns_for_is_named(run: Run) -> None:
    _write("AAA")
    _write("BBB", seed=1)
    assert run(_TRAINING) == 0
    _write("AAA", without="taker_buy_base")
    assert run("predict out --data binance_AAA_15m.parquet") == 2
    said = " ".join(run.err.split())
    assert "The feature(s) flow_agreement_12, flow_impact_48, taker_imbalance_1, " in said
    assert "not every symbol has the column(s) taker_buy_base" in said


def test_of_named_columns_only_those_of_the_training_are_read(run: Run) -> None:
    for seed, symbol in enumerate(("AAA", "BBB")):
        _write(symbol, seed=seed, f_1=0.0)
    Path("data.yaml").write_text("data:\n  interval: 15m\n  features: ['f_*']\n")
    assert run(f"{_TRAINING} --config data.yaml") == 0
    assert run("predict out --data binance_AAA_15m.parquet") == 0
    _write("AAA", f_1=0.0, f_2=np.nan)  # damaged, were it needed
    assert run("predict out --data binance_AAA_15m.parquet binance_BBB_15m.parquet --output more.parquet") == 0
    table = pd.read_parquet("more.parquet")
    expected = table[table["symbol"] == "AAA"].reset_index(drop=True)
    _assert_same_but_for_a_few_calls(pd.read_parquet("predictions.parquet"), expected)
    _write("AAA", f_2=0.0)
    assert run("predict out --data binance_AAA_15m.parquet --overwrite") == 2
    assert "The feature(s) f_1 cannot be computed" in " ".join(run.err.split())


def test_a_newest_bar_without_a_call_is_named_with_the_reason_and_exit_code_3(run: Run) -> None:
    frame = random_bars(4100, interval="15m", symbol="AAA").frame
    frame.to_parquet("binance_AAA_15m.parquet")
    line = "--preset quick_experiment --data binance_AAA_15m.parquet --window 8 --horizon 2 --epochs 1 --output-dir out"
    assert run(line) == 0
    assert run("predict out --data binance_AAA_15m.parquet") == 0
    assert "No call" not in run.out
    newest_call = pd.read_parquet("predictions.parquet")["timestamp"].iloc[-1]

    frame.drop(index=frame.index[-106:-99]).to_parquet("binance_AAA_15m.parquet")
    assert run("predict out --data binance_AAA_15m.parquet --overwrite") == 3
    calls = pd.read_parquet("predictions.parquet")["timestamp"]
    assert calls.iloc[-1] == newest_call - 105 * pd.Timedelta("15min")  # the last bar before the missing ones
    (row,) = (line.split("│") for line in run.out.splitlines() if line.startswith("│ AAA"))
    assert [cell.strip() for cell in row[2:4]] == [
        f"{time:%Y-%m-%d %H:%M:%S}" for time in (newest_call, calls.iloc[-1])
    ]
    assert "No call: The newest 98 bars of AAA cannot be predicted: a bar is missing 98 bars before the end" in run.out

    frame.drop(index=frame.index[-5]).to_parquet("binance_AAA_15m.parquet")  # within the window of the newest bar
    assert run("predict out --data binance_AAA_15m.parquet --overwrite") == 3
    assert "No call: The newest 3 bars of AAA cannot be predicted: a bar is missing 3 bars before the end" in run.out
    frame.drop(index=frame.index[-100]).to_parquet("binance_AAA_15m.parquet")  # a short gap before it
    assert run("predict out --data binance_AAA_15m.parquet --overwrite") == 0


def test_a_symbol_with_too_few_bars_for_a_call_is_named(run: Run) -> None:
    for symbol, rows in (("AAA", 4100), ("BBB", 4100)):
        random_bars(rows, interval="15m", symbol=symbol).frame.to_parquet(f"binance_{symbol}_15m.parquet")
    files = "binance_AAA_15m.parquet binance_BBB_15m.parquet"
    assert run(f"--preset quick_experiment --data {files} --window 8 --horizon 2 --epochs 1 --output-dir out") == 0
    frame = pd.read_parquet("binance_BBB_15m.parquet")
    frame.drop(index=frame.index[np.flatnonzero(np.arange(4090) % 100 > 92)]).to_parquet("binance_BBB_15m.parquet")
    assert run(f"predict out --data {files}") == 3
    assert "none" in next(line for line in run.out.splitlines() if line.startswith("│ BBB"))
    assert "bars of BBB cannot be predicted" in run.out


def test_each_symbol_has_its_own_newest_bar_and_a_bar_that_is_left_out_is_named(run: Run) -> None:
    frames = {symbol: random_bars(4100, interval="15m", symbol=symbol).frame for symbol in ("AAA", "BBB")}
    for symbol, frame in frames.items():
        frame.to_parquet(f"binance_{symbol}_15m.parquet")
    files = "binance_AAA_15m.parquet binance_BBB_15m.parquet"
    assert run(f"--preset quick_experiment --data {files} --window 8 --horizon 2 --epochs 1 --output-dir out") == 0
    predict_files = f"predict out --data {files} --overwrite"

    # One symbol has an outage shortly before its end, after the other one ends.
    times = frames["AAA"]["timestamp"]
    frames["BBB"].iloc[:3900].to_parquet("binance_BBB_15m.parquet")
    frames["AAA"].drop(index=range(3950, 4090)).to_parquet("binance_AAA_15m.parquet")
    assert run(predict_files) == 3
    assert f"newest bar of AAA opened {times[4098]:%Y-%m-%d %H:%M:%S}" in run.out
    assert f"newest bar of BBB opened {times[3898]:%Y-%m-%d %H:%M:%S}" in run.out
    assert "No call: The newest 9 bars of AAA cannot be predicted" in run.out
    assert "bars of BBB cannot be predicted" not in run.out
    last = (
        f"the last bar of BBB in its file opened {times[3899]:%Y-%m-%d %H:%M:%S}; it may be incomplete and was left out"
    )
    assert last in " ".join(run.out.split())

    # The only bar after a long hole is left out: the newest call is from before the hole.
    frames["AAA"].drop(index=range(3700, 4099)).to_parquet("binance_AAA_15m.parquet")
    assert run(predict_files) == 3
    assert "No call: 399 bars are missing between the newest complete bar of AAA and the end" in run.out

    # No bar of any file has a call.
    for symbol, frame in frames.items():
        frame.iloc[-40:].to_parquet(f"binance_{symbol}_15m.parquet")
    assert run(predict_files) == 3
    for symbol in frames:
        assert f"No call: The newest 39 bars of {symbol} cannot be predicted" in run.out
    assert len(pd.read_parquet("predictions.parquet")) == 0


def test_an_old_bar_is_not_shown_as_the_newest_one_where_gaps_are_filled(run: Run) -> None:
    frame = random_bars(4100, interval="15m", symbol="AAA").frame
    frame.to_parquet("binance_AAA_15m.parquet")
    line = "--preset quick_experiment --data binance_AAA_15m.parquet --window 8 --horizon 2 --epochs 1 --output-dir out"
    assert run(f"{line} --fill-untraded 1000") == 0
    for missing in (899, 1):
        frame.drop(index=range(4099 - missing, 4099)).to_parquet("binance_AAA_15m.parquet")
        assert run("predict out --data binance_AAA_15m.parquet --overwrite") == 3
        newest, call = frame["timestamp"][4099], frame["timestamp"][4098 - missing]
        assert f"newest bar of AAA opened {newest:%Y-%m-%d %H:%M:%S}" in run.out
        (row,) = (line.split("│") for line in run.out.splitlines() if line.startswith("│ AAA"))
        assert [cell.strip() for cell in row[2:4]] == [f"{time:%Y-%m-%d %H:%M:%S}" for time in (newest, call)]
        assert f"No call: {missing} bar" in run.out


def test_a_model_that_was_not_measured_yet_is_not_said_to_have_seen_all_rows(run: Run, trained: Path) -> None:
    model = TrainedModel.load(trained)
    interrupted = "the training was interrupted before it was measured on val"
    for state, reason in (("trained", interrupted), ("final", "nothing was held out")):
        replace(model, calibration=None, about={**model.about, "state": state}).save(trained)
        assert run("predict out --synthetic --overwrite") == 0
        assert f"not calibrated: {reason}" in " ".join(run.out.split())


def test_bars_that_were_left_out_since_val_are_asked_for(run: Run, trained: Path) -> None:
    """The decision rule follows the bars since val; without them, calls are not those of a confirmation."""
    model = TrainedModel.load(trained)
    assert model.rule is not None
    assert model.rule.since is not None
    assert run("predict out --synthetic --overwrite") == 0
    assert "were not given" not in run.out
    week = 7 * 86_400_000_000
    replace(model, rule=replace(model.rule, since=model.rule.since - 100 * week)).save(trained)
    assert run("predict out --synthetic --days 3 --overwrite") == 0
    assert re.search(
        r"These means are as they were at 20\d\d-\d\d-\d\d: .* \(--days 7\d\d\)", " ".join(run.out.split())
    )


FILE = "binance_BTCUSDT_5m.parquet"
BARS = 4100


class Clock:
    """What time it is here and at an exchange, which has every bar up to the last one that it recorded."""

    def __init__(self, exchange: ExchangeServer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.exchange = exchange
        self.start = int(pd.Timestamp("2024-03-01", tz="UTC").timestamp() * 1000)
        monkeypatch.setattr(predict, "_now", lambda: exchange.now * 1000)
        monkeypatch.setattr(fetch, "ExchangeClient", lambda name: connect(exchange, [], name))

    def set(self, bar: float, recorded: int) -> None:
        """Let a number of bars have passed, of which the exchange has recorded so many."""
        opened = [self.start + index * STEP for index in range(BARS - 1, recorded)]
        self.exchange.now = self.start + round(bar * STEP)
        self.exchange.klines = {instant: kline(instant) for instant in opened}
        self.exchange.page_size = 1000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    with exchange_server() as exchange:
        yield Clock(exchange, monkeypatch)


def test_bars_are_fetched_up_to_now_and_old_ones_end_with_exit_code_3(
    run: Run, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = random_bars(BARS).frame
    frame.to_parquet(FILE)
    line = f"--preset quick_experiment --data {FILE} --window 8 --horizon 2 --epochs 1 --output-dir out"
    assert run(line) == 0
    store = "predict out --symbols BTCUSDT --store . --overwrite"

    clock.set(BARS + 50.4, BARS + 50)
    assert run(f"{store} --offline --days 3") == 0  # nothing is fetched, nothing is promised
    assert "newest bar of BTCUSDT opened 2024-03-15 05:30:00, 4 hours ago" in run.out
    assert run(f"{store} --offline --days 3 --max-age 50") == 3
    assert "Old bars: 51 bars have closed since the newest one of BTCUSDT, more than 50" in run.out
    assert run(f"{store} --offline --days 3 --max-age 51") == 0
    assert run(f"predict out --data {FILE} --overwrite") == 0
    assert "newest bar of BTCUSDT opened 2024-03-15 05:30:00, 4 hours ago" in run.out
    assert run(f"predict out --data {FILE} --overwrite --max-age 3") == 3
    assert run(f"{store} --days 3 --until 2024-03-15") == 0
    assert "Old bars" not in run.out
    assert clock.exchange.seen == []

    assert run(f"{store} --days 3") == 0, run.out
    newest = pd.Timestamp("2024-03-01", tz="UTC") + (BARS + 49) * pd.Timedelta("5min")
    assert pd.read_parquet("predictions.parquet")["timestamp"].iloc[-1] == newest
    assert f"newest bar of BTCUSDT opened {newest:%Y-%m-%d %H:%M:%S}, 7 minutes ago" in run.out
    assert "Old bars" not in run.out

    clock.set(BARS + 53.9, BARS + 50)
    assert run(f"{store} --days 3") == 0
    clock.set(BARS + 54, BARS + 50)
    assert run(f"{store} --days 3") == 3
    assert "Old bars: 4 bars have closed since the newest one of BTCUSDT, more than 3: its newest call is" in run.out
    assert len(pd.read_parquet("predictions.parquet")) > 0
    clock.set(BARS + 54, BARS + 54)
    assert run(store) == 0  # without days, the file is continued from its end
    assert len(pd.read_parquet(FILE)) == BARS + 54

    def connect_to_nothing(name: str) -> ExchangeClient:
        client = ExchangeClient(name, sleep=lambda _: None)
        client.api.urls["api"]["public"] = "http://127.0.0.1:9/api/v3"
        return client

    monkeypatch.setattr(fetch, "ExchangeClient", connect_to_nothing)
    clock.set(BARS + 60, BARS + 60)
    assert run(f"{store} --days 3") == 2
    (error,) = (line for line in run.err.splitlines() if "error:" in line)
    assert "binance cannot be reached" in error
    assert "--offline" in error


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 seconds ago"),
        (1, "1 second ago"),
        (119, "119 seconds ago"),
        (120, "2 minutes ago"),
        (7199, "119 minutes ago"),
        (7200, "2 hours ago"),
        (172_799, "47 hours ago"),
        (86_400 * 3650, "3,650 days ago"),
        (-1, "which is later than the clock of this machine says that it is"),
    ],
)
def test_the_age_of_the_newest_bar_is_said(seconds: int, text: str) -> None:
    opened = 1_700_000_000_000_000
    bar = NewestBar(symbol="X", opened=opened, unpredicted=0, since_gap=9, has_gap=False)
    described = predict._describe_newest_bar(bar, opened + seconds * 1_000_000)
    assert described == f"newest bar of X opened 2023-11-14 22:13:20, {text}"
