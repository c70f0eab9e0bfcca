"""Tests of planning a confirmation; nothing is trained but the search before it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core import presets
from core.config import DataConfig
from core.errors import ConfigError, DataError
from core.files import write_table
from search.campaign import run as campaign
from search.campaign.folds import MIN_FOLD_ROWS
from search.config import ConfirmConfig
from search.confirmation.candidates import Cell
from search.confirmation.plan import ConfirmationPlan, plan_confirmation
from search.engine.in_process import InProcessEngine
from search.results import ledger, manifest
from search.results.folder import JOURNAL_FILE, LEDGER_FILE, ROW_FILE, TRIALS_FILE, CampaignFolder
from search.results.ledger_entry import LedgerEntry
from search.results.predictions import INCUMBENT, TEST
from search.study.trial_record import COMPLETE
from tests.helpers.campaigns import NAME, make_searched_campaign
from tests.helpers.confirmations import write_row
from tests.helpers.market import random_bars

pytestmark = pytest.mark.costly


def test_finished_cells_take_no_more_time(root: Path, plan: ConfirmationPlan, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "results")
    plan_before = plan_confirmation(NAME, tmp_path / "results")
    assert (plan_before.missing, plan_before.seconds) == (len(plan.cells), pytest.approx(plan.seconds))
    first_folder = plan_before.campaign.folder.cell(plan_before.key(plan_before.cells[0]))
    for cell, status in zip(plan_before.cells, ("complete", "failed"), strict=False):
        write_row(plan_before, cell, status)
    plan_after = plan_confirmation(NAME, tmp_path / "results")
    assert plan_after.missing == len(plan.cells) - 3  # one is finished, one failed, and that candidate is dropped
    assert 0 < plan_after.seconds < plan.seconds
    for cell in plan_before.cells:
        write_row(plan_before, cell, "complete")
    finished = plan_confirmation(NAME, tmp_path / "results")
    assert (finished.missing, finished.seconds) == (0, 0.0)
    (first_folder / ROW_FILE).write_text("{")  # it is trained again
    assert plan_confirmation(NAME, tmp_path / "results").missing == 1


def test_no_fold_holds_a_row_after_the_block_that_it_predicts(plan: ConfirmationPlan) -> None:
    ends = [fold.borders.test[1] for fold in plan.folds]
    assert len(set(ends)) == len(ends) == 2
    assert ends[-1] <= plan.dataset.borders.test[0]
    for fold, end in zip(plan.folds, ends, strict=True):
        assert fold.timestamps.max() < end
        assert len(fold.test) >= MIN_FOLD_ROWS
        rows = np.searchsorted(plan.dataset.timestamps, fold.timestamps[fold.test])  # of the one symbol
        np.testing.assert_array_equal(fold.log_prices[fold.test], plan.dataset.log_prices[rows])


def test_a_confirmation_on_recorded_bars_has_a_ledger_entry(tmp_path: Path) -> None:
    path = tmp_path / "binance_BTCUSDT_5m.parquet"
    random_bars(5000).frame.to_parquet(path)
    plan = plan_confirmation(NAME, make_searched_campaign(tmp_path / "results", DataConfig(files=(path,))).parent)
    assert isinstance(plan.ledger_entry, LedgerEntry)
    assert (plan.ledger_entry.exchange, plan.ledger_entry.symbols, plan.ledger_entry.interval) == (
        "binance",
        ["BTCUSDT"],
        "5m",
    )
    assert plan.ledger_entry.test[0] > plan.ledger_entry.val[1]
    assert plan.ledger_entry.trials == 3


def test_a_confirmation_on_the_synthetic_market_has_no_ledger_entry(plan: ConfirmationPlan) -> None:
    assert plan.ledger_entry is None


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        (ConfirmConfig(folds=50), DataError, "usable"),
        (ConfirmConfig(top=100, seeds=1, folds=1), None, ""),
    ],
)
def test_too_many_folds_are_refused_and_too_many_candidates_are_not(
    root: Path, settings: ConfirmConfig, error: type[Exception] | None, message: str
) -> None:
    if error is None:
        assert len(plan_confirmation(NAME, root, settings).candidates) == 3
    else:
        with pytest.raises(error, match=message):
            plan_confirmation(NAME, root, settings)


def test_another_incumbent_can_be_named(root: Path) -> None:
    plan = plan_confirmation(NAME, root, incumbent="conservative")
    assert plan.incumbent == "conservative"
    assert (
        plan.candidates[-1].recipe.loss.focal_gamma == presets.load_preset("conservative").hyperparameters.focal_gamma
    )


def test_a_campaign_without_a_full_trial_is_refused(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "results")
    path = tmp_path / "results" / NAME / TRIALS_FILE
    trials = pd.read_parquet(path)
    write_table(path, trials[trials["status"] != COMPLETE])
    manifest.write_manifest(CampaignFolder(path.parent))
    with pytest.raises(ConfigError, match="no full-fidelity trial to confirm"):
        plan_confirmation(NAME, tmp_path / "results")


@pytest.mark.parametrize("name", [TRIALS_FILE, JOURNAL_FILE, "predictions.parquet"])
def test_a_search_with_damaged_files_is_not_confirmed(root: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(root, tmp_path / "results")
    folder = tmp_path / "results" / NAME
    shutil.rmtree(folder / "checkpoints")
    plan_confirmation(NAME, tmp_path / "results")
    (folder / name).write_bytes((folder / name).read_bytes()[:-40])
    with pytest.raises(ConfigError, match=name):
        plan_confirmation(NAME, tmp_path / "results")


def test_a_campaign_that_has_read_test_is_not_resumed(tmp_path: Path) -> None:
    path = tmp_path / "binance_BTCUSDT_5m.parquet"
    random_bars(5000).frame.to_parquet(path)
    root = make_searched_campaign(tmp_path / "results", DataConfig(files=(path,))).parent
    plan = plan_confirmation(NAME, root)
    entry = plan.entry_for(Cell(plan.candidates[0], plan.seeds[0], TEST))
    assert entry is not None
    assert entry.reads != plan.entry_for(Cell(plan.candidates[1], plan.seeds[0], TEST)).reads  # type: ignore[union-attr]
    ledger.append_entry(root / LEDGER_FILE, entry)  # and then it is killed: there is no verdict
    with pytest.raises(ConfigError, match="has read its test span"):
        campaign.resume_campaign(plan.campaign, InProcessEngine())


def test_the_best_trials_and_the_incumbent_are_candidates(plan: ConfirmationPlan, root: Path) -> None:
    ranked = CampaignFolder(root / NAME).read_ranked_trials()
    assert [candidate.number for candidate in plan.candidates] == [trial.number for trial in ranked[:2]] + [INCUMBENT]
    assert len(plan.cells) == 3 * 2 * 2
    assert len({cell.key("same", 2) for cell in plan.cells}) == len(plan.cells)
    assert plan.seconds > 0


def test_no_cell_has_the_seed_of_the_search_or_sees_val_or_test(plan: ConfirmationPlan) -> None:
    assert plan.campaign.config.seed not in plan.seeds
    for fold in plan.folds:
        reach = fold.horizon * fold.bar
        used = np.concatenate([fold.train, fold.val, fold.test])
        assert (fold.timestamps[used] + reach).max() < plan.dataset.borders.train[1]
        assert (fold.timestamps[fold.train] + reach).max() < fold.timestamps[fold.val].min() - (
            fold.window - 1
        ) * fold.bar
        assert (fold.timestamps[fold.val] + reach).max() < fold.timestamps[fold.test].min()
