"""Proposes the next trial, and says what Optuna's samplers learn of the trials before it."""

from __future__ import annotations

import math

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.study.samplers import make_sampler
from search.study.settings import FidelityPolicy, StudySettings
from search.study.trial_record import TrialRecord


def propose(study: optuna.Study, settings: StudySettings, number: int) -> optuna.Trial:
    """Start the next trial, with queued values or with new ones from a sampler of its own.

    Optuna has no state for a trial that is paused at a rung. Where trials pause, the sampler is therefore asked about a
    copy of the study in which each open trial has ended at the last rung that it reached.

    Args:
        study: the study of the campaign, or its repetition.
        settings: the settings that the proposals depend on.
        number: number of the new trial, see `next_trial_number`.
    """
    sampler = make_sampler(settings.sampler, settings.seed, number)
    trials = study.get_trials(deepcopy=False)
    is_queued = number < len(trials)
    if settings.pauses and not is_queued and settings.sampler != "random":  # a random sampler learns nothing
        copy = optuna.create_study(direction="maximize", sampler=sampler)
        copy.add_trials([_ended_at_last_rung(trial, settings) for trial in trials])
        study.enqueue_trial(copy.ask(dict(settings.distributions)).params)
    study.sampler = sampler
    return study.ask(dict(settings.distributions))


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
    rung = max((epoch for epoch in settings.pauses if epoch in trial.intermediate_values), default=None)
    if trial.state != TrialState.RUNNING or rung is None:
        return trial
    values = {epoch: value for epoch, value in trial.intermediate_values.items() if epoch <= rung}
    state, value = _result_of_stopped(values[rung], settings.policy)
    return create_trial(
        state=state,
        value=value,
        params=trial.params,
        distributions=trial.distributions,
        intermediate_values=values,
    )
