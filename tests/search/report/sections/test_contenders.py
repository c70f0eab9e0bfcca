from __future__ import annotations

from dataclasses import replace

from search.report.campaign_data import CampaignData
from search.report.elements import Chart, Section
from search.report.sections import contenders
from tests.helpers.reports import HOSTILE, campaign_data
from tests.helpers.trial_records import trial_record


def test_the_ladder_has_the_recorded_values(committed: CampaignData) -> None:
    steps = {(step.role, step.who, step.stage): step for step in contenders.collect_steps(committed)}
    winner = [steps["winner", "trial #1", stage] for stage in ("in the search (val)", "out of fold", "on test")]
    assert [round(step.value, 6) for step in winner] == [0.428795, 0.44961, 0.437276]
    assert (winner[1].low, winner[1].high) == (None, None)
    assert round(winner[2].low or 0, 6) == 0.410522
    assert round(steps["incumbent", "incumbent: production_small", "in the search (val)"].value, 6) == 0.419635
    assert round(steps["baseline", "logistic regression", "on test"].value, 6) == 0.444372
    assert round(steps["baseline", "most frequent class", "in the search (val)"].value, 6) == 0.228504


def test_nll_is_shown_so_that_more_is_better(committed: CampaignData) -> None:
    record = committed.record.model_copy(update={"metric": "nll"})
    steps = contenders.collect_steps(replace(committed, record=record))
    assert {step.value < 0 for step in steps if step.role == "baseline"} == {True}


def test_the_section_says_what_luck_explains(sections: dict[str, Section]) -> None:
    lead, test, ladder = sections["contenders"].sentences
    assert "leads the incumbent by +0.0300 in macro-F1: there is too little independent time" in lead
    assert "(logistic regression) is -0.0071 (95 % interval -0.0202 to 0.0062)" in test
    assert "0.4288 in the search (val), 0.4496 out of fold, 0.4373 on test" in ladder


def test_a_name_is_no_tag_in_a_chart(committed: CampaignData) -> None:
    assert committed.verdict is not None
    incumbent = committed.verdict.incumbent.model_copy(update={"preset": HOSTILE})
    section = contenders.make_section(
        replace(committed, verdict=committed.verdict.model_copy(update={"incumbent": incumbent}))
    )
    chart = section.parts[0]
    assert isinstance(chart, Chart)
    labels = [label for trace in chart.traces for label in trace["y"]] + chart.layout["yaxis"]["categoryarray"]
    assert not [label for label in labels if "<" in label.replace("<br>", "")]


def test_without_values_or_a_confirmation_a_sentence_says_so() -> None:
    assert contenders.make_section(campaign_data([])).sentences == ("No trial has a value yet.",)
    section = contenders.make_section(campaign_data([trial_record(0, [0.5, 0.6])]))
    assert section.sentences[-1].startswith("Without a confirmation")
