from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.data.labels import BUY, HOLD, SELL
from search.report.campaign_data import CampaignData
from search.report.elements import Chart, Section
from search.report.sections import calls
from tests.helpers.reports import campaign_data
from tests.helpers.trial_records import trial_record


def test_the_calls_on_test_are_those_of_the_verdict(committed: CampaignData) -> None:
    rows = calls.judge_rows(committed)
    assert rows is not None
    assert rows.split == "test"
    assert committed.verdict is not None
    assert committed.verdict.test is not None
    assert len(rows.calls) == committed.verdict.test.rows == 6694
    # The macro-F1 of these calls is the one that was judged, to the last digit that counts.
    right = [np.sum((rows.calls == side) & (rows.labels == side)) for side in (SELL, HOLD, BUY)]
    either = [np.sum(rows.calls == side) + np.sum(rows.labels == side) for side in (SELL, HOLD, BUY)]
    f1 = 2 * np.array(right) / np.array(either)
    assert np.mean(f1) == pytest.approx(committed.verdict.test.macro_f1.value, abs=1e-9)


def test_without_a_verdict_val_is_shown_and_called_optimistic(committed: CampaignData) -> None:
    rows = calls.judge_rows(replace(committed, verdict=None))
    assert rows is not None
    assert rows.split == "val"
    assert set(rows.table["number"]) == {29}
    assert "optimistic" in rows.where


def test_reliability_compares_what_is_said_with_what_came() -> None:
    probabilities = np.repeat([0.1, 0.5, 0.9], 100)
    came = np.concatenate([np.arange(100) < share for share in (20, 50, 60)])
    bins = calls.reliability_bins(probabilities, came)
    assert len(bins) == 10
    assert sum(number for _, _, number in bins) == 300
    assert bins[0][0] == pytest.approx(0.1)
    assert bins[-1][0] == pytest.approx(0.9)
    assert np.average([share for _, share, _ in bins], weights=[number for *_, number in bins]) == pytest.approx(
        130 / 300
    )
    assert calls.reliability_bins(np.array([0.3, 0.2]), np.array([True, False])) == [(0.2, 0.0, 1), (0.3, 1.0, 1)]


def test_the_surest_calls_come_first() -> None:
    labels = np.full(100, SELL)
    called = np.where(np.arange(100) < 30, SELL, BUY)  # 30 calls are right
    certainty = np.where(np.arange(100) < 30, 0.9, 0.5)
    probabilities = np.zeros((100, 3))
    probabilities[np.arange(100), called] = certainty
    points = {
        share: (accuracy, number) for share, accuracy, number in calls.selective_accuracy(probabilities, called, labels)
    }
    assert points[0.05] == (1.0, 5)
    assert points[0.3] == (1.0, 30)
    assert points[0.6] == (0.5, 60)
    assert points[1.0] == (0.3, 100)


def test_the_confusion_counts_every_row_once(sections: dict[str, Section]) -> None:
    confusion, reliability, selective = sections["calls"].parts
    assert isinstance(confusion, Chart)
    assert confusion.table is not None
    assert sum(value for row in confusion.table.rows for value in row[1:]) == 6694
    assert [round(sum(row)) for row in confusion.traces[0]["z"]] == [1, 1, 1]
    assert confusion.traces[0]["x"] == ["called SELL", "called HOLD", "called BUY"]
    assert isinstance(reliability, Chart)
    assert [trace["name"] for trace in reliability.traces] == ["as it should be", "SELL", "BUY"]
    assert isinstance(selective, Chart)
    assert len(selective.traces[0]["x"]) == 11


def test_without_predictions_a_sentence_says_so() -> None:
    section = calls.make_section(campaign_data([trial_record(0, [0.5])]))
    assert section.sentences == ("There are no predictions of the winner to show yet.",)
