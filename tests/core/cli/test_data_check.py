"""`preset-search data check` reports what files hold, and judges them as a campaign would."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.config import DataConfig
from core.data import bars
from core.data.dataset import load_dataset
from core.data.features import Feature, registry
from core.data.sources.reader import read_market
from tests.core.data.test_continuity import session_starts
from tests.helpers.market import random_bars, without_rows
from tests.helpers.training_commands import Command


def test_check_reports_files_splits_and_the_provable_auc(tmp_path: Path, command: Command) -> None:
    for seed, symbol in enumerate(("BTCUSDT", "ETHUSDT")):
        frame = random_bars(288 * 10, seed=seed).frame.assign(funding=0.0)
        frame.to_parquet(tmp_path / f"binance_{symbol}_5m.parquet")
    code, output, _ = command("data", "check", "binance_BTCUSDT_5m.parquet", "binance_ETHUSDT_5m.parquet")
    assert code == 0
    for part in ("2,880", "gaps", "duplicates", "frozen bars", "zero volume", "outliers", "train", "val", "test"):
        assert part in output
    for part in ("ignored columns: funding", "14 or more are advised", "prove a direction_auc of 0.", "25.0%"):
        assert part in output


def test_check_lists_damage_and_ends_with_2(tmp_path: Path, command: Command) -> None:
    frame = random_bars(600).frame
    frame.loc[3, "close"] = np.nan
    frame.to_parquet(tmp_path / "binance_BTCUSDT_5m.parquet")
    code, output, error = command("data", "check", "binance_BTCUSDT_5m.parquet")
    assert code == 2
    assert "row 3 (2024-03-01 00:15:00+00:00) has no finite close" in output
    assert error == "error: 1 of 1 files cannot be used. Correct the rows named above.\n"


def test_check_names_the_features_asked_for(tmp_path: Path, command: Command) -> None:
    frame = random_bars(288 * 15).frame.assign(funding=np.sin(np.arange(288 * 15)), other=0.0)
    frame.to_parquet(tmp_path / "binance_BTCUSDT_5m.parquet")
    code, output, _ = command("data", "check", "binance_BTCUSDT_5m.parquet", "--features", "fund*")
    assert code == 0
    assert "ignored columns: other" in output
    code, _, error = command("data", "check", "binance_BTCUSDT_5m.parquet", "--features", "none*")
    assert code == 2
    assert (
        "No column of the files matches features: none*. Name additional columns that the files have: funding, other."
        in error
    )


def test_check_reads_each_file_once_and_refuses_what_run_would_refuse(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    random_bars(288 * 15).frame.to_parquet(tmp_path / "binance_BTCUSDT_5m.parquet")
    reads: list[Path] = []
    read = bars.read_columns
    monkeypatch.setattr(bars, "read_columns", lambda path, columns: (reads.append(path), read(path, columns))[1])
    code, output, _ = command("data", "check", "binance_BTCUSDT_5m.parquet")
    assert (code, reads) == (0, [Path("binance_BTCUSDT_5m.parquet")])
    made = load_dataset(DataConfig(files=(Path("binance_BTCUSDT_5m.parquet"),)))
    assert f"{len(made.feature_names)} features, window 60, horizon 3" in output
    endless = Feature("endless", "", "", 0, lambda columns: columns["close"] * np.inf, ("close",))
    monkeypatch.setattr(registry, "FEATURES", (*registry.FEATURES, endless))
    code, _, error = command("data", "check", "binance_BTCUSDT_5m.parquet")
    assert code == 2
    assert error.startswith("error: Feature endless of BTCUSDT is not finite at ")


def test_check_says_that_a_span_without_a_class_proves_nothing(tmp_path: Path, command: Command) -> None:
    random_bars(288 * 15).frame.to_parquet(tmp_path / "binance_BTCUSDT_5m.parquet")
    labels = "labels: {kind: fixed, fixed: [-0.001, 0.9]}"
    (tmp_path / "c.yaml").write_text(f"data: {{files: [binance_BTCUSDT_5m.parquet], {labels}}}\n")
    code, output, error = command("data", "check", "--config", "c.yaml")
    assert code == 0, error
    assert "The test span cannot prove any direction_auc." in " ".join(output.split())
    assert "BUY never occurs in train and val and test: nothing can be proven about it" in " ".join(output.split())


def test_check_names_bad_ticks_and_counts_untraded_bars(tmp_path: Path, command: Command) -> None:
    frame = random_bars(6000).frame
    frame.loc[3000, ["open", "high", "low", "close"]] *= 20
    frame.drop(index=[1000, 1001]).to_parquet(tmp_path / "binance_BTCUSDT_5m.parquet")
    (tmp_path / "c.yaml").write_text("data: {files: [binance_BTCUSDT_5m.parquet], fill_untraded: 2}\n")
    code, output, error = command("data", "check", "--config", "c.yaml")
    assert code == 0, error
    shown = " ".join(output.split())
    assert "binance_BTCUSDT_5m.parquet has 1 bar(s) with a price of over twice, or under half, the closes" in shown
    assert f"the first is at {frame['timestamp'].iloc[3000]}" in shown
    assert "2 untraded bars were filled into gaps; no label begins or ends in one." in shown


def test_every_file_of_a_long_folder_is_shown(tmp_path: Path, command: Command) -> None:
    for seed in range(12):
        random_bars(288 * 3, seed=seed).frame.to_parquet(tmp_path / f"binance_COIN{seed}USDT_5m.parquet")
    _, output, _ = command("data", "check", ".")
    assert output.count("2024-03-01 00:00") == 12


def test_check_examines_no_row_after_the_end_asked_for(tmp_path: Path, command: Command) -> None:
    frame = random_bars(288 * 20).frame.assign(funding=np.sin(np.arange(288 * 20)))
    frame.loc[288 * 19 :, "funding"] = np.nan
    frame.to_parquet(tmp_path / "binance_BTCUSDT_5m.parquet")
    args = ("data", "check", "binance_BTCUSDT_5m.parquet", "--features", "funding")
    code, output, _ = command(*args)
    assert code == 2
    assert "funding ends there" in output
    assert command(*args, "--until", "2024-03-20")[0] == 0


@pytest.mark.parametrize("limit", [0, 3])
def test_check_judges_bars_with_gaps_as_a_campaign_that_fills_them(
    limit: int, tmp_path: Path, command: Command
) -> None:
    gaps = np.arange(0, 6000, 400)[1:]
    without_rows(random_bars(6000), gaps).frame.to_parquet(tmp_path / "binance_BTCUSDT_5m.parquet")
    code, output, error = command("data", "check", ".", *(["--fill-untraded", str(limit)] if limit else []))
    assert code == 0, error
    shown = " ".join(output.split())
    made = load_dataset(DataConfig(files=(tmp_path,), fill_untraded=limit))
    assert f"train │ {len(made.train):,} " in shown
    assert (f"{len(gaps)} untraded bars were filled into gaps" in shown) == bool(limit)


def test_check_judges_a_market_that_closes_as_a_campaign_with_sessions(tmp_path: Path, command: Command) -> None:
    opened = np.delete(session_starts(days=90), np.r_[78 * 50 + 30 : 78 * 50 + 50])
    frame = random_bars(len(opened)).frame.assign(timestamp=pd.to_datetime(opened, unit="us", utc=True))
    frame.to_parquet(tmp_path / "nyse_SPY_5m.parquet")
    code, _, error = command("data", "check", ".")
    assert code == 2
    assert "Only 0 usable train rows" in error
    code, output, error = command("data", "check", ".", "--sessions")
    assert code == 0, error
    shown = " ".join(output.split())
    made = load_dataset(DataConfig(files=(tmp_path,), sessions=True))
    assert f"train │ {len(made.train):,} " in shown
    assert "89 of the 90 gaps of SPY are closures of the market." in shown
    assert read_market(DataConfig(files=(tmp_path,), sessions=True)).symbols[0].is_break.sum() == 2


@pytest.mark.parametrize("bars", [600, 1700])
def test_check_names_the_minimum_of_a_training(bars: int, tmp_path: Path, command: Command) -> None:
    random_bars(bars).frame.to_parquet(tmp_path / "binance_BTCUSDT_5m.parquet")
    code, output, error = command("data", "check", ".")
    assert code == 2
    assert "Dataset: " in output  # what there is is shown first
    assert "at least 500 are needed" in error


def test_check_refuses_a_symbol_that_would_not_be_measured(tmp_path: Path, command: Command) -> None:
    random_bars(6000).frame.to_parquet(tmp_path / "binance_BTCUSDT_5m.parquet")
    gapped = without_rows(random_bars(6000, seed=1), np.arange(4400, 4700))
    gapped.frame.to_parquet(tmp_path / "binance_ETHUSDT_5m.parquet")
    code, output, error = command("data", "check", ".")
    assert code == 2
    assert "Dataset: " in output
    assert "usable val rows in ETHUSDT, at least 250 are needed. Leave ETHUSDT out" in error
