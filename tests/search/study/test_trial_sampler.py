from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from search.study.proposals import propose
from search.study.samplers import LEARNED_STATES, STARTUP_TRIALS, make_sampler
from search.study.settings import SamplerKind, StudySettings
from search.study.study import CampaignStudy
from search.study.trial_sampler import TrialSampler, sobol_point
from tests.helpers.controllers import SETTINGS
from tests.helpers.trial_records import epoch_record, params

SPACE: dict[str, BaseDistribution] = {
    "real": FloatDistribution(1e-4, 1.0, log=True),
    "integer": IntDistribution(3, 6),
    "choice": CategoricalDistribution((10, 20, 40, 80)),
}
SOBOL = StudySettings("c", SPACE, "tpe", "complete", seed=5, startup="sobol")


def test_the_points_cover_every_range_evenly() -> None:
    points = [sobol_point(SOBOL, number) for number in range(16)]
    quarters = [int(np.floor(np.log10(point["real"]) + 4)) for point in points]
    assert [quarters.count(quarter) for quarter in range(4)] == [4, 4, 4, 4]
    for name, values in (("integer", (3, 4, 5, 6)), ("choice", (10, 20, 40, 80))):
        assert [[point[name] for point in points].count(value) for value in values] == [4, 4, 4, 4]
        assert all(type(point[name]) is int for point in points)


def test_a_point_depends_on_seed_and_number_alone() -> None:
    assert sobol_point(SOBOL, 7) == sobol_point(replace(SOBOL, sampler="gp", policy="pruned"), 7)
    assert sobol_point(SOBOL, 7) != sobol_point(SOBOL, 8)
    assert sobol_point(SOBOL, 7) != sobol_point(replace(SOBOL, seed=6), 7)


def _ask(settings: StudySettings, ended: int, state: TrialState) -> dict[str, object]:
    study = optuna.create_study(direction="maximize")
    for number in range(ended):
        value = number / 100 if state == TrialState.COMPLETE else None
        study.add_trial(create_trial(state=state, value=value, params=sobol_point(SOBOL, number), distributions=SPACE))
    return propose(study, settings, ended).params


@pytest.mark.parametrize(
    ("sampler", "state"),
    [("tpe", TrialState.COMPLETE), ("tpe", TrialState.PRUNED), ("gp", TrialState.COMPLETE)],
)
def test_the_start_ends_when_the_sampler_has_trials_to_learn_from(sampler: SamplerKind, state: TrialState) -> None:
    settings = replace(SOBOL, sampler=sampler)
    last = STARTUP_TRIALS - 1
    assert _ask(settings, last, state) == sobol_point(SOBOL, last)
    assert _ask(settings, last + 1, state) != sobol_point(SOBOL, last + 1)
    assert _ask(settings, last + 1, state) == _ask(replace(settings, startup="random"), last + 1, state)


def test_a_start_lasts_longer_where_trials_have_not_ended_and_forever_for_a_sampler_that_never_learns() -> None:
    assert _ask(SOBOL, 30, TrialState.FAIL) == sobol_point(SOBOL, 30)
    assert _ask(replace(SOBOL, sampler="gp"), 30, TrialState.PRUNED) == sobol_point(SOBOL, 30)
    assert _ask(replace(SOBOL, sampler="random"), 30, TrialState.COMPLETE) == sobol_point(SOBOL, 30)


def test_a_start_at_random_is_that_of_optunas_sampler() -> None:
    settings = replace(SOBOL, startup="random")
    study = optuna.create_study(direction="maximize", sampler=make_sampler("tpe", 5, 0))
    assert _ask(settings, 0, TrialState.COMPLETE) == study.ask(SPACE).params


@pytest.mark.parametrize("kind", LEARNED_STATES)
@pytest.mark.parametrize("ended", [0, 5, 12])
def test_the_space_is_the_one_that_optunas_sampler_finds_by_itself(kind: SamplerKind, ended: int) -> None:
    study = optuna.create_study(direction="maximize")
    for number in range(ended):
        study.add_trial(create_trial(value=0.1 * number, params=sobol_point(SOBOL, number), distributions=SPACE))
    own = TrialSampler(make_sampler(kind, 5, ended), replace(SOBOL, sampler=kind, startup="random"), ended)
    found = []
    for sampler in (own, make_sampler(kind, 5, ended)):
        study.sampler = sampler
        trial = study.ask(SPACE)
        found.append(trial.params)
        if ended:
            space = sampler.infer_relative_search_space(study, study.trials[trial.number])
            assert list(space.items()) == sorted(SPACE.items())
        study.tell(trial, state=TrialState.FAIL)
    assert found[0] == found[1]


def test_values_that_were_asked_for_are_kept_and_their_point_is_left_out(tmp_path: Path) -> None:
    settings = replace(SETTINGS, sampler="tpe", startup="sobol")
    study = CampaignStudy(tmp_path / "journal.log", settings)
    study.enqueue_trials([("preset a", params(0))])
    trials = [study.ask() for _ in range(3)]
    study.report(2, epoch_record(1, 0.5), ("complete", ""))  # the order in which trials end makes no difference
    trials.append(study.ask())
    study.close()
    expected = [params(0), *(sobol_point(settings, number) for number in (1, 2, 3))]
    assert [trial.params for trial in trials] == expected
