from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from core.config import BalanceConfig
from core.errors import ConfigError
from core.training import class_balance
from core.training.class_balance import compute_class_weights


@given(counts=st.tuples(*[st.integers(1, 300)] * 3))
def test_balanced_weights_are_scikit_learns(counts: tuple[int, int, int]) -> None:
    labels = np.repeat([0, 1, 2], counts).astype(np.int8)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    np.testing.assert_allclose(compute_class_weights(labels, "balanced"), expected)
    np.testing.assert_allclose(compute_class_weights(labels, "sqrt"), np.sqrt(expected))


def test_balanced_classes_weigh_equally_in_sum() -> None:
    labels = np.repeat([0, 1, 2], [25, 50, 25])
    np.testing.assert_allclose(compute_class_weights(labels, "balanced") * [25, 50, 25], [100 / 3] * 3)


def test_without_class_weights_every_class_weighs_one() -> None:
    assert compute_class_weights(np.array([0, 0, 0, 1]), "none").tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("kind", ["balanced", "sqrt"])
def test_a_class_that_does_not_occur_has_weight_one(kind: str) -> None:
    weights = compute_class_weights(np.array([0, 0, 1, 1]), kind)  # type: ignore[arg-type]
    assert weights[2] == 1.0
    assert np.isfinite(weights).all()


def test_effective_weights_tell_classes_apart_however_many_rows_there_are() -> None:
    for count in (1_000, 1_000_000):
        labels = np.repeat([0, 1, 2], [count, 2 * count, count])
        weights = class_balance.compute_class_weights(labels, "effective")
        assert weights[0] == weights[2] > weights[1] * 1.3
        assert np.average(weights, weights=np.bincount(labels)) == pytest.approx(1)


def test_effective_numbers_follow_the_formula() -> None:
    counts = np.array([10.0, 100.0, 890.0])
    beta = 1 - 1 / 1000
    np.testing.assert_allclose(class_balance.effective_numbers(counts), (1 - beta**counts) / (1 - beta))


def test_oversampling_makes_all_classes_equal_and_keeps_every_row() -> None:
    rows = np.arange(100, 200)
    labels = np.repeat([0, 1, 2], [10, 70, 20])
    sampled = class_balance.oversample(rows, labels, np.random.default_rng(0))
    assert np.bincount(labels[sampled - 100]).tolist() == [70, 70, 70]
    assert set(sampled) == set(rows)
    assert class_balance.oversample(rows, np.ones(100, dtype=int), np.random.default_rng(0)).tolist() == rows.tolist()


def test_compensating_twice_is_refused_with_the_reason_unless_asked_for() -> None:
    with pytest.raises(ConfigError, match="compensate twice"):
        class_balance.check_balance(BalanceConfig(class_weights="sqrt", oversample=True))
    class_balance.check_balance(BalanceConfig(class_weights="sqrt", oversample=True, allow_double=True))
    class_balance.check_balance(BalanceConfig(class_weights="none", oversample=True))
    class_balance.check_balance(BalanceConfig())
