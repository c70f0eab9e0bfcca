from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from search.study.posterior import MAX_TRIALS, Estimate, estimate_trials, fit_posterior, pair_cells, unit_points
from search.study.space import Choice, PowerRange, Range
from search.study.trial_record import TrialRecord
from tests.helpers.trial_records import epoch_record


def _truth(points: np.ndarray) -> np.ndarray:
    """A hill in the first input; the second makes no difference."""
    return -4 * (points[:, 0] - 0.3) ** 2


def _sample(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points `[N, 2]`, noisy values, and their standard errors: every other value is ten times as noisy."""
    rng = np.random.default_rng(seed)
    points = rng.random((count, 2))
    errors = np.where(np.arange(count) % 2, 0.5, 0.05)
    return points, _truth(points) + errors * rng.normal(size=count), errors


def _rms(error: np.ndarray) -> float:
    return float(np.sqrt(np.mean(error**2)))


def test_the_posterior_is_nearer_to_the_truth_than_the_values_and_knows_by_how_much() -> None:
    points, values, errors = _sample(80)
    posterior = fit_posterior(points, values, errors)
    away = posterior.mean - _truth(points)
    assert _rms(away) < 0.1 * _rms(values - _truth(points))
    assert 0.4 < _rms(away / posterior.sd) < 2
    assert (posterior.sd < errors).all()


def test_a_value_counts_by_its_standard_error() -> None:
    points, values, errors = _sample(80)
    alike = fit_posterior(points, values, None)
    weighted = fit_posterior(points, values, errors)
    assert _rms(weighted.mean - _truth(points)) < 0.7 * _rms(alike.mean - _truth(points))
    assert _rms(alike.mean - _truth(points)) < 0.5 * _rms(values - _truth(points))


def test_the_noise_of_a_value_is_no_part_of_the_standard_deviation() -> None:
    rng = np.random.default_rng(0)
    points = rng.random((150, 2))
    posterior = fit_posterior(points, _truth(points) + 0.3 * rng.normal(size=150), None)
    assert _rms(posterior.mean - _truth(points)) < 0.15
    assert posterior.sd.mean() < 0.15


def test_the_result_is_the_same_each_time_and_does_not_depend_on_the_scale_of_the_values() -> None:
    points, values, errors = _sample(40)
    first, again = fit_posterior(points, values, errors), fit_posterior(points, values, errors)
    assert first.mean.tolist() == again.mean.tolist()
    assert first.sd.tolist() == again.sd.tolist()
    moved = fit_posterior(points, 5 + values / 1000, errors / 1000)
    assert (moved.mean - 5) * 1000 == pytest.approx(first.mean, abs=1e-4)
    assert moved.sd * 1000 == pytest.approx(first.sd, rel=1e-3)


@pytest.mark.parametrize("values", [np.full(30, 0.7), np.array([0.7])])
def test_without_differences_the_values_stand(values: np.ndarray) -> None:
    points = np.random.default_rng(0).random((len(values), 2))
    assert fit_posterior(points, values, None).mean.tolist() == values.tolist()
    assert np.isnan(fit_posterior(points, values, None).sd).all()
    assert fit_posterior(points, values, np.full(len(values), 0.1)).sd.tolist() == [0.1] * len(values)


@pytest.mark.costly
@pytest.mark.parametrize("with_errors", [True, False])
def test_thousands_of_trials_take_seconds(with_errors: bool) -> None:
    rng = np.random.default_rng(0)
    points = rng.random((MAX_TRIALS + 500, 6))
    errors = np.full(len(points), 0.1)
    values = _truth(points) + 0.1 * rng.normal(size=len(points))
    started = time.process_time()
    posterior = fit_posterior(points, values, errors if with_errors else None)
    assert time.process_time() - started < 10
    assert posterior.mean.shape == posterior.sd.shape == (len(points),)
    assert _rms(posterior.mean - _truth(points)) < 0.02


def test_trials_are_compared_on_the_cells_that_they_share() -> None:
    worth, cells = np.array([0.6, 0.5, 0.55]), np.array([0.1, -0.1, 0.0])
    scores = [
        [float(of_trial + cell) for cell in cells[:count]] for of_trial, count in zip(worth, (3, 3, 1), strict=True)
    ]
    values, errors = pair_cells(scores)
    assert values == pytest.approx(worth)  # the mean of the last one's only cell is .65
    assert errors == pytest.approx(np.zeros(3), abs=1e-12)


def test_the_standard_error_falls_with_the_number_of_cells() -> None:
    rng = np.random.default_rng(0)
    counts = np.array([9, 3, 1] * 200)
    scores = [(0.02 * rng.normal(size=count) + rng.normal()).tolist() for count in counts]
    _, errors = pair_cells(scores)
    assert errors is not None
    assert errors[:3] == pytest.approx([0.02 / 3, 0.02 / np.sqrt(3), 0.02], rel=0.05)


def test_single_cells_tell_no_standard_error() -> None:
    values, errors = pair_cells([[0.5], [0.6]])
    assert values.tolist() == [0.5, 0.6]
    assert errors is None


SPACE = {
    "x": Range(low=0.0, high=1.0),
    "size": Choice(values=(8, 16)),
    "batch": PowerRange(low=64, high=256, log2=True),
}


def _trial(number: int, x: float, values: list[float], outcome: Any) -> TrialRecord:
    epochs = {step + 1: epoch_record(step + 1, value) for step, value in enumerate(values)}
    return TrialRecord(number, {"x": x, "size": 8, "batch": 128}, "sampler", epochs, 1, outcome)


def test_points_are_shares_of_the_ranges_and_a_missing_value_is_the_middle() -> None:
    trials = [_trial(0, 0.25, [0.1], "complete"), TrialRecord(1, {"x": 2.0, "batch": 256}, "sampler")]
    assert unit_points(trials, SPACE).tolist() == [[0.25, 0.25, 0.5], [1.0, 0.5, pytest.approx(5 / 6)]]


def test_trials_of_few_epochs_are_estimated_as_if_they_had_been_trained_to_the_end() -> None:
    rng = np.random.default_rng(0)
    trials = []
    for number, x in enumerate(rng.random(60)):
        steps = 6 if number % 3 == 0 else 2
        worth = float(_truth(np.array([[x, 0.0]]))[0])
        values = [worth - 2 / step + 0.02 * float(rng.normal()) for step in range(1, steps + 1)]
        trials.append(_trial(number, float(x), values, "complete" if steps == 6 else "stopped"))
    estimates = estimate_trials(trials, SPACE, 6, has_cells=False)
    expected = [float(_truth(np.array([[trial.params["x"], 0.0]]))[0]) - 2 / 6 for trial in trials]
    assert list(estimates) == list(range(60))
    assert [estimate.mean for estimate in estimates.values()] == pytest.approx(expected, abs=0.1)


def test_trials_without_a_finite_value_have_no_estimate() -> None:
    trials = [
        _trial(0, 0.1, [0.5], "complete"),
        _trial(1, 0.2, [0.5], "failed"),
        _trial(2, 0.3, [], None),
        _trial(3, 0.4, [float("nan")], "stopped"),
    ]
    assert estimate_trials(trials, SPACE, 1, has_cells=True).keys() == {0}
    assert estimate_trials(trials[1:], SPACE, 1, has_cells=False) == {}


def test_where_steps_are_cells_a_trial_of_few_cells_is_drawn_towards_its_neighbours() -> None:
    rng = np.random.default_rng(1)
    trials = []
    for number, x in enumerate(np.linspace(0, 1, 30)):
        cells = 1 if number == 20 else 9
        luck = 0.4 if number == 20 else 0.0
        scores = [float(_truth(np.array([[x, 0.0]]))[0]) + luck + 0.1 * float(rng.normal()) for _ in range(cells)]
        trials.append(_trial(number, float(x), scores, "stopped" if cells == 1 else "complete"))
    estimates = estimate_trials(trials, SPACE, 9, has_cells=True)
    assert estimates[20] != Estimate(trials[20].last.score, estimates[20].sd)
    expected = float(_truth(np.array([[trials[20].params["x"], 0.0]]))[0])
    assert abs(estimates[20].mean - expected) < 0.1 < abs(trials[20].last.score - expected)
