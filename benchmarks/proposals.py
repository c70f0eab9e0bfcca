"""What a proposal costs where trials are paused at rungs: by a copy of the study, and by a view of it.

`python -m benchmarks.proposals` asks TPE (Tree-structured Parzen Estimator) for the next trial of studies of 200 and
2,000 trials, of which two thirds are paused. It prints milliseconds of each way, those of TPE itself, asked where no
trial is paused, and whether both ways proposed the same, to the last bit.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.study.proposals import propose
from search.study.samplers import make_sampler
from search.study.settings import StudySettings
from search.study.space import SpaceConfig

SIZES, ASKS = (200, 2000), 10
RUNGS = (2, 6, 18)
SETTINGS = StudySettings("bench", SpaceConfig().distributions(), "tpe", "pruned", seed=0, pauses=RUNGS)


def make_study(trials: int) -> optuna.Study:
    """Make a study of random trials: a third stopped or complete, the rest paused at a rung, with records of epochs."""
    rng = np.random.default_rng(0)
    study = optuna.create_study(direction="maximize")
    space = SpaceConfig().dimensions()
    for number in range(trials):
        params = {name: dimension.at(rng.random(1))[0].item() for name, dimension in space.items()}
        epochs = int(rng.choice(RUNGS))
        values = {epoch: float(rng.random()) for epoch in range(1, epochs + 1)}
        state = TrialState.RUNNING
        if number % 3 == 0:
            state = TrialState.COMPLETE if epochs == RUNGS[-1] else TrialState.PRUNED
        study.add_trial(
            create_trial(
                state=state,
                value=values[epochs] if state == TrialState.COMPLETE else None,
                params=params,
                distributions=dict(SETTINGS.distributions),
                intermediate_values=values,
                user_attrs={f"epoch_{epoch}": "x" * 700 for epoch in values},
            )
        )
    return study


def propose_by_copy(study: optuna.Study, settings: StudySettings, number: int) -> optuna.Trial:
    """Ask about a copy of the study, as this program did before it had views."""
    sampler = make_sampler(settings.sampler, settings.seed, number)
    copy = optuna.create_study(direction="maximize", sampler=sampler)
    copy.add_trials([_ended(trial) for trial in study.get_trials(deepcopy=False)])
    study.enqueue_trial(copy.ask(dict(settings.distributions)).params)
    study.sampler = sampler
    return study.ask(dict(settings.distributions))


def _ended(trial: FrozenTrial) -> FrozenTrial:
    rung = max((epoch for epoch in RUNGS if epoch in trial.intermediate_values), default=None)
    if trial.state != TrialState.RUNNING or rung is None:
        return trial
    values = {epoch: value for epoch, value in trial.intermediate_values.items() if epoch <= rung}
    return create_trial(
        state=TrialState.PRUNED, params=trial.params, distributions=trial.distributions, intermediate_values=values
    )


Ask = Callable[[optuna.Study, StudySettings, int], optuna.Trial]


def measure(ask: Ask, trials: int, settings: StudySettings) -> Any:
    """Return the median milliseconds of an ask, and what was proposed."""
    study = make_study(trials)
    seconds, proposals = [], []
    for number in range(trials, trials + ASKS):
        started = time.perf_counter()
        proposals.append(ask(study, settings, number).params)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds) * 1e3, proposals


def main() -> None:
    """Print a line a size, and how each way grows."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    copies, views = [], []
    for trials in SIZES:
        (copy, copied), (view, viewed) = (measure(ask, trials, SETTINGS) for ask in (propose_by_copy, propose))
        alone, _ = measure(propose, trials, replace(SETTINGS, pauses=()))
        copies.append(copy)
        views.append(view)
        same = "the same proposals" if copied == viewed else "OTHER PROPOSALS"
        print(f"{trials} trials: copy {copy:.1f} ms, view {view:.1f} ms, TPE itself {alone:.1f} ms; {same}")
    print(f"ten times the trials: copy {copies[1] / copies[0]:.1f}x the time, view {views[1] / views[0]:.1f}x")
    print(f"view against copy at {SIZES[-1]} trials: {views[-1] / copies[-1]:.2f}x the time")


if __name__ == "__main__":
    main()
