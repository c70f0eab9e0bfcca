"""Simulates trainings on the trials of a campaign, finished or running, with a surrogate between their hyperparameters.

The surrogate is that of `search.simulation.recorded`, fitted to the curves in the campaign's journal. A campaign knows
less than a table that was recorded for the purpose:

- ASHA has stopped most trials early, so their curves are continued by what trials that went on had after the same
  score. Which trials were stopped depends on that score alone, so this has no bias (missing at random; Rubin 1976,
  Biometrika 63:581); leaving the stopped trials out would have one, as the best went on.
- No configuration was trained twice. The noise of a training is therefore what the surrogate does not explain of trials
  that it was not fitted to: the luck of seeds and the surrogate's own error together.
- No later time was judged. A configuration is worth what the surrogate says of the rows that ranked the trials, val or
  the blocks of the folds, without the noise.

Shapes: N trials, E epochs at full fidelity (or cells), R complete trials, H hyperparameters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from core.errors import ConfigError
from search.config import CampaignConfig
from search.results.folder import CampaignFolder
from search.simulation.recorded import RecordedCurves, SurrogateProblem, simulated_record
from search.simulation.simulate import Strategy
from search.study.trial_record import EpochRecord, TrialAssignment, TrialRecord

MIN_TRIALS, MIN_COMPLETE = 10, 3
"""Least number of trials that must have reached the first rung, and of complete ones among them."""
_MAX_CHANCE = 0.05
"""Largest probability of a rank correlation this high by chance, for the surrogate to say which trials are better."""
_FOLD = 0
"""The one fold of the table of a campaign."""


@dataclass(frozen=True)
class RecordedCampaign:
    """What the journal of a campaign tells for simulations.

    Attributes:
        config: settings of the campaign.
        curves: the curves of its trials, continued where a trial ended early.
        lengths: number of recorded epochs of each of these trials, `[N]`.
        worker_hours: hours that these epochs took.
    """

    config: CampaignConfig
    curves: RecordedCurves
    lengths: np.ndarray
    worker_hours: float

    @property
    def complete(self) -> int:
        """Number of trials that reached full fidelity."""
        return int((self.lengths == self.curves.epochs).sum())

    @property
    def strategy(self) -> Strategy:
        """The strategy of the campaign itself."""
        config = self.config
        by_cells = config.cells is not None
        return Strategy(
            config.sampler,
            config.policy,
            config.asha,
            1 if by_cells else config.grace,
            config.reduction,
            "cells" if by_cells else "epochs",
        )

    @cached_property
    def _left_out(self) -> np.ndarray:
        """Scores of each trial by a surrogate that has not seen it, `[N, E]`."""
        return self.curves.predicted_when_left_out("score", _FOLD)

    @cached_property
    def noises(self) -> np.ndarray:
        """What the surrogate does not explain of each complete trial that it has not seen, `[R, E]`."""
        is_complete = self.lengths == self.curves.epochs
        return np.asarray((self.curves.recorded("score", _FOLD) - self._left_out)[is_complete])

    @cached_property
    def agreement(self) -> float:
        """Rank correlation of the trials' values at the first rung with those by a surrogate that has not seen them."""
        return self._correlation[0]

    @property
    def can_rank(self) -> bool:
        """Whether the surrogate says better than chance which trials are better."""
        return self._correlation[1] < _MAX_CHANCE

    @cached_property
    def _correlation(self) -> tuple[float, float]:
        """Rank correlation and the probability of one this high by chance; 0 and 1 where all values are equal."""
        from scipy.stats import spearmanr

        first = int(self.lengths.min())  # the last epoch that is recorded of all trials
        recorded, predicted = (
            best_or_mean(scores, self.config)[:, first - 1]
            for scores in (self.curves.recorded("score", _FOLD), self._left_out)
        )
        if np.ptp(recorded) == 0 or np.ptp(predicted) == 0:
            return 0.0, 1.0
        found = spearmanr(predicted, recorded, alternative="greater")
        return float(found.statistic), float(found.pvalue)


def best_or_mean(scores: np.ndarray, config: CampaignConfig) -> np.ndarray:
    """Return what trials are ranked by after each epoch: the best score so far, or of cells the mean so far.

    Args:
        scores: scores by epoch, `[N, E]`.
        config: settings of the campaign, which say whether its trials are judged by cells.

    Returns:
        values by epoch, `[N, E]`.
    """
    if config.cells is None:
        return np.asarray(np.maximum.accumulate(scores, axis=1))
    return np.asarray(np.cumsum(scores, axis=1) / np.arange(1, scores.shape[1] + 1))


def read_campaign(folder: CampaignFolder) -> RecordedCampaign:
    """Read the trials of a campaign from its journal, which a driver may be writing meanwhile.

    A trial that has not reached the first rung, has failed or has a score that is not finite is left out.

    Args:
        folder: the folder of the campaign.

    Raises:
        ConfigError: a file is damaged, or there are too few trials to fit a surrogate to.
    """
    config, trials = folder.read_config(), folder.read_journal()
    first = min((*config.rungs, config.steps))
    used = [trial for trial in trials if trial.last_epoch >= first and trial.outcome != "failed" and _is_finite(trial)]
    lengths = np.array([trial.last_epoch for trial in used], dtype=np.int64)
    complete = int((lengths == config.steps).sum())
    if len(used) < MIN_TRIALS or complete < MIN_COMPLETE:
        raise ConfigError(
            f"Campaign {folder.name} has {len(used)} trials that reached its first rung, {complete} of them complete: "
            "too few to simulate on",
            f"Let it reach {MIN_TRIALS} such trials, {MIN_COMPLETE} of them complete, or use --table",
        )
    scores, seconds = (np.full((len(used), config.steps), np.nan) for _ in range(2))
    for row, trial in enumerate(used):
        scores[row, : lengths[row]] = [trial.epochs[epoch].score for epoch in sorted(trial.epochs)]
        seconds[row, : lengths[row]] = [trial.epochs[epoch].seconds for epoch in sorted(trial.epochs)]
    hours = float(np.nansum(seconds)) / 3600
    table = _make_table(used, continue_scores(scores), continue_seconds(seconds))
    return RecordedCampaign(config, RecordedCurves(table, config.space.dimensions()), lengths, hours)


def _is_finite(trial: TrialRecord) -> bool:
    return all(math.isfinite(epoch.score) for epoch in trial.epochs.values())


def _make_table(trials: Sequence[TrialRecord], scores: np.ndarray, seconds: np.ndarray) -> pd.DataFrame:
    """Make the table of `RecordedCurves`: a row for each epoch of each trial, with scores and seconds of `[N, E]`."""
    count, epochs = scores.shape
    params = pd.DataFrame([trial.params for trial in trials])
    table = params.loc[params.index.repeat(epochs)].reset_index(drop=True)
    table["configuration"] = np.repeat(np.arange(count), epochs)
    table["epoch"] = np.tile(np.arange(1, epochs + 1), count)
    table["fold"], table["seed"] = _FOLD, 0
    table["score"], table["seconds"] = scores.ravel(), seconds.ravel()
    return table


def continue_scores(scores: np.ndarray) -> np.ndarray:
    """Continue curves that ended early by linear regression on their last score, over the trials that went on.

    A trial that was behind stays behind by between none and all of its distance: the slope lies in 0..1. Where fewer
    than three trials went on, curves are parallel; where none did, they stay at their last score.

    Args:
        scores: scores by epoch, NaN after the end of a curve, `[N, E]`.

    Returns:
        the scores without NaN, `[N, E]`.
    """
    lengths = np.isfinite(scores).sum(axis=1)
    continued = scores.copy()
    for length in np.unique(lengths[lengths < scores.shape[1]]):
        ended = lengths == length
        for epoch in range(length, scores.shape[1]):
            went_on = lengths > epoch
            before, after = scores[went_on, length - 1], scores[went_on, epoch]
            if not went_on.any():
                continued[ended, epoch] = continued[ended, epoch - 1]
                continue
            spread = np.square(before - before.mean()).sum()
            slope = 1.0
            if len(before) >= MIN_COMPLETE and spread > 0:
                slope = float(np.clip(((before - before.mean()) * after).sum() / spread, 0.0, 1.0))
            continued[ended, epoch] = after.mean() + slope * (scores[ended, length - 1] - before.mean())
    return continued


def continue_seconds(seconds: np.ndarray) -> np.ndarray:
    """Continue the times of the epochs of trials that ended early: in proportion to those of the trials that went on.

    Args:
        seconds: seconds by epoch, NaN after the end of a trial, `[N, E]`.

    Returns:
        the seconds without NaN, `[N, E]`.
    """
    lengths = np.isfinite(seconds).sum(axis=1)
    continued = seconds.copy()
    for length in np.unique(lengths[lengths < seconds.shape[1]]):
        ended = lengths == length
        own = seconds[ended, :length].mean(axis=1)
        for epoch in range(length, seconds.shape[1]):
            others = seconds[lengths > epoch]
            ratio = others[:, epoch].sum() / others[:, :length].mean(axis=1).sum() if len(others) else 1.0
            continued[ended, epoch] = own * ratio
    return continued


class CampaignProblem(SurrogateProblem):
    """A campaign like the recorded one: of the same space, ranked by the same metric on the same rows."""

    def __init__(self, recorded: RecordedCampaign, seed: int) -> None:
        """Prepare a simulated campaign.

        Args:
            recorded: what the journal of the campaign tells.
            seed: seed of the noise.
        """
        super().__init__(recorded.curves, seed)
        self._recorded, self.max_epochs = recorded, recorded.curves.epochs

    def qualities(self, points: np.ndarray) -> np.ndarray:
        """Return the values of points at full fidelity by the surrogate, without noise, `[N]`."""
        scores = self._curves.mean_curves("score", _FOLD, points)
        return best_or_mean(scores, self._recorded.config)[:, -1]

    def epoch(self, trial: TrialAssignment, epoch: int) -> EpochRecord:
        """Return what a trial reports of an epoch or of a cell, see `LearningCurves`."""
        params: Mapping[str, Any] = trial.params
        noise = self.draw(self._recorded.noises, trial.number, 0)
        scores = (self.mean("score", _FOLD, params) + noise)[:epoch]
        value = float(best_or_mean(scores[None], self._recorded.config)[0, -1])
        best = epoch if self._recorded.config.cells is not None else int(scores.argmax()) + 1
        seconds = float(self.mean("seconds", _FOLD, params)[epoch - 1])
        return simulated_record(epoch, value, float(scores[-1]), best, seconds)
