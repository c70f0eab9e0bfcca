"""Repeats every proposal of a campaign from its journal, so that an asynchronous search can be audited."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from search.study.journal.backend import JournalReader
from search.study.journal.file import ACT
from search.study.samplers import make_sampler
from search.study.settings import StudySettings
from search.study.study import load_study


@dataclass(frozen=True)
class ReplayResult:
    """The result of a replay.

    Attributes:
        proposals: number of proposals that were repeated.
        equal: number of proposals that are equal to the recorded ones to the last bit.
        first_difference: number, recorded parameters and repeated parameters of the first proposal that differs by more
            than a relative 1e-9; None if none does. The replay ends there.
    """

    proposals: int
    equal: int
    first_difference: tuple[int, dict[str, Any], dict[str, Any]] | None


def replay_study(path: Path, settings: StudySettings) -> ReplayResult:
    """Repeat every proposal of a journal, each from what the study held when it was made.

    Args:
        path: the journal of the campaign.
        settings: the settings that the proposals depend on.

    Raises:
        ConfigError: the journal is missing, damaged, or another campaign's.
    """
    reader = JournalReader.open(path)
    recorded = load_study(path, settings.name).get_trials(deepcopy=False)
    study = optuna.create_study(direction="maximize")
    trials: dict[int, optuna.Trial] = {}
    equal = 0
    for act in (line[ACT] for line in reader.lines if ACT in line):
        match act:
            case {"kind": "ask first", "wanted": proposals}:
                for params in proposals:
                    study.enqueue_trial(params)
            case {"kind": "tell earlier", "count": count}:
                first = len(study.get_trials(deepcopy=False))
                study.add_trials(recorded[first : first + count])
            case {"kind": "ask", "trial": number}:
                study.sampler = make_sampler(settings.sampler, settings.seed, number)
                trial = trials[number] = study.ask(dict(settings.distributions))
                expected = recorded[number].params
                if trial.params == expected:
                    equal += 1
                elif trial.number != number or not _are_close(trial.params, expected):
                    return ReplayResult(len(trials), equal, (number, dict(expected), dict(trial.params)))
            case {"kind": "result" | "end", "trial": number}:
                _repeat_report(study, trials[number], recorded[number], act)
    return ReplayResult(len(trials), equal, None)


def _are_close(params: Mapping[str, Any], expected: Mapping[str, Any]) -> bool:
    """Return whether two sets of parameters agree up to a relative 1e-9."""
    return params.keys() == expected.keys() and all(
        math.isclose(params[name], expected[name], rel_tol=1e-9) for name in expected
    )


def _repeat_report(study: optuna.Study, trial: optuna.Trial, recorded: FrozenTrial, act: Mapping[str, Any]) -> None:
    """Report to the replayed study what one entry of the journal reported: an epoch, the end of the trial, or both."""
    if epoch := act.get("epoch"):
        trial.report(recorded.intermediate_values[epoch], epoch)
    if act.get("ended"):
        study.tell(trial, recorded.value if recorded.state == TrialState.COMPLETE else None, recorded.state)
