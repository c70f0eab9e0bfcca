from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import ConfigError
from core.files import to_yaml
from search.config import CampaignConfig, CellsConfig, study_settings
from search.engine.simulated import SimulatedEngine, SimulatedWorkers
from search.results.folder import CampaignFolder
from search.simulation.recorded_campaign import (
    CampaignProblem,
    RecordedCampaign,
    continue_scores,
    continue_seconds,
    read_campaign,
)
from search.simulation.simulate import Strategy, simulate
from search.study.controller import Budget, Controller, Rules
from search.study.space import Choice, SpaceConfig
from search.study.study import CampaignStudy
from search.study.trial_record import EpochRecord, TrialAssignment
from tests.helpers.campaigns import config
from tests.helpers.trial_records import epoch_record

RESULTS = Path(__file__).parents[3] / "results"
CONFIG = config().model_copy(update={"trials": 40, "max_epochs": 9, "grace": 1, "sampler": "random"})
CELLS = CONFIG.model_copy(
    update={
        "cells": CellsConfig(folds=3, seeds=3),
        "asha": "promotion",
        "policy": "pruned",
        "train_incumbent": False,
    }
)


def less_dropout_is_better(trial: TrialAssignment, epoch: int) -> float:
    """Score of a made-up training, with noise of its own."""
    noise = np.random.default_rng([trial.number, epoch]).normal()
    return float(0.5 - trial.params["dropout"] - 0.1 / epoch + 0.01 * noise)


def noise_alone(trial: TrialAssignment, epoch: int) -> float:
    """Score that no hyperparameter changes."""
    return float(np.random.default_rng([trial.number, epoch]).normal())


class MadeUp:
    """Learning curves of trainings whose scores a function gives; an epoch takes two seconds."""

    def __init__(self, score: Callable[[TrialAssignment, int], float], by_cells: bool) -> None:
        self._score, self._by_cells = score, by_cells

    def epoch(self, trial: TrialAssignment, epoch: int) -> EpochRecord:
        scores = [self._score(trial, number) for number in range(1, epoch + 1)]
        value = scores[-1] if self._by_cells else max(scores)  # the controller averages cells
        return replace(epoch_record(epoch, value), score=scores[-1])


def make_campaign(
    root: Path,
    settings: CampaignConfig = CONFIG,
    score: Callable[[TrialAssignment, int], float] = less_dropout_is_better,
    trials: int | None = None,
) -> CampaignFolder:
    """Make the folder of a campaign whose trials ASHA has stopped, but no process has trained."""
    folder = CampaignFolder(root / settings.name)
    folder.path.mkdir(parents=True)
    folder.config_file.write_text(to_yaml({"config": settings.model_dump(mode="json")}))
    study = CampaignStudy(folder.journal, study_settings(settings))
    by_cells = settings.cells is not None
    rules = Rules(settings.steps, 1, settings.reduction, 2, variant=settings.asha, averages=by_cells)
    controller = Controller(study, rules, Budget(trials or settings.trials))
    engine = SimulatedEngine(MadeUp(score, by_cells), SimulatedWorkers(2))
    engine.run_trials(None, None, controller, Path(), lambda: None, 2)
    study.close()
    return folder


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> RecordedCampaign:
    return read_campaign(make_campaign(tmp_path_factory.mktemp("epochs")))


@pytest.fixture(scope="module")
def by_cells(tmp_path_factory: pytest.TempPathFactory) -> RecordedCampaign:
    return read_campaign(make_campaign(tmp_path_factory.mktemp("cells"), CELLS))


def _trial(number: int, dropout: float) -> TrialAssignment:
    params = {"learning_rate": 1e-4, "batch_size": 128, "weight_decay": 0.01, "dropout": dropout}
    return TrialAssignment(number, 1, 0, {**params, "focal_gamma": 2.0, "mixup_alpha": 0.2})


def _cut(whole: np.ndarray, lengths: list[int]) -> np.ndarray:
    cut = whole.copy()
    for row, length in enumerate(lengths):
        cut[row, length:] = np.nan
    return cut


def test_a_curve_is_continued_by_the_regression_of_those_that_went_on() -> None:
    first = np.array([0.1, 0.2, 0.3, 0.4, 0.6])
    whole = np.stack([first, 0.1 + 0.5 * first, 0.7 + 0.2 * first], axis=1)
    np.testing.assert_allclose(continue_scores(_cut(whole, [1, 1, 3, 3, 3])), whole)


@pytest.mark.parametrize(("slope", "kept"), [(2.0, 1.0), (-1.0, 0.0)])
def test_the_distance_to_the_others_neither_grows_nor_turns(slope: float, kept: float) -> None:
    first = np.array([0.1, 0.3, 0.4, 0.5])
    continued = continue_scores(_cut(np.stack([first, slope * first], axis=1), [1, 2, 2, 2]))
    assert continued[0, 1] == pytest.approx(slope * 0.4 + kept * (0.1 - 0.4))


def test_with_few_to_compare_with_curves_are_parallel_or_stay_where_they_are() -> None:
    first = np.array([0.1, 0.3, 0.5])
    whole = np.stack([first, 0.1 * first, 0.1 * first], axis=1)
    continued = continue_scores(_cut(whole, [1, 2, 2]))
    assert continued[0].tolist() == pytest.approx([0.1, 0.04 - 0.3, 0.04 - 0.3])
    np.testing.assert_allclose(continued[1:, 2], whole[1:, 1])  # nobody went on


def test_stopping_by_the_score_leaves_the_continued_curves_without_bias() -> None:
    rng = np.random.default_rng(0)
    quality = 0.1 * rng.normal(size=3000)
    whole = 0.5 + quality[:, None] + 0.1 * rng.normal(size=(3000, 2)) + [0.0, 0.05]
    stopped = whole[:, 0] < np.quantile(whole[:, 0], 2 / 3)
    continued = continue_scores(_cut(whole, [1 if is_stopped else 2 for is_stopped in stopped]))
    assert continued[:, 1].mean() == pytest.approx(whole[:, 1].mean(), abs=0.01)
    assert whole[~stopped, 1].mean() > whole[:, 1].mean() + 0.05  # as the stopped trials left out would have it


def test_times_are_continued_in_proportion_to_those_that_went_on() -> None:
    seconds = np.array([[4.0, np.nan, np.nan], [1.0, 2.0, 0.5], [3.0, 6.0, np.nan]])
    np.testing.assert_allclose(continue_seconds(seconds), [[4.0, 8.0, 2.0], [1.0, 2.0, 0.5], [3.0, 6.0, 1.5]])


def test_the_journal_of_a_campaign_is_read(recorded: RecordedCampaign) -> None:
    assert len(recorded.lengths) == 40
    assert set(recorded.lengths) == {1, 3, 9}
    assert recorded.complete == int((recorded.lengths == 9).sum()) >= 3
    assert recorded.worker_hours == pytest.approx(recorded.lengths.sum() * 2 / 3600)
    assert recorded.strategy == Strategy("random", "complete", "stopping", 1, 3, "epochs")
    assert np.isfinite(recorded.curves.recorded("score", 0)).all()


def test_trials_that_tell_nothing_are_left_out_and_a_campaign_may_be_running(tmp_path: Path) -> None:
    folder = make_campaign(tmp_path)
    study = CampaignStudy(folder.journal, study_settings(CONFIG))
    failed, infinite, _ = (study.ask().number for _ in range(3))
    study.report(failed, epoch_record(1, 0.9))
    study.end(failed, "failed", "for a reason")
    study.report(infinite, epoch_record(1, math.nan))
    recorded = read_campaign(folder)  # while the journal is open
    study.close()
    assert len(recorded.lengths) == 40
    assert recorded.worker_hours == pytest.approx(recorded.lengths.sum() * 2 / 3600)


def test_a_campaign_of_too_few_trials_is_refused_with_what_it_lacks(tmp_path: Path) -> None:
    short = CONFIG.model_copy(update={"max_epochs": 2, "reduction": 2})
    with pytest.raises(ConfigError, match=r"9 trials that reached its first rung, [3-9] of them complete: too few"):
        read_campaign(make_campaign(tmp_path / "few", short, trials=9))
    settings = CONFIG.model_copy(update={"reduction": 9})
    with pytest.raises(ConfigError, match=r"Let it reach 10 such trials, 3 of them complete"):
        read_campaign(make_campaign(tmp_path / "stopped", settings, trials=12))


def test_the_surrogate_is_believed_only_where_it_predicts_trials_that_it_has_not_seen(
    recorded: RecordedCampaign, tmp_path: Path
) -> None:
    assert recorded.agreement > 0.8
    assert recorded.can_rank
    luck = read_campaign(make_campaign(tmp_path / "luck", score=noise_alone))
    assert abs(luck.agreement) < 0.4
    assert not luck.can_rank
    equal = read_campaign(make_campaign(tmp_path / "equal", score=lambda *_: 0.5))
    assert (equal.agreement, equal.can_rank) == (0.0, False)
    found = simulate(CampaignProblem(equal, 0), Strategy("random"), SimulatedWorkers(2), Budget(5), seed=0)
    assert found.regret == 0.0


def test_a_trial_reports_its_best_epoch_so_far_and_noise_of_its_own(recorded: RecordedCampaign) -> None:
    problem = CampaignProblem(recorded, seed=0)
    records = [problem.epoch(_trial(3, 0.3), epoch) for epoch in range(1, 10)]
    scores = [record.score for record in records]
    assert [record.value for record in records] == list(np.maximum.accumulate(scores))
    assert [record.best_epoch for record in records] == [1 + int(np.argmax(scores[:epoch])) for epoch in range(1, 10)]
    assert {round(record.seconds, 9) for record in records} == {2.0}
    assert scores[4] == problem.epoch(_trial(3, 0.3), 5).score
    assert scores[4] != problem.epoch(_trial(4, 0.3), 5).score
    assert scores[4] != CampaignProblem(recorded, seed=1).epoch(_trial(3, 0.3), 5).score


def test_the_noise_is_what_the_surrogate_misses_of_complete_trials_that_it_has_not_seen(
    recorded: RecordedCampaign,
) -> None:
    assert recorded.noises.shape == (recorded.complete, 9)
    fitted = recorded.curves.mean_curves("score", 0, recorded.curves.sample)
    assert 0.01 < recorded.noises.std() < 2 * fitted[:, -1].std()


def test_of_a_campaign_by_cells_a_step_is_a_cell_and_the_value_the_mean_so_far(by_cells: RecordedCampaign) -> None:
    problem = CampaignProblem(by_cells, seed=0)
    records = [problem.epoch(_trial(3, 0.3), cell) for cell in range(1, 10)]
    scores = [record.score for record in records]
    np.testing.assert_allclose([record.value for record in records], np.cumsum(scores) / np.arange(1, 10))
    assert [record.best_epoch for record in records] == list(range(1, 10))
    assert by_cells.strategy == Strategy("random", "pruned", "promotion", 1, 3, "cells")
    assert problem.quality(_trial(0, 0.3).params) == pytest.approx(
        np.mean([0.5 - 0.3 - 0.1 / cell for cell in range(1, 10)]), abs=0.1
    )


@pytest.mark.parametrize("kind", ["recorded", "by_cells"])
def test_what_is_better_is_known_and_the_campaign_itself_is_simulated_as_it_was(
    kind: str, request: pytest.FixtureRequest
) -> None:
    campaign: Any = request.getfixturevalue(kind)
    problem = CampaignProblem(campaign, seed=0)
    assert problem.quality(_trial(0, 0.05).params) > problem.quality(_trial(0, 0.5).params)
    assert problem.best > problem.typical
    found = [
        simulate(CampaignProblem(campaign, seed), campaign.strategy, SimulatedWorkers(2), Budget(40), seed)
        for seed in range(5)
    ]
    assert np.mean([simulated.epochs for simulated in found]) == pytest.approx(campaign.lengths.sum(), rel=0.25)
    assert np.mean([simulated.worker_hours for simulated in found]) == pytest.approx(campaign.worker_hours, rel=0.25)
    assert np.mean([simulated.regret for simulated in found]) < 0.7


def test_a_window_that_was_searched_is_part_of_the_simulated_space(tmp_path: Path) -> None:
    settings = CONFIG.model_copy(update={"space": SpaceConfig(window=Choice(values=(8, 60)))})
    problem = CampaignProblem(
        read_campaign(make_campaign(tmp_path, settings, lambda trial, _: trial.params["window"] / 60)), seed=0
    )
    short, long = ({**_trial(0, 0.3).params, "window": window} for window in (8, 60))
    assert problem.quality(long) > problem.quality(short) + 0.5
    assert simulate(problem, Strategy("random"), SimulatedWorkers(2), Budget(9), seed=0).trials == 9


@pytest.mark.parametrize(("name", "can_rank"), [("btc-eth-15m-8m", True), ("btc-eth-5m-30d", False)])
def test_committed_campaigns_say_what_they_can_tell(name: str, can_rank: bool) -> None:
    recorded = read_campaign(CampaignFolder.find(RESULTS, name))
    assert recorded.can_rank == can_rank
    assert len(recorded.lengths) == recorded.config.trials
