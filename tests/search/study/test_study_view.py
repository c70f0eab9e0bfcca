from __future__ import annotations

import optuna
from optuna.distributions import FloatDistribution
from optuna.samplers import RandomSampler, TPESampler
from optuna.trial import TrialState, create_trial

from search.study.study_view import view_study

SPACE = {"x": FloatDistribution(0.0, 1.0)}
ENDED = [
    create_trial(state=TrialState.COMPLETE, value=share, params={"x": share}, distributions=SPACE)
    for share in (0.2, 0.6, 0.4)
]


def _study() -> optuna.Study:
    study = optuna.create_study(direction="maximize")
    study.add_trials(ENDED)
    study.add_trial(create_trial(state=TrialState.RUNNING, params={"x": 0.9}, distributions=SPACE))
    return study


def test_a_new_trial_follows_those_that_are_shown() -> None:
    shown = _study().get_trials(deepcopy=False)
    view = view_study(shown, RandomSampler(seed=0))
    trial = view.ask(SPACE)
    assert trial.number == 4
    trials = view.get_trials(deepcopy=False)
    assert [each.number for each in trials] == [0, 1, 2, 3, 4]
    assert all(seen is given for seen, given in zip(trials, shown, strict=False))
    assert trials[-1].params == trial.params
    assert [each.number for each in view.get_trials(states=(TrialState.RUNNING,))] == [3, 4]
    assert view.get_trials()[0] is not shown[0]  # a copy, where Optuna asks for one


def test_a_sampler_proposes_for_a_view_what_it_proposes_for_the_study() -> None:
    def sampler() -> TPESampler:
        return TPESampler(seed=1, n_startup_trials=2, multivariate=True, constant_liar=True)

    study = _study()
    view = view_study(study.get_trials(deepcopy=False), sampler())
    study.sampler = sampler()
    assert view.ask(SPACE).params == study.ask(SPACE).params
