from __future__ import annotations

from dataclasses import replace

import pytest

from search.report.elements import Chart, Section, Table
from search.report.sections import timeline
from search.report.sections.timeline import Stint
from tests.helpers.reports import HOSTILE, campaign_data
from tests.helpers.trial_records import trial_record

ACTS = (
    {"kind": "open", "at": 0.0},
    {"kind": "ask", "at": 0.0, "trial": 0},
    {"kind": "ask", "at": 10.0, "trial": 1},
    {"kind": "result", "at": 20.0, "trial": 0, "epoch": 1, "ended": False},
    {"kind": "death", "at": 30.0, "trial": 1},
    {"kind": "restart", "at": 40.0, "trial": 1},
    {"kind": "result", "at": 50.0, "trial": 0, "epoch": 2, "ended": True},
    {"kind": "ask", "at": 60.0, "trial": 2},
    {"kind": "result", "at": 70.0, "trial": 1, "epoch": 1, "ended": False},
    {"kind": "restart", "at": 80.0, "trial": 1},
    {"kind": "end", "at": 90.0, "trial": 1, "ended": True},
    {"kind": "take over"},
)


def test_stints_are_read_from_the_journal_and_placed_where_it_was_free() -> None:
    assert timeline.collect_stints(ACTS) == [
        Stint(0, 0.0, 50.0, is_death=False, place=0),
        Stint(1, 10.0, 30.0, is_death=True, place=1),
        Stint(1, 40.0, 70.0, is_death=False, place=1),
        Stint(2, 60.0, 60.0, is_death=False, place=0),
        Stint(1, 80.0, 90.0, is_death=False, place=0),
    ]


def test_idle_time_is_what_no_trial_took() -> None:
    stints = timeline.collect_stints(ACTS)
    assert timeline.idle_share(stints) == pytest.approx(1 - (50 + 20 + 30 + 0 + 10) / (2 * 90))
    assert timeline.idle_share([]) == timeline.idle_share([Stint(0, 5.0, 5.0, is_death=False)]) == 0.0


def test_deaths_have_their_reasons() -> None:
    records = [trial_record(0, [0.5, 0.6]), replace(trial_record(1, [0.5]), deaths=[HOSTILE])]
    section = timeline.make_section(campaign_data(records, acts=ACTS))
    chart, reasons = section.parts
    assert isinstance(chart, Chart)
    assert [len(trace["x"]) for trace in chart.traces] == [4, 1]
    assert isinstance(reasons, Table)
    assert reasons.rows == (("#1", HOSTILE),)
    assert "Processes died 1 time; trials were started again 2 times" in section.sentences[1]


def test_a_committed_campaign_kept_its_places_busy(sections: dict[str, Section]) -> None:
    chart = sections["timeline"].parts[0]
    assert isinstance(chart, Chart)
    assert chart.table is not None
    assert len(chart.table.rows) == 32
    assert sections["timeline"].sentences[0].startswith("At most 2 trials ran at a time; counted over")


def test_before_the_first_trial_a_sentence_says_so() -> None:
    assert timeline.make_section(campaign_data([])).sentences == ("No trial has begun yet.",)
