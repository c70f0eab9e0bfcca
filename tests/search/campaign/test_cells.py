"""Campaigns whose trials are ranked by cells, from start to verdict, in this process."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.config import DataConfig, SyntheticConfig, TrainingConfig
from core.data.file_format import iso
from core.errors import ConfigError, DataError
from core.evaluation.baselines import majority
from search.campaign.plan import make_ledger_entry, plan_campaign, plan_resume
from search.campaign.run import resume_campaign, run_campaign
from search.config import CampaignConfig, CellsConfig, ConfirmConfig, resolve_config, study_settings
from search.confirmation.candidates import Candidate, Cell
from search.confirmation.plan import plan_confirmation
from search.confirmation.run import run_confirmation
from search.engine.in_process import InProcessEngine
from search.results.folder import CampaignFolder
from search.results.ledger_entry import READ_SPANS
from search.study.replay import replay_study
from search.study.space import Choice, SpaceConfig
from tests.helpers.campaigns import NAME
from tests.helpers.market import random_bars
from tests.search.campaign.test_run import Interrupted

pytestmark = pytest.mark.costly


def _config(**changes: object) -> CampaignConfig:
    config = CampaignConfig(
        name=NAME,
        data=DataConfig(synthetic=SyntheticConfig(bars=5000), window=8),
        trials=4,
        max_epochs=1,
        cells=CellsConfig(folds=2, seeds=2),
        asha="promotion",
        policy="pruned",
        reduction=2,
        ask=(),
        sampler="tpe",
        incumbent="quick_experiment",
        incumbent_epochs=1,
        model="quick",
        space=SpaceConfig(batch_size=Choice(values=(256,))),
        confirm=ConfirmConfig(top=1, seeds=1, folds=2),
        device="cpu",
    )
    return config.model_copy(update=changes)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> CampaignFolder:
    root = tmp_path_factory.mktemp("cells")
    assert run_campaign(plan_campaign(_config(), root), InProcessEngine()).ended_by == "trials"
    return CampaignFolder(root / NAME)


def test_a_trial_takes_the_latest_fold_first_and_all_folds_before_another_seed(tmp_path: Path) -> None:
    cells = plan_campaign(_config(), tmp_path).cells
    assert [fold for fold, _ in cells] == [1, 0, 1, 0]
    assert cells[0][1] == cells[1][1] == 0
    assert cells[2][1] == cells[3][1] > 100  # no seed that a confirmation takes


def test_the_value_of_a_trial_is_the_mean_over_its_cells(searched: CampaignFolder) -> None:
    curves, trials = searched.read_curves(), searched.read_trials().set_index("number")
    assert (trials["status"] == "complete").any()
    for number, rows in curves.groupby("number"):
        rows = rows.sort_values("epoch")
        np.testing.assert_allclose(rows["value"], rows["score"].expanding().mean())
        assert trials.loc[number, "value"] == pytest.approx(rows["score"].mean())
        assert trials.loc[number, "val_auc"] == pytest.approx(rows["val_auc"].mean())
    assert set(trials.loc[trials["status"] == "complete", "epochs"]) == {4}


def test_the_proposals_can_be_replayed(searched: CampaignFolder) -> None:
    assert replay_study(searched.journal, study_settings(_config())).equal == 4


def test_the_summary_compares_on_the_folds(searched: CampaignFolder) -> None:
    plan = plan_resume(NAME, searched.path.parent, None, None)
    assert all(fold.borders.test[1] <= plan.dataset.borders.val[0] for fold in plan.folds)
    summary = json.loads(searched.summary.read_text())
    accuracies = [(fold.labels[fold.test] == majority(fold, fold.test).argmax(axis=1)).mean() for fold in plan.folds]
    assert len(accuracies) == 2
    assert summary["majority"]["val"]["accuracy"] == pytest.approx(np.mean(accuracies))
    predictions = pd.read_parquet(searched.path / "predictions.parquet")
    complete = searched.read_trials().query("status == 'complete'")["number"]
    assert set(predictions["number"]) == set(complete)


def test_it_is_confirmed_on_val_which_no_trial_has_seen(searched: CampaignFolder) -> None:
    plan = plan_confirmation(NAME, searched.path.parent)
    val = plan.campaign.dataset.borders.val
    assert plan.folds[-1].borders.test[1] == val[1]
    assert all(fold.borders.test[0] >= plan.campaign.folds[-1].borders.test[1] for fold in plan.folds)
    verdict = run_confirmation(plan, InProcessEngine())
    assert verdict.status in ("certified", "not certified", "too short to tell")


@pytest.mark.parametrize("reports", [1, 3, 6])
def test_interrupted_anywhere_it_trains_no_cell_twice(searched: CampaignFolder, tmp_path: Path, reports: int) -> None:
    assert run_campaign(plan_campaign(_config(sampler="random"), tmp_path), Interrupted(reports)).unfinished
    resumed = resume_campaign(plan_resume(NAME, tmp_path, None, None), InProcessEngine())
    assert (resumed.ended_by, resumed.differences) == ("trials", [])
    curves = CampaignFolder(tmp_path / NAME).read_curves()
    assert not curves.duplicated(["number", "epoch"]).any()
    for _, rows in curves.groupby("number"):
        np.testing.assert_allclose(rows["value"], rows["score"].expanding().mean())


def test_cells_bring_their_own_defaults(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("name: c\ndata: {synthetic: {}}\ncells: {folds: 3, seeds: 3}\n")
    config = resolve_config(file, {}, {})
    assert (config.max_epochs, config.asha, config.policy) == (6, "promotion", "pruned")
    assert (config.steps, config.rungs) == (9, (1, 3))
    file.write_text("name: c\ndata: {synthetic: {}}\ncells: {folds: 2}\nmax_epochs: 3\nasha: stopping\n")
    config = resolve_config(file, {}, {})
    assert (config.max_epochs, config.asha, config.steps) == (3, "stopping", 6)
    file.write_text("name: c\ndata: {synthetic: {}}\ncells: {folds: 2}\ntrain_incumbent: true\n")
    with pytest.raises(ConfigError, match="train_incumbent has no effect beside cells"):
        resolve_config(file, {}, {})


def test_values_of_cells_and_of_epochs_are_not_compared() -> None:
    with_cells, without = _config(), _config(cells=None)
    assert with_cells.identity("f", "v", TrainingConfig()) != without.identity("f", "v", TrainingConfig())


def test_the_ledger_says_which_blocks_a_search_by_cells_ranks_on(tmp_path: Path) -> None:
    random_bars(6000).frame.to_parquet(tmp_path / "binance_BTCUSDT_5m.parquet")
    data = DataConfig(files=(tmp_path / "binance_BTCUSDT_5m.parquet",), window=8)
    for cells in (CellsConfig(folds=2, seeds=1), None):
        plan = plan_campaign(_config(data=data, cells=cells), tmp_path / "results")
        entry = make_ledger_entry(plan, "2024-01-01", "search", datetime.now(UTC))
        assert entry is not None
        ends = [plan.folds[0].borders.test[0], plan.folds[1].borders.test[1]] if cells is not None else []
        assert entry.folds == [iso(edge) for edge in ends]
    assert READ_SPANS["search"] == ("val", "folds")


def test_what_the_confirmation_will_need_is_checked_before_the_search(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Only .* usable .* rows"):
        plan_campaign(_config(confirm=ConfirmConfig(folds=20)), tmp_path)


def test_a_batch_must_fit_into_each_fold(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="batch of 2500 is larger than the"):  # train has more rows, the folds do not
        plan_campaign(_config(space=SpaceConfig(batch_size=Choice(values=(2500,)))), tmp_path)
    assert len(plan_campaign(_config(cells=None), tmp_path).dataset.train) > 2500


def test_cells_of_a_confirmation_within_val_are_not_those_of_one_before_it() -> None:
    recipe = TrainingConfig()
    cell = Cell(Candidate(0, {}, recipe, 1), 0, "fold 1")
    assert cell.key("same", 2) != cell.key("same", 2, (1, 2)) != cell.key("same", 2, (1, 3))
