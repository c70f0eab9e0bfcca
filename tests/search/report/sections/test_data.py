from __future__ import annotations

from dataclasses import replace

import numpy as np

from core.data.dataset import load_dataset
from search.report.campaign_data import CampaignData
from search.report.elements import Chart, Section, Table
from search.report.sections import data
from tests.helpers.market import market_config
from tests.helpers.reports import campaign_data


def test_gaps_are_found_within_a_symbol_the_longest_first() -> None:
    timestamps = np.array([0, 10, 40, 50, 70, 0, 10, 20])
    symbols = np.array([0, 0, 0, 0, 0, 1, 1, 1])
    assert data.find_gaps(timestamps, symbols, 10) == [(0, 20, 2), (0, 60, 1)]
    assert data.find_gaps(timestamps[5:], symbols[5:], 10) == []
    # Another symbol that begins later is no gap.
    assert data.find_gaps(np.array([0, 10, 50, 60]), np.array([0, 0, 1, 1]), 10) == []


def test_without_the_bars_the_predictions_tell_the_classes(sections: dict[str, Section]) -> None:
    section = sections["data"]
    (chart,) = section.parts
    assert isinstance(chart, Chart)
    assert chart.table is not None
    assert [row[0] for row in chart.table.rows] == ["val", "test"]
    assert all(abs(sum(row[1:]) - 1) < 1e-9 for row in chart.table.rows)
    assert section.sentences[0].startswith("BTCUSDT, ETHUSDT: bars of 15 minutes from 2024-01-01 00:00 UTC")
    assert sum("The smallest direction AUC that the" in sentence for sentence in section.sentences) == 2
    assert section.sentences[-1].startswith("The bars are not at hand")


def test_rows_of_one_training_are_counted(committed: CampaignData) -> None:
    labels = data.split_labels(committed)
    assert {split: len(values) for split, values in labels.items()} == {"val": 6696, "test": 6694}


def test_with_the_bars_gaps_and_all_splits_are_shown(committed: CampaignData) -> None:
    market = load_dataset(market_config(symbols=("SYN", "TWO")))
    whole = data.make_section(replace(committed, dataset=market))
    assert whole.sentences[-1] == "No bar is missing."
    kept = np.delete(np.arange(len(market.timestamps)), [5, 6, 7])
    cut = replace(market, timestamps=market.timestamps[kept], symbols=market.symbols[kept])
    section = data.make_section(replace(committed, dataset=cut))
    assert section.sentences[-1].startswith("1 gap with 3 missing bars in all.")
    chart, gaps = section.parts
    assert isinstance(chart, Chart)
    assert chart.traces[0]["y"] == ["train", "val", "test"]
    assert isinstance(gaps, Table)
    assert gaps.rows[0][0] == market.symbol_names[0]
    assert gaps.rows[0][2] == 3


def test_without_anything_the_record_is_told() -> None:
    section = data.make_section(campaign_data([]))
    assert section.parts == ()
    assert "A prediction sees 16 bars, and its label looks 3 bars ahead. Rows: 700 of train" in section.sentences[0]
