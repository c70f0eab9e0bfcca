from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import ConfigError
from search.study.asha import Decision
from search.study.controller import Budget, Controller, Rules
from search.study.replay import replay_study
from search.study.retries import TrainingFailure
from search.study.rungs import Rungs
from search.study.settings import SamplerKind
from search.study.study import CampaignStudy
from search.study.trial_record import TrialRecord
from tests.helpers.controllers import SETTINGS, ControllerFactory, report_values, start_trial
from tests.helpers.trial_records import epoch_record

RULES = Rules(max_epochs=9, grace=1, reduction=3, concurrency=3, variant="promotion")
PAUSES = (1, 3)


def _trial(number: int, *values: float) -> TrialRecord:
    """A trial with these values, which a rung at its last epoch has paused."""
    epochs = {epoch: epoch_record(epoch, value) for epoch, value in enumerate(values, start=1)}
    if (last := len(values)) in PAUSES:
        epochs[last] = replace(epochs[last], decision=Decision(last, values[-1], 1, 1, 0, "pause"))
    return TrialRecord(number, {}, "sampler", epochs)


def _at_first_rung(*values: float) -> Rungs:
    """Rungs at which trials 0, 1, … are paused with these values."""
    return Rungs(PAUSES, 3, "promotion", [_trial(number, value) for number, value in enumerate(values)])


def test_the_best_third_of_a_rung_is_promoted_the_best_first() -> None:
    rungs = _at_first_rung(0.1, 0.5, 0.3, 0.4, 0.2, 0.0)
    assert [rungs.promote(at_end=False) for _ in range(3)] == [1, 3, None]
    assert set(rungs.paused) == {0, 2, 4, 5}


def test_a_higher_rung_comes_first() -> None:
    trials = [_trial(number, 0.1 * number) for number in range(6)]
    trials += [_trial(number, 0.9, 0.9, 0.1 * number) for number in range(6, 9)]
    rungs = Rungs(PAUSES, 3, "promotion", trials)
    assert rungs.promote(at_end=False) == 8
    assert rungs.promote(at_end=False) is None  # the others of the best third of rung 1 have gone on already


def test_with_fewer_trials_than_the_reduction_one_goes_on_when_no_others_come() -> None:
    rungs = _at_first_rung(0.1, 0.5)
    assert rungs.promote(at_end=False) is None
    assert rungs.promote(at_end=True) == 1
    assert rungs.promote(at_end=True) is None


def test_of_equal_trials_the_earlier_goes_on() -> None:
    assert _at_first_rung(0.5, 0.5, 0.5).promote(at_end=False) == 0


@pytest.mark.parametrize(
    ("values", "value", "action"),
    [
        ((0.1, 0.2), 0.3, "continue"),  # the best of three
        ((0.1, 0.3), 0.2, "pause"),  # not among the best third
        ((), 0.3, "pause"),  # nothing to compare with
        ((0.9, 0.1, 0.1, 0.1, 0.1), 0.8, "pause"),  # among the best third, but the best waits
        ((0.1, 0.2), float("nan"), "stop"),
    ],
)
def test_a_trial_at_a_rung_goes_on_at_once_only_if_it_is_the_one_to_promote(
    values: tuple[float, ...], value: float, action: str
) -> None:
    rungs = _at_first_rung(*values)
    decision = rungs.decide(_trial(99), epoch_record(1, value))
    assert decision is not None
    assert decision.action == action
    rungs.record(99, epoch_record(1, value), decision)
    assert (99 in rungs.paused) == (action == "pause")


def test_nothing_is_decided_between_the_rungs() -> None:
    rungs = _at_first_rung(0.1, 0.2, 0.3)
    assert rungs.decide(_trial(2, 0.3), epoch_record(2, 0.0)) is None


def test_a_reason_says_why_a_trial_did_not_go_on() -> None:
    rungs = _at_first_rung(0.1, 0.5, 0.3, 0.4)
    rungs.promote(at_end=False)
    assert dict(rungs.reasons()) == {
        0: "not promoted at rung 1: rank 4 of 4, not in the top 1",
        2: "not promoted at rung 1: rank 3 of 4, not in the top 1",
        3: "not promoted at rung 1: rank 2 of 4, not in the top 1",
    }


def test_the_controller_pauses_promotes_and_ends_trials(controllers: ControllerFactory) -> None:
    controller = controllers.open(rules=RULES, budget=Budget(trials=4))
    first, second, third = (start_trial(controller) for _ in range(3))
    assert report_values(controller, first, 0.3) == ["pause"]
    assert controller.next_trial() == "wait"  # its process has not been given up yet
    controller.on_released(first, 1)
    assert report_values(controller, second, 0.2) == ["pause"]
    assert report_values(controller, third, 0.1) == ["pause"]
    for number in (second, third):
        controller.on_released(number, 1)
    assert start_trial(controller) == first  # the best of three, before a new one
    assert controller.study.trials[first].attempts == 2
    fourth = start_trial(controller)
    assert report_values(controller, fourth, 0.05) == ["pause"]
    controller.on_released(fourth, 1)
    assert report_values(controller, first, 0.3, 0.3) == ["continue", "pause"]
    controller.on_released(first, 2)
    assert start_trial(controller) == first  # the only one at its rung, and no others come
    assert controller.end_reason == "trials"
    assert report_values(controller, first, *[0.3] * 6)[-1] == "stop"
    assert controller.next_trial() == "finished"
    outcomes = {number: trial.outcome for number, trial in controller.study.trials.items()}
    assert outcomes == {first: "complete", second: "stopped", third: "stopped", fourth: "stopped"}
    assert {trial.number for trial in controllers.ended} == set(outcomes)


def test_paused_trials_are_paused_after_a_resume_and_the_others_go_on(controllers: ControllerFactory) -> None:
    controller = controllers.open(rules=RULES, budget=Budget(trials=4))
    for value in (0.3, 0.2):
        number = start_trial(controller)
        report_values(controller, number, value)
        controller.on_released(number, 1)
    running = start_trial(controller)
    resumed = controllers.open(rules=RULES, budget=Budget(trials=4))
    assert list(resumed.waiting) == [running]
    assert start_trial(resumed) == running


def test_a_trial_that_a_rung_let_go_on_goes_on_after_a_resume_though_others_overtook_it(
    controllers: ControllerFactory,
) -> None:
    rules, budget = replace(RULES, reduction=2, concurrency=4), Budget(trials=4)
    controller = controllers.open(rules=rules, budget=budget)
    first, second, third, fourth = (start_trial(controller) for _ in range(4))
    answers = [
        report_values(controller, n, v)[0]
        for n, v in zip((first, second, third, fourth), (0.1, 0.2, 0.9, 0.95), strict=True)
    ]
    assert answers == ["pause", "continue", "continue", "continue"]
    resumed = controllers.open(rules=rules, budget=budget)
    assert set(resumed.waiting) == {second, third, fourth}


def test_a_trial_that_was_promoted_is_not_paused_again_by_a_resume(controllers: ControllerFactory) -> None:
    controller = controllers.open(rules=RULES, budget=Budget(trials=9))
    for value in (0.3, 0.2, 0.1):
        number = start_trial(controller)
        report_values(controller, number, value)
        controller.on_released(number, 1)
    assert start_trial(controller) == 0
    assert list(controllers.open(rules=RULES, budget=Budget(trials=9)).waiting) == [0]


def test_paused_trials_count_for_the_budget_of_convergence_once(controllers: ControllerFactory) -> None:
    rules = replace(RULES, concurrency=1)
    controller = controllers.open(rules=rules, budget=Budget(trials=99, convergence=4))
    for value in (0.9, 0.5, 0.4, 0.3):
        number = start_trial(controller)
        while report_values(controller, number, value)[-1] == "continue":
            pass
        controller.on_released(number, controller.study.trials[number].attempt_id)
    controller.next_trial()
    assert controller.end_reason is None
    running = next(iter(controller.running))
    while report_values(controller, running, 0.2)[-1] == "continue":
        pass
    controller.on_released(running, controller.study.trials[running].attempt_id)
    while (trial := controller.next_trial()) != "finished":
        assert isinstance(trial, TrialRecord)
        while report_values(controller, trial.number, 0.2)[-1] == "continue":
            pass
        controller.on_released(trial.number, trial.attempt_id)
    assert controller.end_reason == "convergence"
    assert len(controller.study.trials) < 10


@pytest.mark.parametrize("event", ["all lost", "failure"])
def test_a_paused_trial_whose_process_is_lost_before_it_is_released_stays_paused(
    controllers: ControllerFactory, event: str
) -> None:
    controller = controllers.open(rules=replace(RULES, concurrency=1), budget=Budget(trials=3))
    number = start_trial(controller)
    assert report_values(controller, number, 0.3) == ["pause"]
    failure = TrainingFailure("death", "it is gone")
    if event == "all lost":
        controller.on_all_lost(failure)
    else:
        controller.on_failure(number, failure)
    assert start_trial(controller) == number + 1
    assert not controller.waiting


def test_the_variant_cannot_be_changed_by_a_resume(tmp_path: Path) -> None:
    for before, after in (((), PAUSES), (PAUSES, ())):
        path = tmp_path / f"{len(before)}.log"
        CampaignStudy(path, replace(SETTINGS, pauses=before)).close()
        with pytest.raises(ConfigError, match="pauses of campaign"):
            CampaignStudy(path, replace(SETTINGS, pauses=after))


def test_asked_to_stop_paused_trials_stay_open(controllers: ControllerFactory) -> None:
    controller = controllers.open(rules=RULES, budget=Budget(trials=1))
    number = start_trial(controller)
    report_values(controller, number, 0.3)
    controller.on_released(number, 1)
    controller.stop_requested = lambda: True
    assert controller.next_trial() == "finished"
    assert controller.study.trials[number].outcome is None


@pytest.mark.parametrize("budget", [Budget(trials=99, epochs=4), Budget(trials=99, hours=1.0)])
def test_when_another_budget_is_spent_one_trial_reaches_full_fidelity(
    controllers: ControllerFactory, budget: Budget
) -> None:
    controller = controllers.open(rules=replace(RULES, concurrency=1), budget=budget)
    for value in (0.1, 0.5):
        number = start_trial(controller)
        report_values(controller, number, value)
        controller.on_released(number, 1)
    number = start_trial(controller)
    assert report_values(controller, number, 0.9, 0.9) == ["continue", "continue"]  # the best of three goes on at once
    controllers.now = 3600.0
    assert report_values(controller, number, 0.9) == ["pause"]
    controller.on_released(number, 1)
    assert start_trial(controller) == number
    assert controller.end_reason in ("epochs", "hours")
    assert report_values(controller, number, *[0.9] * 6)[-1] == "stop"
    assert controller.next_trial() == "finished"
    assert [trial.outcome for trial in controller.study.trials.values()] == ["stopped", "stopped", "complete"]


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_what_the_sampler_learns_of_paused_trials_can_be_replayed(tmp_path: Path, sampler: SamplerKind) -> None:
    of_study = replace(SETTINGS, sampler=sampler, pauses=PAUSES)
    study = CampaignStudy(tmp_path / "journal.log", of_study)
    controller = Controller(study, replace(RULES, concurrency=2), Budget(trials=27))
    _run(controller, np.random.default_rng(0))
    study.close()
    assert replay_study(tmp_path / "journal.log", of_study).equal == 27


def _run(controller: Controller, rng: np.random.Generator) -> int:
    """Run trials of random values to the end, an epoch of each in turn; return the number of epochs."""
    epochs = 0
    running: dict[int, int] = {}
    while True:
        trial = controller.next_trial()
        if isinstance(trial, TrialRecord):
            running[trial.number] = trial.attempt_id
            continue
        if not running:
            assert trial == "finished"
            return epochs
        for number, attempt_id in list(running.items()):
            epochs += 1
            if report_values(controller, number, float(rng.normal()))[-1] != "continue":
                del running[number]
                controller.on_released(number, attempt_id)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), trials=st.integers(1, 30), concurrency=st.integers(1, 8))
def test_every_trial_ends_once_and_the_best_third_of_each_rung_goes_on(
    tmp_path_factory: pytest.TempPathFactory, seed: int, trials: int, concurrency: int
) -> None:
    study = CampaignStudy(tmp_path_factory.mktemp("run") / "journal.log", replace(SETTINGS, pauses=PAUSES))
    controller = Controller(study, replace(RULES, concurrency=concurrency), Budget(trials=trials))
    epochs = _run(controller, np.random.default_rng(seed))
    records = study.trials.values()
    study.close()
    assert [trial.outcome is not None for trial in records] == [True] * trials
    assert sorted(trial.number for trial in study.ended) == list(range(trials))
    assert epochs == sum(trial.last_epoch for trial in records)
    for rung in PAUSES:
        at_rung = sorted((trial for trial in records if trial.last_epoch >= rung), key=lambda t: -t.epochs[rung].value)
        best = at_rung[: max(len(at_rung) // 3, 1)]
        assert all(trial.last_epoch > rung for trial in best)
