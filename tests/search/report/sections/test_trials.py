from __future__ import annotations

from dataclasses import replace

import pytest

from search.report.elements import Chart, ParallelCoordinates, Section
from search.report.sections import trials
from search.study.trial_record import FAILED, STOPPED
from tests.helpers.reports import HOSTILE, campaign_data, judged
from tests.helpers.trial_records import trial_record


def _parts(section: Section) -> tuple[Chart, ParallelCoordinates]:
    curves, parallel = section.parts
    assert isinstance(curves, Chart)
    assert isinstance(parallel, ParallelCoordinates)
    return curves, parallel


def test_all_curves_are_there_once(sections: dict[str, Section]) -> None:
    curves, _ = _parts(sections["trials"])
    assert [trace["name"] for trace in curves.traces[:3]] == ["other trials", "trial #29", "trial #24"]
    points = sum(value is not None for trace in curves.traces for value in trace["x"])
    assert points == 146
    assert len(curves.traces) == 11
    assert curves.layout["shapes"][0]["x0"] == 2
    assert [shape["x0"] for shape in curves.layout["shapes"]] == [2, 6]
    assert sum(trace["line"]["width"] == 3 for trace in curves.traces) == 1


def test_choices_show_the_best_alone(sections: dict[str, Section]) -> None:
    curves, _ = _parts(sections["trials"])
    assert [(choice.label, sum(choice.shown)) for choice in curves.choices] == [
        ("all trials", 11), ("best 3", 3), ("best 10", 10),
    ]  # fmt: skip
    assert curves.choices[1].shown[:5] == (False, True, True, True, False)


def test_the_table_has_a_row_for_each_line(sections: dict[str, Section]) -> None:
    _, parallel = _parts(sections["trials"])
    table = parallel.table
    assert len(table.rows) == 32
    assert table.columns[:3] == ("trial", "macro-F1", "AUC")
    assert [axis.label for axis in parallel.axes][-2:] == ["epochs run", "macro-F1"]
    assert all(len(axis.values) == 32 for axis in parallel.axes)
    assert parallel.marked == (1,)
    assert table.rows[29][1] == pytest.approx(parallel.axes[-1].values[29], abs=1e-6)
    reason = table.columns.index("reason")
    assert "stopped at rung 2" in table.rows[5][reason]


def test_the_sentences_count_every_trial() -> None:
    records = [trial_record(0, [0.5, 0.6]), judged(trial_record(1, [0.4], STOPPED)), trial_record(2, [0.3], FAILED)]
    records.append(trial_record(3, [0.2], None))
    counts, rungs = trials.make_section(campaign_data(records)).sentences
    assert counts == "4 trials: 1 ran to the end, 1 stopped early, 1 failed, 1 left unfinished."
    assert rungs.startswith("After some epochs (the rungs)")
    running = trials.make_section(campaign_data(records, is_running=True))
    assert running.sentences[0].endswith("1 still at work.")


def test_a_reason_is_no_tag_in_a_chart() -> None:
    record = replace(trial_record(0, [0.5, 0.6]), reason=HOSTILE)
    curves, _ = _parts(trials.make_section(campaign_data([record])))
    assert not [text for trace in curves.traces for text in trace["text"] if "<" in text]


def test_a_hyperparameter_of_zero_has_no_logarithmic_axis() -> None:
    record = trial_record(0, [0.5])
    record.params["weight_decay"] = 0.0
    _, parallel = _parts(trials.make_section(campaign_data([record])))
    assert {axis.label: axis.is_log for axis in parallel.axes} | {"learning rate": True, "weight decay": False} == {
        axis.label: axis.is_log for axis in parallel.axes
    }


def test_without_trials_a_sentence_says_so() -> None:
    assert trials.make_section(campaign_data([])).sentences == ("No trial has begun yet.",)
    assert trials.make_section(campaign_data([trial_record(0, [], None)])).parts == ()
