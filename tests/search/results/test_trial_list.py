from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.errors import ConfigError
from search.results import tables
from search.results.folder import CampaignFolder
from search.results.trial_list import Selection, read_trial, read_trial_table, select_trials, summarize_trades
from search.study.trial_record import FAILED, STOPPED
from tests.helpers.trial_records import trial_record

COMMITTED = Path(__file__).parents[3] / "results"
NAME = "btc-eth-15m-8m"
TRIALS = tables.make_trials_table(
    [
        trial_record(0, [0.4, 0.5]),
        trial_record(1, [0.3], STOPPED),
        replace(trial_record(2, [0.9]), outcome=FAILED),
        trial_record(3, [0.5]),
        trial_record(4, [0.2, 0.2], STOPPED),
    ]
)


def _numbers(**selection: object) -> list[int]:
    return list(select_trials(TRIALS, Selection(**selection))["number"])  # type: ignore[arg-type]


def test_the_best_come_first_the_earlier_of_equal_ones_before_and_those_without_a_value_last() -> None:
    assert _numbers() == [0, 3, 1, 4, 2]
    assert _numbers(ascending=True) == [4, 1, 0, 3, 2]
    assert _numbers(sort="epochs", ascending=True) == [1, 2, 3, 0, 4]


def test_limits_select() -> None:
    assert _numbers(top=2) == [0, 3]
    assert _numbers(minimum=0.3) == [0, 3, 1]
    assert _numbers(status="stopped") == [1, 4]
    assert _numbers(stopped_at=2) == [4]
    assert _numbers(stopped_at=7) == []


def test_an_unknown_column_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no column 'gain'.*Sort by one of: number, learning_rate"):
        select_trials(TRIALS, Selection(sort="gain"))


def test_trials_are_read_from_the_journal_alone(tmp_path: Path) -> None:
    shutil.copytree(COMMITTED / NAME, tmp_path / NAME)
    folder = CampaignFolder(tmp_path / NAME)
    recorded = folder.read_trials()
    folder.trials_table.unlink()
    pd.testing.assert_frame_equal(read_trial_table(folder), recorded)


def test_all_that_is_known_of_a_trial_is_shown() -> None:
    folder = CampaignFolder(COMMITTED / NAME)
    view = read_trial(folder, 29)
    assert view.record.params["batch_size"] == 256
    assert list(view.curve["epoch"]) == list(range(1, 13))
    assert view.curve.set_index("epoch")["action"].dropna().to_dict() == {2: "continue", 6: "continue"}
    assert [(trades.split, trades.seed) for trades in view.trades][-2:] == [("fold 5", 3), ("val", 0)]
    own = folder.read_returns().query("number == 29 and split == 'val'")["net_return"]
    assert view.trades[-1].net_return == pytest.approx(own.sum())
    assert view.trades[-1].exits == len(own)
    assert view.cells is not None
    assert len(view.cells) == 15


def test_of_a_stopped_trial_there_are_no_returns_and_no_cells() -> None:
    view = read_trial(CampaignFolder(COMMITTED / NAME), 3)
    assert view.record.outcome == STOPPED
    assert view.trades == ()
    assert view.cells is not None
    assert view.cells.empty


def test_an_unknown_trial_is_refused_with_the_numbers_that_there_are() -> None:
    with pytest.raises(ConfigError, match=r"has no trial 99.*0 to 31"):
        read_trial(CampaignFolder(COMMITTED / NAME), 99)


def test_trades_are_summed_and_not_compounded() -> None:
    instants = pd.to_datetime(
        ["2024-01-01 10:00", "2024-01-01 20:00", "2024-01-03 10:00", "2024-01-03 11:00"], utc=True
    )
    returns = pd.DataFrame({"timestamp": instants, "net_return": [0.02, -0.01, -0.03, 0.01]})
    trades = summarize_trades("val", 0, returns)
    assert trades.exits == 4
    assert trades.winning == 0.5
    assert trades.net_return == pytest.approx(-0.01)
    assert trades.drawdown == pytest.approx(0.04)  # from 0.02 to -0.02
    daily = np.array([0.01, 0.0, -0.02])  # the day between counts
    assert trades.sharpe == pytest.approx(daily.mean() / daily.std(ddof=1) * np.sqrt(365))


def test_trades_of_one_day_have_no_sharpe_ratio() -> None:
    returns = pd.DataFrame({"timestamp": pd.to_datetime(["2024-01-01"], utc=True), "net_return": [-0.5]})
    trades = summarize_trades("val", 0, returns)
    assert np.isnan(trades.sharpe)
    assert trades.drawdown == 0.5  # from the beginning
