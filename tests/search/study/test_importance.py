from __future__ import annotations

import math
from typing import Any

import numpy as np

from core.config import parse
from search.study.importance import MIN_TRIALS, order_by_importance
from search.study.space import SpaceConfig


def _trials(count: int, weights: dict[str, float], seed: int = 0) -> list[tuple[dict[str, Any], float]]:
    """Random trials whose value is a weighted sum of where each hyperparameter lies in its range."""
    rng = np.random.default_rng(seed)
    dimensions = SpaceConfig().dimensions()
    shares = {name: rng.random(count) for name in dimensions}
    points = {name: of_name.at(shares[name]).tolist() for name, of_name in dimensions.items()}
    values = sum(weight * shares[name] for name, weight in weights.items()) + 0.01 * rng.normal(size=count)
    return [({name: points[name][index] for name in points}, float(values[index])) for index in range(count)]


def test_what_explains_most_of_the_values_comes_first() -> None:
    trials = _trials(60, {"weight_decay": 1.0, "dropout": -3.0, "mixup_alpha": 8.0})
    order = order_by_importance(SpaceConfig(), trials)
    assert order[:3] == ["mixup_alpha", "dropout", "weight_decay"]
    assert sorted(order) == sorted(SpaceConfig().dimensions())
    assert order_by_importance(SpaceConfig(), trials) == order


def test_too_few_trials_or_equal_ones_leave_the_order_of_the_declaration() -> None:
    declared = list(SpaceConfig().dimensions())
    trials = _trials(MIN_TRIALS, {"mixup_alpha": 8.0})
    assert order_by_importance(SpaceConfig(), trials) != declared
    assert order_by_importance(SpaceConfig(), trials[1:]) == declared
    assert order_by_importance(SpaceConfig(), [(params, 0.5) for params, _ in trials]) == declared
    assert order_by_importance(SpaceConfig(), []) == declared


def test_a_trial_outside_the_space_is_left_out() -> None:
    trials = _trials(30, {"dropout": 1.0})
    outside = [({**params, "learning_rate": 0.5}, math.pi * index) for index, (params, _) in enumerate(trials)]
    narrow = parse(SpaceConfig, {}, "campaign.yaml")
    assert order_by_importance(narrow, [*trials, *outside]) == order_by_importance(narrow, trials)


def test_powers_of_2_are_ordered_by_their_exponents() -> None:
    powers = parse(SpaceConfig, {"batch_size": {"low": 64, "high": 512, "log2": True}}, "campaign.yaml")
    order = order_by_importance(powers, _trials(60, {"batch_size": 8.0, "dropout": 6.0}))
    assert order[:2] == ["batch_size", "dropout"]
from search.study.importance import MIN_TRIALS, measure_importance
from search.study.space import SpaceConfig

SPACE = SpaceConfig()


def _params(count: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    columns = {name: dimension.at(rng.random(count)).tolist() for name, dimension in SPACE.dimensions().items()}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def test_the_hyperparameter_that_decides_stands_out_and_no_other_does() -> None:
    params = _params(200)
    scores = [-abs(given["dropout"] - 0.5) for given in params]
    measured = measure_importance(params, scores, SPACE, np.random.default_rng(1))
    assert list(measured) == list(SPACE.dimensions())
    assert max(measured, key=lambda name: measured[name].value) == "dropout"
    assert measured["dropout"].value > 2 * measured["dropout"].by_chance
    assert abs(sum(of_name.value for of_name in measured.values()) - 1) < 1e-9


def test_what_sets_the_worst_apart_does_not_count() -> None:
    params = _params(200)
    # The best are near one dropout; the worst have the smallest learning rates.
    scores = [1.0 if abs(given["dropout"] - 0.5) < 0.04 else -1e-5 / given["learning_rate"] for given in params]
    measured = measure_importance(params, scores, SPACE, np.random.default_rng(1))
    assert max(measured, key=lambda name: measured[name].value) == "dropout"


def test_scores_that_nothing_decides_stay_within_chance() -> None:
    scores = np.random.default_rng(2).standard_normal(200).tolist()
    measured = measure_importance(_params(200), scores, SPACE, np.random.default_rng(1))
    assert sum(of_name.value > of_name.by_chance for of_name in measured.values()) <= 2


def test_the_same_randomness_gives_the_same_importance() -> None:
    params = _params(40)
    scores = [given["learning_rate"] for given in params]
    both = [measure_importance(params, scores, SPACE, np.random.default_rng(3)) for _ in range(2)]
    assert both[0] == both[1]


def test_trials_that_cannot_be_compared_are_left_out() -> None:
    params = _params(MIN_TRIALS)
    scores = [float(place) for place in range(MIN_TRIALS)]
    rng = np.random.default_rng(4)
    assert measure_importance(params, scores, SPACE, rng)
    assert measure_importance(params, [*scores[:-1], float("nan")], SPACE, rng) == {}
    assert measure_importance([*params[:-1], {**params[-1], "dropout": 0.99}], scores, SPACE, rng) == {}
    assert measure_importance(params, [1.0] * MIN_TRIALS, SPACE, rng) == {}
