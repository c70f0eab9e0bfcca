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
