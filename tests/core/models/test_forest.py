from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax

from core.models import forest
from core.models.forest import Forest, as_tensors, blend, from_tensors

# Two trees: one splits the first feature at 0.5, the other is a single leaf.
ARRAYS: dict[str, Any] = {
    "roots": [0, 3],
    "left": [1, 1, 2, 3],
    "right": [2, 1, 2, 3],
    "feature": [0, 0, 0, 0],
    "threshold": [0.5, 0.0, 0.0, 0.0],
    "shares": [[0, 0, 0], [0.6, 0.4, 0], [0, 0.2, 0.8], [0.2, 0.6, 0.2]],
}


def _forest(**changes: Any) -> Forest:
    return Forest.from_arrays({**ARRAYS, **changes})


def test_a_row_gets_the_mean_of_its_leaves() -> None:
    predicted = _forest().probabilities(np.array([[0.5, 9.0], [0.6, 9.0]], dtype=np.float32))
    np.testing.assert_allclose(predicted, [[0.4, 0.5, 0.1], [0.1, 0.4, 0.5]], atol=1e-6)


def test_more_rows_than_a_block_are_predicted_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    features = np.random.default_rng(0).random((10, 1))
    whole = _forest().probabilities(features)
    monkeypatch.setattr(forest, "_ROWS_TIMES_TREES", 3)
    np.testing.assert_array_equal(_forest().probabilities(features), whole)
    assert _forest().probabilities(features[:0]).shape == (0, 3)


def test_logits_are_finite_where_a_share_is_zero() -> None:
    logits = _forest(roots=[0]).logits(np.array([[0.0]]))
    np.testing.assert_allclose(softmax(logits, axis=1), [[0.6, 0.4, 1e-4]], rtol=1e-3)


def test_a_blend_is_the_geometric_mean_of_both() -> None:
    first, second = np.array([[0.2, 0.3, 0.5]]), np.array([[0.6, 0.3, 0.1]])
    logits = blend(np.log(first) + 7, np.log(second), 0.25)
    np.testing.assert_allclose(logits.sum(axis=1), 0, atol=1e-12)
    expected = first**0.75 * second**0.25
    np.testing.assert_allclose(softmax(logits, axis=1), expected / expected.sum())
    features = np.array([[0.7]])
    heavy = replace(_forest(), weight=0.75)
    np.testing.assert_array_equal(heavy.blended(first, features), blend(first, heavy.logits(features), 0.75))


def test_a_checkpoint_keeps_all_of_a_forest() -> None:
    again = from_tensors(as_tensors(replace(_forest(), weight=0.3)))
    assert again is not None
    assert again.weight == 0.3
    for name, values in _forest().arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], values)
    assert from_tensors(as_tensors(None)) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"left": [0, 1, 2, 3]},  # a node that is its own left child leads nowhere
        {"left": [1, 0, 2, 3]},  # a circle
        {"right": [4, 1, 2, 3]},
        {"left": [-1, 1, 2, 3], "right": [-1, 1, 2, 3]},
        {"roots": [0, 4]},
        {"roots": [-1, 3]},
        {"roots": []},
        {"roots": [[0, 3]]},
        {"feature": [-1, 0, 0, 0]},
        {"feature": [0, 0, 0]},
        {"threshold": [np.nan, 0, 0, 0]},
        {"shares": np.full((4, 3), np.nan)},
        {"shares": np.full((4, 3), -1.0)},
        {"shares": np.ones((4, 2))},
        {name: [] for name in ("left", "right", "feature", "threshold", "shares")},
    ],
)
def test_damaged_arrays_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="forest"):
        _forest(**changes)


@pytest.mark.parametrize(("depth", "fits"), [(64, True), (65, False)])
def test_a_tree_that_is_too_deep_is_refused(depth: int, fits: bool) -> None:
    """A chain: each node goes on to the next, or to the leaf at the end."""
    nodes = np.arange(depth + 1)
    following = np.minimum(nodes + 1, depth)
    chain = {"roots": [0], "left": following, "right": np.where(nodes < depth, depth, nodes)}
    values = {"feature": 0 * nodes, "threshold": 0.0 * nodes, "shares": np.ones((depth + 1, 3))}
    if fits:
        assert Forest.from_arrays({**chain, **values}).probabilities(np.zeros((1, 1))).shape == (1, 3)
        return
    with pytest.raises(ValueError, match="too deep"):
        Forest.from_arrays({**chain, **values})


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan")])
def test_a_weight_that_is_no_share_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="weight"):
        replace(_forest(), weight=weight)


def test_a_missing_array_is_refused() -> None:
    with pytest.raises(KeyError):
        Forest.from_arrays({name: values for name, values in ARRAYS.items() if name != "shares"})
