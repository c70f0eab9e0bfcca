from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.study.asha import Decision
from search.study.trial_record import EpochRecord, TrialAssignment, TrialRecord
from tests.helpers.trial_records import epoch_record, trial_record

floats = st.floats(width=64)
metrics = st.dictionaries(st.text(max_size=8), floats, max_size=4)
decisions = st.builds(
    Decision,
    rung=st.integers(1, 99),
    value=floats,
    seen=st.integers(1, 99),
    rank=st.integers(0, 99),
    kept=st.integers(1, 99),
    action=st.sampled_from(["continue", "stop"]),
)
records = st.builds(
    EpochRecord,
    epoch=st.integers(1, 999),
    value=floats,
    score=floats,
    best_epoch=st.integers(1, 999),
    train_loss=floats,
    learning_rate=floats,
    seconds=floats,
    metrics=metrics,
    best_metrics=st.none() | metrics,
    decision=st.none() | decisions,
    val_blocks=st.none() | st.lists(floats, max_size=10).map(tuple),
)


def _content(record: EpochRecord) -> str:
    """Return all that a record holds as a text, in which one NaN equals another."""
    return repr((record.as_row(), record.decision and record.decision.as_row()))


def _row(**changes: Any) -> dict[str, Any]:
    return {**epoch_record(3, 0.5).as_row(), **changes}


@given(record=records)
def test_a_record_comes_back_from_the_journal_as_it_was(record: EpochRecord) -> None:
    decision = record.decision and record.decision.as_row()
    row, decision = json.loads(json.dumps([record.as_row(), decision]))
    again = EpochRecord.from_row(row, decision)
    assert _content(again) == _content(record)


@given(record=records)
def test_a_row_holds_the_report_without_the_decision(record: EpochRecord) -> None:
    row = record.as_row()
    assert "decision" not in row
    assert ("best_metrics" in row) == (record.best_metrics is not None)
    assert ("val_blocks" in row) == (record.val_blocks is not None)
    assert json.loads(json.dumps(row)).keys() == row.keys()


@pytest.mark.parametrize("name", ["value", "score", "train_loss", "learning_rate", "seconds"])
def test_null_stands_for_nan_where_json_is_strict(name: str) -> None:
    record = EpochRecord.from_row(_row(**{name: None}))
    assert math.isnan(getattr(record, name))
    assert _content(record) == _content(replace(epoch_record(3, 0.5), **{name: math.nan}))


def test_a_decision_is_read_back_with_its_reason() -> None:
    decision = Decision(rung=2, value=0.5, seen=6, rank=3, kept=2, action="stop")
    assert EpochRecord.from_row(_row(), decision.as_row()).decision == decision
    assert EpochRecord.from_row(_row()).decision is None


@pytest.mark.parametrize("name", sorted(_row()))
def test_a_row_that_lacks_a_field_is_refused(name: str) -> None:
    row = _row()
    del row[name]
    with pytest.raises(KeyError, match=name):
        EpochRecord.from_row(row)


@pytest.mark.parametrize(
    "changes",
    [
        {"epoch": None},
        {"epoch": "three"},
        {"value": "much"},
        {"score": []},
        {"best_epoch": {}},
        {"metrics": None},
        {"metrics": 3},
        {"metrics": [1]},
        {"best_metrics": "text"},
    ],
    ids=str,
)
def test_a_damaged_row_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        EpochRecord.from_row(_row(**changes))


@pytest.mark.parametrize("decision", [{}, {"rung": 1}, {**Decision(1, 0.5, 1, 1, 1, "stop").as_row(), "more": 1}])
def test_a_damaged_decision_is_refused(decision: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        EpochRecord.from_row(_row(), decision)


def test_a_trial_without_epochs_has_no_value_and_nothing_to_continue() -> None:
    trial = TrialRecord(0, {}, "sampler")
    assert math.isnan(trial.value)
    assert trial.last_epoch == 0
    with pytest.raises(KeyError):
        _ = trial.last


def test_the_last_epoch_is_the_greatest_whatever_the_order() -> None:
    trial = TrialRecord(0, {}, "sampler", {epoch: epoch_record(epoch, 0.1 * epoch) for epoch in (2, 3, 1)})
    assert (trial.last_epoch, trial.last.epoch) == (3, 3)
    assert trial.value == trial.epochs[3].value


starts = st.tuples(st.integers(0, 50), st.integers(0, 999_999))


@given(one=starts, other=starts)
def test_no_two_attempts_of_any_drivers_share_an_id(one: tuple[int, int], other: tuple[int, int]) -> None:
    ids = [
        TrialRecord(0, {}, "sampler", generation=generation, attempts=attempts).attempt_id
        for generation, attempts in (one, other)
    ]
    assert (ids[0] == ids[1]) == (one == other)
    assert (ids[0] < ids[1]) == (one < other)  # later generations count on


def test_an_assignment_says_where_to_continue_and_is_a_copy() -> None:
    trial = replace(trial_record(7, [0.1, 0.2]), attempts=2, generation=1)
    assignment = trial.assignment
    assert assignment == TrialAssignment(7, trial.attempt_id, 2, trial.params)
    trial.params["dropout"] = 0.9
    assert assignment.params["dropout"] != 0.9


BEST = {"macro_f1": 0.6}


def _next_epoch(value: float, best_epoch: int) -> EpochRecord:
    return replace(epoch_record(3, 0.1), value=value, best_epoch=best_epoch, best_metrics=BEST)


def test_the_metrics_of_the_best_epoch_are_not_kept_twice() -> None:
    trial = trial_record(0, [0.4, 0.5])
    recorded = trial.recordable(_next_epoch(0.5, best_epoch=2))
    assert recorded == replace(_next_epoch(0.5, best_epoch=2), best_metrics=None)
    trial.epochs[3] = recorded
    assert trial.best_metrics == trial.epochs[2].metrics


def test_the_metrics_of_an_epoch_that_is_itself_the_best_are_not_kept_twice() -> None:
    trial = trial_record(0, [0.4, 0.5])
    recorded = trial.recordable(replace(epoch_record(3, 0.7), best_metrics=BEST))
    assert recorded.best_metrics is None
    trial.epochs[3] = recorded
    assert trial.best_metrics == epoch_record(3, 0.7).metrics


def test_the_metrics_of_a_best_epoch_that_came_out_differently_are_kept() -> None:
    trial = trial_record(0, [0.4, 0.5])
    recorded = trial.recordable(_next_epoch(0.6, best_epoch=2))  # the record of epoch 2 says 0.5
    assert recorded.best_metrics == BEST
    trial.epochs[3] = recorded
    assert trial.best_metrics == BEST
