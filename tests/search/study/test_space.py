from __future__ import annotations

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from core.config import HYPERPARAMETER_NAMES, OPTIONAL_NAMES, parse
from core.errors import ConfigError
from search.study.space import Choice, IntRange, Range, SpaceConfig


def test_the_space_names_what_a_preset_names() -> None:
    assert tuple(SpaceConfig.model_fields) == (*HYPERPARAMETER_NAMES, *OPTIONAL_NAMES)


def test_the_default_space_is_that_of_the_design() -> None:
    assert SpaceConfig().distributions() == {
        "learning_rate": FloatDistribution(1e-5, 2e-3, log=True),
        "batch_size": CategoricalDistribution((64, 128, 256, 512)),
        "weight_decay": FloatDistribution(1e-4, 1e-1, log=True),
        "dropout": FloatDistribution(0.0, 0.6),
        "focal_gamma": FloatDistribution(0.0, 5.0),
        "mixup_alpha": FloatDistribution(0.0, 0.5),
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"dropout": {"low": 0.5, "high": 0.5}}, "low must be less than high"),
        ({"learning_rate": {"low": 0.0, "high": 0.1, "log": True}}, "must start above 0"),
        ({"batch_size": {"values": []}}, "at least 1 item"),
        ({"dropuot": {"low": 0.1, "high": 0.5}}, "did you mean 'dropout'"),
    ],
)
def test_an_impossible_space_is_refused(content: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(SpaceConfig, content, "campaign.yaml")


def test_a_space_beyond_what_a_training_accepts_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="dropout"):
        SpaceConfig(dropout=Range(low=0.0, high=1.2)).check()
    with pytest.raises(ConfigError, match="batch_size"):
        SpaceConfig(batch_size=Choice(values=(0, 64))).check()
    SpaceConfig().check()


def test_a_partly_given_range_keeps_the_rest_of_its_default() -> None:
    space = parse(SpaceConfig, {"learning_rate": {"high": 1e-3}, "dropout": {"low": 0.2}}, "campaign.yaml")
    assert space.learning_rate == Range(low=1e-5, high=1e-3, log=True)
    assert space.dropout == Range(low=0.2, high=0.6)
    assert space.weight_decay == SpaceConfig().weight_decay


def test_the_window_is_searched_where_the_space_names_it() -> None:
    space = parse(SpaceConfig, {"window": {"values": [8, 16]}}, "campaign.yaml")
    assert space.distributions() == {**SpaceConfig().distributions(), "window": CategoricalDistribution((8, 16))}
    space.check()
    six = {name: of_name.ends()[0] for name, of_name in SpaceConfig().dimensions().items()}
    assert space.contains(six)
    assert space.contains({**six, "window": 8})
    assert not space.contains({**six, "window": 9})
    assert space.is_of({**six, "window": 8})
    assert not space.is_of(six)
    assert not SpaceConfig().is_of({**six, "window": 8})
    with pytest.raises(ConfigError, match="space of window exceeds"):
        SpaceConfig(window=Choice(values=(1, 8))).check()


def test_shares_of_a_range_are_values_on_its_scale() -> None:
    shares = np.array([0.0, 0.5, 1.0])
    np.testing.assert_allclose(Range(low=1e-4, high=1e-2, log=True).at(shares), [1e-4, 1e-3, 1e-2])
    np.testing.assert_allclose(Range(low=0.0, high=0.6).at(shares), [0.0, 0.3, 0.6])
    assert IntRange(low=1, high=3).at(np.linspace(0, 1, 7)).tolist() == [1, 1, 2, 2, 2, 3, 3]
    assert IntRange(low=16, high=512, log=True).at(shares).tolist() == [16, 89, 512]
    assert Choice(values=(64, 128)).at(np.array([0.0, 0.49, 0.5, 1.0])).tolist() == [64, 64, 128, 128]
    assert IntRange(low=16, high=512, log=True).distribution() == IntDistribution(16, 512, log=True)


def test_a_neighbour_is_a_step_away_and_inside_the_range() -> None:
    linear, log = Range(low=0.0, high=0.8), Range(low=1e-4, high=1.0, log=True)
    assert linear.neighbours(0.4) == pytest.approx((0.3, 0.5))
    assert log.neighbours(1e-2) == pytest.approx((10**-2.5, 10**-1.5))
    assert linear.neighbours(0.05) == pytest.approx((0.0, 0.15))  # the step ends with the range
    assert (linear.neighbours(0.0), log.neighbours(1.0)) == (pytest.approx((0.1,)), pytest.approx((10**-0.5,)))
    # A preset that was tried first may lie outside, or where a logarithm ends.
    assert log.neighbours(0.0) == pytest.approx((1e-4, 10**-3.5))
    choice = Choice(values=(512, 64, 256, 128))
    assert (choice.neighbours(128), choice.neighbours(64), choice.neighbours(512)) == ((64, 256), (128,), (256,))
    assert choice.neighbours(100) == (64, 128)
