"""Makes every proposal of a campaign again, so that what ran asynchronously can be audited."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from search.study.journal import ACT, JournalReader
from search.study.samplers import make_sampler
from search.study.settings import StudySettings
from search.study.study import load_study


@dataclass(frozen=True)
class Replayed:
    """How a replay went.

    Attributes:
        proposals: how many there were.
        equal: how many came out the same to the last bit.
        first_difference: the number, the parameters as recorded and as made again, of the first that differs beyond
            a relative 1e-9.
    """

    proposals: int
    equal: int
    first_difference: tuple[int, dict[str, Any], dict[str, Any]] | None


def replay_study(path: Path, settings: StudySettings) -> Replayed:
    """Make every proposal of a journal again, from what the study held at that instant.

    Raises:
        ConfigError: the journal is missing, damaged, or another campaign's.
    """
    reader = JournalReader.open(path)
    recorded = load_study(path, settings.name).get_trials(deepcopy=False)
    again = optuna.create_study(direction="maximize")
    asked: dict[int, optuna.Trial] = {}
    equal = 0
    for act in (line[ACT] for line in reader.lines if ACT in line):
        match act:
            case {"kind": "ask first", "wanted": wanted}:
                for params in wanted:
                    again.enqueue_trial(params)
            case {"kind": "tell earlier", "count": count}:
                first = len(again.get_trials(deepcopy=False))
                again.add_trials(recorded[first : first + count])
            case {"kind": "ask", "trial": number}:
                again.sampler = make_sampler(settings.sampler, settings.seed, number)
                trial = asked[number] = again.ask(dict(settings.distributions))
                wanted = recorded[number].params
                if trial.params == wanted:
                    equal += 1
                elif trial.number != number or not _close(trial.params, wanted):
                    return Replayed(len(asked), equal, (number, dict(wanted), dict(trial.params)))
            case {"kind": "result" | "end", "trial": number}:
                _follow(again, asked[number], recorded[number], act)
    return Replayed(len(asked), equal, None)


def _close(made: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return made.keys() == wanted.keys() and all(math.isclose(made[name], wanted[name], rel_tol=1e-9) for name in wanted)


def _follow(again: optuna.Study, trial: optuna.Trial, recorded: FrozenTrial, act: Mapping[str, Any]) -> None:
    """Let a trial go through what was written down of it."""
    if epoch := act.get("epoch"):
        trial.report(recorded.intermediate_values[epoch], epoch)
    if act.get("ended"):
        again.tell(trial, recorded.value if recorded.state == TrialState.COMPLETE else None, recorded.state)
