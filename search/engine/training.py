"""Chooses how a trial is trained: epoch by epoch on val, or cell by cell on folds."""

from __future__ import annotations

from typing import Any, Protocol

from search.engine.cell_training import CellTraining
from search.engine.job import TrialJob
from search.engine.trial_training import TrialTraining
from search.study.retries import TrainingFailure
from search.study.trial_record import EpochRecord, TrialAssignment


class Training(Protocol):
    """The training of one trial, step by step: a step is an epoch, or a cell."""

    def step(self) -> EpochRecord | TrainingFailure:
        """Run one step; return its record, or a failure for any error."""


def make_training(job: TrialJob, dataset: Any, assignment: TrialAssignment) -> Training:
    """Make the training of a trial.

    Args:
        job: the part of a training that all trials of the campaign share.
        dataset: the dataset that trials see, or where the job has cells those of all folds.
        assignment: the trial, the attempt at it, and where to continue.
    """
    if job.cells:
        return CellTraining(job, dataset, assignment)
    return TrialTraining(job, dataset, assignment)
