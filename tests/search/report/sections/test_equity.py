from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from core.data.dataset import load_dataset
from search.report.campaign_data import CampaignData
from search.report.elements import Chart, Section
from search.report.sections import calls, equity
from tests.helpers.market import market_config
from tests.helpers.reports import campaign_data
from tests.helpers.trial_records import trial_record


def _trades(campaign: CampaignData) -> equity.Trades:
    rows = calls.judge_rows(campaign)
    assert rows is not None
    trades = equity.collect_trades(campaign, rows)
    assert trades is not None
    return trades


def test_costs_are_given_back_for_each_trade() -> None:
    trades = equity.Trades(np.array([1, 2]), np.array([0.01, -0.02]), np.array([1, 2]), symbols=2)
    assert trades.at_cost(10.0) is trades.net
    cheap = trades.at_cost(0.0)
    assert cheap is not None
    assert cheap.tolist() == pytest.approx([0.0105, -0.019])
    half = trades.at_cost(5.0)
    assert half is not None
    assert half.tolist() == pytest.approx([0.01025, -0.0195])
    assert replace(trades, counts=None).at_cost(5.0) is None


def test_recorded_trades_are_found_again_from_the_predictions(committed: CampaignData) -> None:
    trades = _trades(committed)
    assert trades.counts is not None
    assert len(trades.instants) == 2480
    assert not trades.follow_calls  # an early version called the most probable class
    assert set(trades.counts.tolist()) == {1, 2}


def test_trades_that_do_not_fit_the_calls_have_the_recorded_cost_only(committed: CampaignData) -> None:
    assert committed.returns is not None
    chosen = committed.returns[(committed.returns["number"] == 1) & (committed.returns["split"] == "test")]
    campaign = replace(committed, returns=chosen.drop(chosen.index[5]))
    assert _trades(campaign).counts is None
    section = equity.make_section(campaign)
    chart = section.parts[0]
    assert isinstance(chart, Chart)
    assert [trace["name"] for trace in chart.traces] == ["10 bp"]
    assert any("only the recorded cost of 10 bp" in sentence for sentence in section.sentences)


def test_the_line_ends_at_the_sum_of_all_returns(sections: dict[str, Section], committed: CampaignData) -> None:
    chart = sections["equity"].parts[0]
    assert isinstance(chart, Chart)
    assert [trace["name"] for trace in chart.traces] == ["0 bp", "5 bp", "10 bp"]
    total = float(_trades(committed).net.sum())
    assert chart.traces[2]["y"][-1] == pytest.approx(total, rel=1e-5)
    assert len(chart.traces[2]["x"]) <= 400
    assert any("The bars are not at hand" in sentence for sentence in sections["equity"].sentences)


def test_a_fall_counts_from_the_highest_point_or_the_start() -> None:
    assert equity.fall_from_peak(np.array([-0.1, 0.2, 0.1, 0.3])).tolist() == pytest.approx([-0.1, 0.0, -0.1, 0.0])


def test_buying_and_holding_follows_the_prices() -> None:
    market = load_dataset(market_config(symbols=("SYN", "TWO")))
    instants, gains = equity.buy_and_hold(market, "test")
    assert (np.diff(instants) > 0).all()
    assert gains[0] == pytest.approx(0.0)
    ends = []
    for symbol in range(len(market.symbol_names)):
        own = market.test[market.symbols[market.test] == symbol]
        ends.append(np.exp(market.log_prices[own[-1]] - market.log_prices[own[0]]) - 1)
    assert gains[-1] == pytest.approx(np.mean(ends))


def test_without_trades_a_sentence_says_so(committed: CampaignData) -> None:
    for campaign in (
        campaign_data([trial_record(0, [0.5])]),
        replace(committed, returns=None),
        replace(committed, returns=pd.DataFrame(committed.returns).iloc[:0]),
    ):
        assert equity.make_section(campaign).sentences == ("No trades of the winner are recorded.",)
