from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from core.config import HYPERPARAMETER_NAMES, OPTIONAL_NAMES, parse
from core.errors import ConfigError
from search.study.space import Choice, Dimension, IntRange, PowerRange, Range, SpaceConfig


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
    powers = PowerRange(low=32, high=128, log2=True)
    assert (powers.neighbours(64), powers.neighbours(32), powers.neighbours(128)) == ((32, 128), (64,), (64,))


def test_powers_of_2_are_searched_by_their_exponents() -> None:
    space = parse(SpaceConfig, {"batch_size": {"low": 32, "high": 512, "log2": True}}, "campaign.yaml")
    powers = space.batch_size
    assert powers == PowerRange(low=32, high=512, log2=True)
    assert powers.values == (32, 64, 128, 256, 512)
    assert powers.ends() == (32, 512)
    assert powers.contains(64)
    assert not powers.contains(96)
    assert space.distributions()["log2_batch_size"] == IntDistribution(5, 9)
    assert "batch_size" not in space.distributions()
    assert powers.at(np.array([0.0, 0.19, 0.21, 0.99, 1.0])).tolist() == [32, 32, 64, 512, 512]
    space.check()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"batch_size": {"low": 48, "high": 512, "log2": True}}, "48 is no power of 2"),
        ({"batch_size": {"low": 512, "high": 512, "log2": True}}, "low must be less than high"),
        ({"batch_size": {"low": 32, "high": 512}}, "'batch_size.log2' is missing"),
        ({"batch_size": {"low": 32, "high": 512, "log2": False}}, "'batch_size.log2': input should be True"),
        ({"batch_size": {"values": [64], "low": 32}}, "unknown key 'batch_size.low'"),
        ({"batch_size": {"value": [64]}}, r"unknown key 'batch_size.value' \(did you mean 'values'\?\)"),
        ({"dropout": {"only_if": {"batchsize": 64}}}, "dropout: only_if names batchsize, which is not searched"),
        ({"dropout": {"only_if": {"window": 64}}}, "dropout: only_if names window, which is not searched"),
        ({"dropout": {"only_if": {"batch_size": 96}}}, "dropout: only_if names batch_size 96, which is not in its"),
        ({"dropout": {"only_if": {"batch_size": []}}}, "only_if"),
        ({"dropout": {"only_if": {"focal_gamma": 2.0}}}, "from a range of real numbers none is proposed twice"),
        (
            {
                "batch_size": {"values": [64, 128], "only_if": {"window": 8}},
                "window": {"values": [8, 16], "only_if": {"batch_size": 64}},
            },
            "conditions of batch_size, window depend on each other",
        ),
    ],
)
def test_a_range_that_makes_no_sense_is_refused_in_words(content: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse(SpaceConfig, content, "campaign.yaml")


def test_a_hyperparameter_is_searched_only_where_its_condition_holds() -> None:
    content = {"mixup_alpha": {"low": 0.05, "high": 0.4, "only_if": {"batch_size": [64, 128]}}}
    space = parse(SpaceConfig, content, "campaign.yaml")
    assert space.conditions() == {"mixup_alpha": {"batch_size": (64.0, 128.0)}}
    assert parse(SpaceConfig, space.model_dump(mode="json"), "again") == space
    given = {name: dimension.ends()[0] for name, dimension in SpaceConfig().dimensions().items()}
    base = {"mixup_alpha": 0.2}
    for batch_size, mixup_alpha, expected in ((64, 0.3, True), (64, 0.5, False), (256, 0.3, False), (256, 0.2, True)):
        params = {**given, "batch_size": batch_size, "mixup_alpha": mixup_alpha}
        assert space.contains(params, base) is space.is_of(params, base) is expected
    assert not space.contains({**given, "batch_size": 256, "mixup_alpha": 0.2})  # without a base value, none fits


def test_a_space_without_conditions_says_nothing_of_them() -> None:
    assert "only_if" not in str(SpaceConfig().model_dump())


@pytest.mark.parametrize(
    "dimension",
    [
        Range(low=1e-4, high=1e-1, log=True),
        Range(low=-1.0, high=3.0),
        IntRange(low=2, high=9),
        Choice(values=(8, 16, 64)),
        PowerRange(low=8, high=64, log2=True),
    ],
)
def test_shares_are_the_inverse_of_values(dimension: Dimension) -> None:
    values = dimension.at(np.linspace(0.01, 0.99, 30))
    shares = dimension.shares(values)
    assert ((shares >= 0) & (shares <= 1)).all()
    assert dimension.at(shares) == pytest.approx(values)
    assert (np.diff(shares) >= 0).all()
