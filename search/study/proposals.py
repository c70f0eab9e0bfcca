"""Proposes the next trial, and says what Optuna's samplers learn of the trials before it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from search.study.conditions import holds, in_order, inactive
from search.study.encoding import decode, encode, study_name
from search.study.journal.records import ORIGIN
from search.study.samplers import make_sampler
from search.study.settings import FidelityPolicy, StudySettings
from search.study.study_view import view_study
from search.study.trial_record import TrialRecord
from search.study.trial_sampler import TrialSampler


def propose(study: optuna.Study, settings: StudySettings, number: int) -> optuna.Trial:
    """Start the next trial, with queued values or with new ones from a sampler of its own.

    Optuna has no state for a trial that is paused at a rung. Where trials pause, the sampler is therefore asked about a
    view of the study in which each open trial has ended at the last rung that it reached.

    Args:
        study: the study of the campaign, or its repetition.
        settings: the settings that the proposals depend on.
        number: number of the new trial, see `next_trial_number`.
    """
    sampler = TrialSampler(make_sampler(settings.sampler, settings.seed, number), settings, number)
    trials = study.get_trials(deepcopy=False)
    is_queued = number < len(trials)
    if settings.pauses and not is_queued and settings.sampler != "random":  # a random sampler learns nothing
        view = view_study([_ended_at_last_rung(trial, settings) for trial in trials], sampler)
        study.enqueue_trial(_ask(view, settings).params)
    study.sampler = sampler
    return _ask(study, settings)


def _ask(study: optuna.Study, settings: StudySettings) -> optuna.Trial:
    """Start a trial, and let it have all hyperparameters whose conditions hold."""
    trial = study.ask(settings.unconditional)
    for name in in_order(settings.conditions):
        if holds(settings.conditions[name], _with_base_values(trial.params, settings)):
            known_as = study_name(name, settings.distributions)
            _suggest(trial, known_as, settings.distributions[known_as])
    return trial


def _suggest(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> None:
    """Let a trial have one more hyperparameter."""
    match distribution:
        case FloatDistribution(low=low, high=high, log=log):
            trial.suggest_float(name, low, high, log=log)
        case IntDistribution(low=low, high=high, log=log):
            trial.suggest_int(name, low, high, log=log)
        case CategoricalDistribution(choices=choices):
            trial.suggest_categorical(name, choices)


def make_record(trial: optuna.Trial, settings: StudySettings) -> TrialRecord:
    """Make the record of a new trial, with base values for the hyperparameters whose conditions do not hold.

    Args:
        trial: the trial, see `propose`.
        settings: the settings that the proposals depend on.
    """
    params = _with_base_values(trial.params, settings)
    not_searched = tuple(params.keys() - decode(trial.params).keys())
    return TrialRecord(
        trial.number, params, trial.user_attrs.get(ORIGIN, "sampler"), not_searched=tuple(sorted(not_searched))
    )


def searched_params(params: Mapping[str, Any], settings: StudySettings) -> dict[str, Any]:
    """Return the hyperparameters of a trial that it searched, as the study holds them.

    Args:
        params: all hyperparameters by their own names, see `TrialRecord`.
        settings: the settings that the proposals depend on.
    """
    fixed = inactive(settings.conditions, params)
    return encode({name: value for name, value in params.items() if name not in fixed}, settings.distributions)


def _with_base_values(params: Mapping[str, Any], settings: StudySettings) -> dict[str, Any]:
    """Return the hyperparameters that the study holds by their own names, with base values for all others."""
    return {**settings.base_values, **decode(params)}


def next_trial_number(study: optuna.Study) -> int:
    """Return the number of the next trial: that of the first queued proposal, or a new one if none is queued."""
    trials = study.get_trials(deepcopy=False)
    return min((trial.number for trial in trials if trial.state == TrialState.WAITING), default=len(trials))


def optuna_result(record: TrialRecord, policy: FidelityPolicy) -> tuple[TrialState, float | None]:
    """Return the state and the value that Optuna learns of a trial that ended, as the fidelity policy says.

    Args:
        record: the record of the trial.
        policy: fidelity policy, see `StudySettings`.
    """
    if record.outcome == "failed" or not math.isfinite(record.value):
        return TrialState.FAIL, None
    if record.outcome == "complete":
        return TrialState.COMPLETE, record.value
    return _result_of_stopped(record.value, policy)


def _result_of_stopped(value: float, policy: FidelityPolicy) -> tuple[TrialState, float | None]:
    """Return the state and the value that Optuna learns of a trial that was stopped with this value."""
    if policy == "complete":
        return TrialState.COMPLETE, value
    return (TrialState.PRUNED if policy == "pruned" else TrialState.FAIL), None


def _ended_at_last_rung(trial: FrozenTrial, settings: StudySettings) -> FrozenTrial:
    """Return an open trial as one that was stopped at the last rung that it reached; any other trial unchanged."""
    if trial.state != TrialState.RUNNING:
        return trial
    rung = max((epoch for epoch in settings.pauses if epoch in trial.intermediate_values), default=None)
    if rung is None:
        return trial
    values = {epoch: value for epoch, value in trial.intermediate_values.items() if epoch <= rung}
    state, value = _result_of_stopped(values[rung], settings.policy)
    return FrozenTrial(  # not `create_trial`, which would check every value again at each ask
        number=trial.number,
        state=state,
        value=value,
        datetime_start=trial.datetime_start,
        datetime_complete=trial.datetime_start,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs={},
        system_attrs={},
        intermediate_values=values,
        trial_id=trial.number,
    )
