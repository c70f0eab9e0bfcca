from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.data.labels import BUY, HOLD, SELL
from search.report.campaign_data import CampaignData
from search.report.elements import Note, Section, Table
from search.report.sections import verdict
from search.study.trial_record import STOPPED
from tests.helpers.reports import campaign_data, judged
from tests.helpers.trial_records import trial_record


def test_the_headline_says_why_and_what_to_use(committed: CampaignData) -> None:
    text = verdict.headline(committed)
    assert text.startswith("Not certified: Trial #1 did not pass (macro_f1 on test less that of the best baseline")
    assert text.endswith("Keep using production_small.")


@pytest.mark.parametrize(
    ("status", "recommended", "start", "end"),
    [
        ("certified", "winner", "Certified: Trial #1 passed every gate.", "Recommended for use: trial #1."),
        ("too short to tell", "incumbent", "Too short to tell: nothing speaks against trial #1", "production_small."),
    ],
)
def test_the_headline_of_each_status(
    committed: CampaignData, status: str, recommended: str, start: str, end: str
) -> None:
    assert committed.verdict is not None
    changed = committed.verdict.model_copy(update={"status": status, "recommended": recommended})
    text = verdict.headline(replace(committed, verdict=changed))
    assert text.startswith(start)
    assert text.endswith(end)


def test_every_gate_is_a_row_with_value_bound_and_verdict(sections: dict[str, Section]) -> None:
    gates, luck = sections["verdict"].parts
    assert isinstance(gates, Table)
    assert gates.columns == ("gate", "value", "bound", "verdict")
    assert gates.rows[0] == ("largest share of one class", "0.6880", "<= 0.9", "pass")
    assert [row[3] for row in gates.rows].count("fail") == 1
    assert isinstance(luck, Note)
    assert "one in twenty such models reaches" in luck.sentences[0]
    assert "the winner has 0.5459" in luck.sentences[0]


def test_a_running_campaign_says_so(committed: CampaignData) -> None:
    text = verdict.state_sentence(replace(committed, is_running=True))
    assert text.startswith("This campaign is still at work (")


def test_a_campaign_without_a_verdict_says_so(committed: CampaignData) -> None:
    text = verdict.headline(replace(committed, verdict=None))
    assert text.startswith("There is no verdict yet (")
    assert "optimistic" in text
    assert verdict.headline(campaign_data([])).startswith("The state of this campaign cannot be told")


def test_what_could_not_be_read_stands_in_the_first_section(committed: CampaignData) -> None:
    assert "No table." in verdict.make_section(replace(committed, problems=("No table.",))).sentences


def test_luck_of_the_search_is_told_from_scores_by_block() -> None:
    rng = np.random.default_rng(0)
    records = []
    for number in range(12):
        blocks = tuple(0.5 + 0.1 * rng.standard_normal(10))
        records.append(judged(trial_record(number, [0.5], STOPPED), val_blocks=blocks))
    lead, overfitting = verdict.luck_sentences(campaign_data(records))
    assert lead.startswith(
        "If all 12 trials were equally good, the best of them would still lead their mean by about 0.0"
    )
    assert "after epoch 1" in lead
    assert overfitting.startswith("Probability of overfitting: 0.")


def test_blocks_that_some_trials_lack_are_no_table() -> None:
    assert verdict.block_scores(campaign_data([trial_record(0, [0.5])])) is None


def test_the_direction_auc_that_luck_reaches_falls_with_the_rows() -> None:
    few = np.array([SELL, BUY] * 50 + [HOLD] * 20)
    reach = [verdict.direction_auc_by_luck(np.tile(few, times), 1) for times in (1, 4, 16)]
    assert reach[0] == pytest.approx(0.595, abs=0.003)  # 1.645 x sqrt(101 / (12 x 50 x 50)) above one half
    assert reach[0] - 0.5 == pytest.approx(2 * (reach[1] - 0.5), rel=0.02)
    assert reach[1] - 0.5 == pytest.approx(2 * (reach[2] - 0.5), rel=0.02)
    assert verdict.direction_auc_by_luck(np.array([HOLD, SELL]), 1) == 1.0
