"""Estimates what each trial is worth from all trials: the posterior of a Gaussian process over the space.

The best of many noisy values is too high: it was chosen for its luck, too. A model over all trials shares evidence
between neighbours, and weighs each value by its standard error (heteroscedastic Gaussian process regression, Rasmussen
& Williams 2006, section 2.2).

Shapes: N trials, D hyperparameters, C cells.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from search.study.space import Dimension
from search.study.trial_record import FAILED, TrialRecord

MAX_FITTED, MAX_TRIALS = 200, 2000
"""Most trials that the lengths and the noise of the process are fitted to, and that its posterior is of. Where there
are more, these are evenly spaced over all of them, so that they are no better and no worse than the others."""
_MIN_TRIALS = 10
_MIN_NOISE = 1e-6
"""Least variance of the noise, in units of the variance of the values: keeps the matrix of the process invertible."""


@dataclass(frozen=True)
class Posterior:
    """The mean and the standard deviation of what points are worth, without the noise of a measurement.

    Attributes:
        mean: `[N]`.
        sd: `[N]`; NaN where nothing is known about the noise.
    """

    mean: np.ndarray
    sd: np.ndarray


@dataclass(frozen=True)
class Estimate:
    """What a trial is worth, given all trials.

    Attributes:
        mean: posterior mean of its value at full fidelity.
        sd: posterior standard deviation; NaN where nothing is known about the noise.
    """

    mean: float
    sd: float


def estimate_trials(
    trials: Sequence[TrialRecord], space: Mapping[str, Dimension], steps: int, has_cells: bool
) -> dict[int, Estimate]:
    """Estimate what each trial is worth at full fidelity.

    Where the steps of a trial are cells, its value is the mean of their scores less what each cell adds for all trials,
    and its standard error follows from its number of cells. Where they are epochs, the number of epochs is one more
    input of the process, which is asked for the last; the noise is fitted, the same for all trials.

    Args:
        trials: the trials of a campaign.
        space: range of each hyperparameter that the trials differ in, by name.
        steps: full fidelity: the number of epochs or of cells of a trial that is not stopped.
        has_cells: whether the steps are cells.

    Returns:
        the estimates by number of the trial, for all trials that have a finite value and did not fail.
    """
    measured = [trial for trial in trials if trial.epochs and trial.outcome != FAILED and math.isfinite(trial.value)]
    if not measured:
        return {}
    points = unit_points(measured, space)
    if has_cells:
        scores = [[trial.epochs[step].score for step in sorted(trial.epochs)] for trial in measured]
        posterior = fit_posterior(points, *pair_cells(scores))
    else:
        shares = np.array([math.log1p(trial.last_epoch) / math.log1p(steps) for trial in measured])
        values = np.array([trial.value for trial in measured])
        at = np.column_stack([points, np.ones(len(measured))])
        posterior = fit_posterior(np.column_stack([points, shares]), values, None, at)
    pairs = zip(measured, posterior.mean.tolist(), posterior.sd.tolist(), strict=True)
    return {trial.number: Estimate(mean, sd) for trial, mean, sd in pairs}


def unit_points(trials: Sequence[TrialRecord], space: Mapping[str, Dimension]) -> np.ndarray:
    """Return the hyperparameters of trials as shares of their ranges, `[N, D]` in 0..1.

    A base value beyond its range is at the end of it; where the base preset names no value, it is in the middle.

    Args:
        trials: the trials.
        space: range of each hyperparameter, by name.
    """
    columns = [[_share(dimension, trial.params.get(name)) for trial in trials] for name, dimension in space.items()]
    return np.array(columns).T


def _share(dimension: Dimension, value: float | None) -> float:
    return 0.5 if value is None else min(max(float(dimension.shares(np.array([value]))[0]), 0.0), 1.0)


def pair_cells(scores: Sequence[Sequence[float]]) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the value of each trial and its standard error, from cells that all trials take in the same order.

    A cell may be harder than others for every trial, so a trial with few cells is compared on these alone: the scores
    are fitted by a sum of what the trial and the cell contribute (two-way analysis of variance without interaction).

    Args:
        scores: the scores of each trial, that of the first cell first.

    Returns:
        values `[N]`, as if every trial had all cells; standard errors `[N]`, None if the cells tell none.
    """
    counts = np.array([len(of_trial) for of_trial in scores])
    seen = np.arange(counts.max()) < counts[:, None]
    table = np.zeros(seen.shape)
    table[seen] = np.concatenate([np.asarray(of_trial, dtype=np.float64) for of_trial in scores])
    means = table.sum(axis=1) / counts
    shared = np.diag(seen.sum(axis=0).astype(np.float64)) - (seen / counts[:, None]).T @ seen
    effects, _, rank, _ = np.linalg.lstsq(shared, ((table - means[:, None]) * seen).sum(axis=0), rcond=None)
    effects -= effects.mean()
    values = means - (seen * effects).sum(axis=1) / counts
    freedom = int((counts - 1).sum()) - int(rank)
    if freedom < 1:
        return values, None
    residuals = (table - values[:, None] - effects) * seen
    return values, np.sqrt((residuals**2).sum() / freedom / counts)


def fit_posterior(
    points: np.ndarray, values: np.ndarray, errors: np.ndarray | None, at: np.ndarray | None = None
) -> Posterior:
    """Fit a Gaussian process to noisy values, and return its posterior at some points.

    Its kernel is a Matérn 5/2 with a length for each input; its lengths maximise the marginal likelihood, from one
    start, so that the result is the same each time.

    Args:
        points: the points, `[N, D]` in 0..1.
        values: their values, `[N]`, all finite.
        errors: standard error of each value, `[N]`; None to fit one that is the same for all.
        at: where to return the posterior, `[N, D]`; at the points themselves if not given.

    Returns:
        the posterior; the values themselves, with their errors, where they are too few or all equal.
    """
    scale = float(values.std())
    if len(values) < _MIN_TRIALS or scale <= 1e-12 * max(1.0, float(np.abs(values).max())):
        return Posterior(values.astype(np.float64), np.full(len(values), np.nan) if errors is None else errors)
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    centre = float(values.mean())
    scaled = (values - centre) / scale
    noise = np.full(len(values), _MIN_NOISE) if errors is None else np.maximum((errors / scale) ** 2, _MIN_NOISE)
    signal = ConstantKernel(1.0, (0.05, 20.0)) * Matern(np.ones(points.shape[1]), (0.05, 50.0), nu=2.5)
    kernel = signal + WhiteKernel(0.5, (1e-4, 10.0)) if errors is None else signal
    few, all_used = _evenly_spaced(len(values), MAX_FITTED), _evenly_spaced(len(values), MAX_TRIALS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a length at its bound: the input makes no difference
        fitted = GaussianProcessRegressor(kernel, alpha=noise[few]).fit(points[few], scaled[few]).kernel_
        if errors is None:
            fitted, noise = fitted.k1, noise + fitted.k2.noise_level  # the noise is no part of what is predicted
        process = GaussianProcessRegressor(fitted, alpha=noise[all_used], optimizer=None)
        process.fit(points[all_used], scaled[all_used])
        mean, sd = process.predict(points if at is None else at, return_std=True)
    return Posterior(centre + scale * mean, scale * sd)


def _evenly_spaced(count: int, most: int) -> np.ndarray:
    """Return evenly spaced indices of trials, no more than a limit allows."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))
