from __future__ import annotations

from typing import Any

import numpy as np

from search.study.ped_anova import MIN_TRIALS, measure_importance
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


def test_a_power_of_2_has_its_own_name() -> None:
    space = SpaceConfig.model_validate({"batch_size": {"low": 64, "high": 512, "log2": True}})
    scores = [float(given["batch_size"]) for given in _params(40)]
    measured = measure_importance(_params(40), scores, space, np.random.default_rng(5))
    assert max(measured, key=lambda name: measured[name].value) == "batch_size"
