from __future__ import annotations

from dataclasses import replace

from search.campaign.events import EventReader
from search.study.asha import Decision
from search.study.trial_record import STOPPED
from tests.helpers.trial_records import trial_record


def test_everything_is_told_once_in_its_order() -> None:
    reader = EventReader()
    begun = trial_record(0, [0.2], None)
    events = reader.read([begun])
    assert [(event["event"], event["trial"]) for event in events] == [("proposed", 0), ("epoch", 0)]
    assert events[0]["params"] == begun.params
    assert events[1]["value"] == 0.2
    assert reader.read([begun]) == []
    went_on = trial_record(0, [0.2, 0.4], STOPPED)
    went_on.epochs[2] = replace(went_on.epochs[2], decision=Decision(2, 0.4, 3, 2, 1, "stop"))
    went_on.deaths.append("it was killed")
    events = reader.read([went_on, trial_record(1, [], None)])
    assert [event["event"] for event in events] == ["epoch", "lost", "ended", "proposed"]
    assert events[0]["decision"] == "stop"
    assert events[1]["reason"] == "it was killed"
    assert events[2]["outcome"] == STOPPED
    assert events[2]["epochs"] == 2
    assert reader.read([went_on, trial_record(1, [], None)]) == []


def test_a_trial_that_ended_before_the_first_call_is_told_whole() -> None:
    events = EventReader().read([trial_record(7, [0.1, 0.2])])
    assert [event["event"] for event in events] == ["proposed", "epoch", "epoch", "ended"]
    assert {event["schema"] for event in events} == {1}
