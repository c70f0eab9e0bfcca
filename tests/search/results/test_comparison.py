from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from search.results.comparison import compare_winners, differing_settings, read_figures
from search.results.folder import CampaignFolder

COMMITTED = Path(__file__).parents[3] / "results"
NAME, OTHER = "btc-eth-15m-8m", "btc-eth-5m-30d"


def _copy(root: Path) -> tuple[CampaignFolder, CampaignFolder]:
    """Copy a committed campaign, and again with better scores of its winner, without one of its cells."""
    for name in ("one", "two"):
        shutil.copytree(COMMITTED / NAME, root / name)
    one, two = (CampaignFolder(root / name) for name in ("one", "two"))
    table = pd.read_parquet(two.confirmation_table)
    is_winner = table["number"] == one.read_verdict().winner.trial  # type: ignore[union-attr]
    table.loc[is_winner, "held_out_macro_f1"] += np.where(table.loc[is_winner, "split"] == "fold 1", 0.03, 0.01)
    table.loc[is_winner & (table["split"] == "fold 5") & (table["seed"] == 1), "held_out_macro_f1"] -= 0.02
    table[~(is_winner & (table["split"] == "fold 2") & (table["seed"] == 3))].to_parquet(two.confirmation_table)
    return one, two


def test_figures_are_those_of_the_folder() -> None:
    folder = CampaignFolder(COMMITTED / NAME)
    figures, verdict = read_figures(folder), folder.read_verdict()
    assert verdict is not None
    assert figures.trials == 32
    assert figures.epochs == 146
    assert figures.search == folder.read_ranked_trials()[0].value
    assert figures.out_of_fold[0] == verdict.winner.out_of_fold["macro_f1"].value
    assert figures.lead == (verdict.lead.value, verdict.lead.low, verdict.lead.high)
    assert figures.status == "not certified"
    assert figures.data == "BTCUSDT, ETHUSDT, 2024-01-01 to 2024-09-06"


def test_a_campaign_without_a_verdict_has_no_figures_of_one(tmp_path: Path) -> None:
    shutil.copytree(COMMITTED / NAME, tmp_path / NAME)
    folder = CampaignFolder(tmp_path / NAME)
    folder.verdict.unlink()
    figures = read_figures(folder)
    assert (figures.status, figures.test, figures.lead) == (None, (None,) * 3, (None,) * 3)
    assert figures.search is not None


def test_settings_that_differ_are_listed() -> None:
    campaigns = [read_figures(CampaignFolder(COMMITTED / name)) for name in (NAME, OTHER)]
    found = differing_settings(campaigns)
    assert found["data.interval"] == ["15m", "5m"]
    assert found["data.days"] == [None, 30.0]
    assert "seed" not in found
    assert differing_settings([campaigns[0], campaigns[0]]) == {}


def test_winners_are_compared_on_the_cells_that_both_were_trained_on(tmp_path: Path) -> None:
    one, two = _copy(tmp_path)
    lead = compare_winners(two, one)
    assert lead is not None
    assert (lead.cells, lead.folds, lead.ahead) == (14, 5, 13)
    by_fold = np.array([0.03, 0.01, 0.01, 0.01, 0.01 / 3])
    assert lead.lead == pytest.approx(by_fold.mean())
    assert lead.standard_error == pytest.approx(by_fold.std(ddof=1) / np.sqrt(5))
    back = compare_winners(one, two)
    assert back is not None
    assert back.lead == pytest.approx(-lead.lead)


def test_folds_of_other_rows_are_not_compared(tmp_path: Path) -> None:
    one, two = _copy(tmp_path)
    table = pd.read_parquet(two.confirmation_table)
    table["held_out_rows"] += 1
    table.to_parquet(two.confirmation_table)
    assert compare_winners(one, two) is None


def test_winners_on_other_data_are_not_compared() -> None:
    assert compare_winners(CampaignFolder(COMMITTED / NAME), CampaignFolder(COMMITTED / OTHER)) is None


def test_one_that_was_not_confirmed_is_not_compared(tmp_path: Path) -> None:
    one, two = _copy(tmp_path)
    two.confirmation_table.unlink()
    assert compare_winners(one, two) is None
