"""Repeats every proposal of a campaign from its journal, so that an asynchronous search can be audited."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from core.files import reading
from search.study.journal.backend import JournalReader
from search.study.journal.file import ACT
from search.study.proposals import propose
from search.study.settings import StudySettings
from search.study.study import load_study, read_trials


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
    recorded_study = load_study(path, settings.name)
    asked = {trial.number for trial in read_trials(recorded_study)}
    recorded = recorded_study.get_trials(deepcopy=False)
    with reading(path):
        result, repeated = _repeat(reader.lines, recorded, settings)
        if result.first_difference is None and repeated != asked:
            raise ValueError(f"it does not say how trial {min(asked ^ repeated)} was proposed")
    return result


def _repeat(
    lines: Sequence[Mapping[str, Any]], recorded: Sequence[FrozenTrial], settings: StudySettings
) -> tuple[ReplayResult, set[int]]:
    """Repeat the proposals of a journal's lines; return the result, and the numbers of the proposed trials."""
    study = optuna.create_study(direction="maximize")
    trials: dict[int, optuna.Trial] = {}
    equal = 0
    for act in (line[ACT] for line in lines if ACT in line):
        match act:
            case {"kind": "ask first", "wanted": proposals}:
                for params in proposals:
                    study.enqueue_trial(params)
            case {"kind": "tell earlier", "count": count}:
                first = len(study.get_trials(deepcopy=False))
                study.add_trials(recorded[first : first + count])
            case {"kind": "ask", "trial": number}:
                trial = trials[number] = propose(study, settings, number)
                expected = recorded[number].params
                if trial.params == expected:
                    equal += 1
                elif trial.number != number or not _are_close(trial.params, expected):
                    difference = (number, dict(expected), dict(trial.params))
                    return ReplayResult(len(trials), equal, difference), set(trials)
            case {"kind": "result" | "end", "trial": number}:
                _repeat_report(study, trials[number], recorded[number], act)
    return ReplayResult(len(trials), equal, None), set(trials)


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
