from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from search.report.campaign_data import CampaignData
from search.report.elements import Chart, Section
from search.report.sections import folds
from search.results.predictions import INCUMBENT
from tests.helpers.reports import campaign_data
from tests.helpers.trial_records import trial_record


def _cells(rows: list[tuple[int, int, str, float]], status: str = "complete") -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["number", "seed", "split", "held_out_auc"])
    return table.assign(status=status, held_out_nll=table["held_out_auc"])


CELLS = _cells([
    (7, 1, "fold 2", 0.6), (INCUMBENT, 1, "fold 2", 0.5), (7, 1, "fold 10", 0.4), (INCUMBENT, 1, "fold 10", 0.5),
    (7, 2, "fold 2", 0.7), (8, 2, "fold 2", 0.1), (7, 1, "test", 0.9),
])  # fmt: skip


def test_a_lead_is_the_winner_less_the_incumbent_of_the_same_fold_and_seed() -> None:
    leads = folds.fold_leads(CELLS, 7, "auc")
    assert list(leads.index) == ["fold 2", "fold 10"]
    assert leads[1].tolist() == pytest.approx([0.1, -0.1])
    assert np.isnan(leads[2]).all()
    assert folds.fold_leads(CELLS, 7, "nll")[1].tolist() == pytest.approx([-0.1, 0.1])


def test_failed_trainings_and_metrics_that_were_not_recorded_give_no_lead() -> None:
    assert folds.fold_leads(CELLS, 7, "net_sharpe").empty
    assert folds.fold_leads(CELLS.assign(status="failed"), 7, "auc").empty


def test_the_matrix_of_a_confirmed_campaign(sections: dict[str, Section], committed: CampaignData) -> None:
    (chart,) = sections["folds"].parts
    assert isinstance(chart, Chart)
    assert chart.traces[0]["y"] == ["fold 1", "fold 2", "fold 3", "fold 4", "fold 5"]
    assert chart.traces[0]["x"] == ["seed 1", "seed 2", "seed 3"]
    assert committed.verdict is not None
    by_fold = [np.mean(row) for row in chart.traces[0]["z"]]
    assert by_fold[2] > 0
    ahead = sum(value > 0 for row in chart.traces[0]["z"] for value in row)
    assert f"The winner is ahead in {ahead} of 15 pairs." in sections["folds"].sentences[0]


def test_without_a_confirmation_a_sentence_says_so() -> None:
    section = folds.make_section(campaign_data([trial_record(0, [0.5])]))
    assert section.sentences[0].startswith("The campaign was not confirmed")
    empty = folds.make_section(campaign_data([trial_record(0, [0.5])], cells=CELLS))
    assert empty.sentences == ("No fold has trainings of both the winner and the incumbent to compare.",)
