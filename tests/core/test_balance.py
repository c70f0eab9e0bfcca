from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from core.balance import class_weights


@given(counts=st.tuples(*[st.integers(1, 300)] * 3))
def test_balanced_weights_are_scikit_learns(counts: tuple[int, int, int]) -> None:
    labels = np.repeat([0, 1, 2], counts).astype(np.int8)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    np.testing.assert_allclose(class_weights(labels, "balanced"), expected)
    np.testing.assert_allclose(class_weights(labels, "sqrt"), np.sqrt(expected))


def test_balanced_classes_weigh_equally_in_sum() -> None:
    labels = np.repeat([0, 1, 2], [25, 50, 25])
    np.testing.assert_allclose(class_weights(labels, "balanced") * [25, 50, 25], [100 / 3] * 3)


def test_none_is_one_for_all() -> None:
    assert class_weights(np.array([0, 0, 0, 1]), "none").tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("kind", ["balanced", "sqrt"])
def test_a_class_that_does_not_occur_has_weight_one(kind: str) -> None:
    weights = class_weights(np.array([0, 0, 1, 1]), kind)  # type: ignore[arg-type]
    assert weights[2] == 1.0
    assert np.isfinite(weights).all()
