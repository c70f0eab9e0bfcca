from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from search.report.elements import Chart, Section
from search.report.sections import hyperparameters
from search.results.folder import CampaignFolder
from search.results.race_records import Neighbourhood
from search.study.trial_record import TrialRecord
from tests.helpers.reports import campaign_data, judged
from tests.helpers.trial_records import trial_record

COMMITTED = Path(__file__).parents[4] / "results"


def _records(scores: list[float], dropouts: list[float]) -> list[TrialRecord]:
    records = []
    for number, (score, dropout) in enumerate(zip(scores, dropouts, strict=True)):
        record = trial_record(number, [score])
        record.params.update(learning_rate=1e-3, weight_decay=1e-2, dropout=dropout)
        records.append(judged(record))
    return records


def test_importance_slices_and_neighbourhood_are_drawn(sections: dict[str, Section]) -> None:
    charts = [part for part in sections["hyperparameters"].parts if isinstance(part, Chart)]
    names = [chart.identifier for chart in charts]
    assert names[0] == "importance-chart"
    assert names[-1] == "neighbours-chart"
    assert [name for name in names if name.startswith("slice-")] == [
        "slice-learning-rate", "slice-batch-size", "slice-weight-decay", "slice-dropout", "slice-focal-gamma",
        "slice-mixup-alpha",
    ]  # fmt: skip
    assert [trace["name"] for trace in charts[0].traces] == ["macro-F1", "direction AUC"]
    assert charts[0].table is not None
    assert len(charts[0].table.rows) == 12


def test_neighbours_are_sorted_by_distance_in_shares_of_the_ranges() -> None:
    campaign = campaign_data(_records([0.9, 0.8, 0.7], [0.0, 0.6, 0.3]))
    assert campaign.config is not None
    found = hyperparameters.find_neighbours(campaign, campaign.config, list(campaign.records), 1)
    assert [(place.number, place.score) for place in found] == [(0, 0.9), (2, 0.7), (1, 0.8)]
    # One of six hyperparameters differs: by half of its range, and by all of it.
    assert [place.distance for place in found] == pytest.approx([0.0, 0.5 / np.sqrt(6), 1 / np.sqrt(6)])


@pytest.mark.parametrize(
    ("near", "kind"), [(0.8, "a plateau"), (0.1, "a spike"), (0.5, "neither clearly a plateau nor a spike")]
)
def test_plateau_and_spike(near: float, kind: str) -> None:
    # Five neighbours at one score, and twelve far trials, ten of them at a lower score than the other two.
    scores = [0.9, *[near] * 5, *[0.4] * 10, *[0.6] * 2]
    dropouts = [0.0, *[0.01 * place for place in range(1, 6)], *[0.6] * 12]
    section = hyperparameters.make_section(campaign_data(_records(scores, dropouts)))
    assert kind in section.sentences[-1]


def _trained(word: str | None, drop: float | None) -> Neighbourhood:
    neighbour = {"hyperparameter": "dropout", "value": 0.2, "drop": drop}
    ends = {"low": None, "high": None} if word is None else {"low": 0.002, "high": 0.018}
    content = {"word": word, "cells": 5, "drop": drop, **ends, "neighbours": (neighbour, neighbour)}
    return Neighbourhood.model_validate(content)


@pytest.mark.parametrize(
    ("word", "drop", "said"),
    [
        ("spike", 0.01, "is +0.0100 ahead of them in AUC (95 % interval 0.0020 to 0.0180): a spike."),
        ("plateau", -0.01, "is -0.0100 ahead of them in AUC (95 % interval 0.0020 to 0.0180): a plateau."),
        (None, 0.01, "is +0.0100 ahead of them in AUC. That is too little to tell a plateau from a spike."),
        (None, None, "The confirmation trained 2 neighbours of the winner, but all of them failed."),
    ],
)
def test_neighbours_that_the_confirmation_trained_are_described(
    word: str | None, drop: float | None, said: str
) -> None:
    assert hyperparameters.describe_trained_neighbours(_trained(word, drop), "auc").endswith(said)


def test_where_the_confirmation_has_judged_the_neighbours_the_search_does_not_judge_them_again() -> None:
    scores, dropouts = [0.9, *[0.1] * 5, *[0.4] * 12], [0.0, *[0.01] * 5, *[0.6] * 12]
    verdict = CampaignFolder(COMMITTED / "btc-eth-15m-8m").read_verdict()
    assert verdict is not None
    for trained, words in ((None, ["That looks like a spike"]), (_trained("plateau", 0.01), ["a plateau.", "of all."])):
        winner = verdict.winner.model_copy(update={"trial": 0})
        changed = verdict.model_copy(update={"neighbours": trained, "winner": winner})
        section = hyperparameters.make_section(campaign_data(_records(scores, dropouts), verdict=changed))
        found = section.sentences[-len(words) :]
        assert all(word in sentence for word, sentence in zip(words, found, strict=True))
        assert ("spike" in " ".join(section.sentences)) is (trained is None)


def test_few_trials_have_no_importance() -> None:
    section = hyperparameters.make_section(campaign_data(_records([0.9, 0.8, 0.7], [0.0, 0.6, 0.3])))
    assert any(sentence.startswith("Importance is measured from 20") for sentence in section.sentences)
    assert "importance-chart" not in [part.identifier for part in section.parts if isinstance(part, Chart)]


def test_before_a_rung_a_sentence_says_so() -> None:
    for records in ([], [trial_record(0, [0.5]), trial_record(1, [0.5])]):
        section = hyperparameters.make_section(campaign_data(records))
        assert section.sentences[0].startswith("Too few trials have been compared")
        assert section.parts == ()
    records = _records([0.9, 0.8], [0.1, 0.2])
    assert hyperparameters.make_section(campaign_data(records, config=None)).parts == ()
