"""Shows a sampler the trials of a study as they should count for it, without a copy of the study."""

from __future__ import annotations

import copy
from collections.abc import Container, Sequence

import optuna
from optuna.samplers import BaseSampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState


class _StorageView(InMemoryStorage):
    """Storage of new trials, in front of which it shows given trials. These are neither copied nor changed."""

    def __init__(self, shown: Sequence[FrozenTrial]) -> None:
        super().__init__()
        self._shown = shown

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return a new trial."""
        return self._renumbered(super().get_trial(trial_id))

    def get_trial_number_from_id(self, trial_id: int) -> int:
        """Return the number of a new trial, which is counted from that of the last shown trial."""
        return super().get_trial_number_from_id(trial_id) + len(self._shown)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Return the shown trials, then the new ones."""
        shown = [trial for trial in self._shown if states is None or trial.state in states]
        new = [self._renumbered(trial) for trial in super().get_all_trials(study_id, False, states)]
        return copy.deepcopy(shown + new) if deepcopy else shown + new

    def _renumbered(self, trial: FrozenTrial) -> FrozenTrial:
        renumbered = copy.copy(trial)
        renumbered.number = trial.number + len(self._shown)
        return renumbered


def view_study(trials: Sequence[FrozenTrial], sampler: BaseSampler) -> optuna.Study:
    """Return a study to ask for the trial that follows some trials.

    Args:
        trials: the trials that the sampler learns from, numbered from 0, none of them queued.
        sampler: the sampler that is asked.
    """
    return optuna.create_study(direction="maximize", storage=_StorageView(trials), sampler=sampler)
