"""A forest of decision trees on the last bar's features, which predictions of a network are blended with.

It is a handful of arrays: a checkpoint keeps it without pickling code, and predicting needs no other library.

Shapes: M nodes of all trees, T trees, N rows, F features; 3 classes (SELL, HOLD, BUY).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from core.data.labels import CLASSES

EQUAL_WEIGHT = 0.5
"""Weight of a forest in a blend where no rows say otherwise."""
_MIN_PROBABILITY = 1e-4
"""What a forest takes a class to be worth that none of its leaves has seen."""
MAX_DEPTH = 64
"""Deepest tree that is accepted."""
MAX_TREES = 10_000
"""Most trees that are accepted."""
_ROWS_TIMES_TREES = 409_600
"""Rows that are predicted at a time, times the trees: what bounds the memory."""
_TYPES = {
    "roots": np.int32,
    "left": np.int32,
    "right": np.int32,
    "feature": np.int32,
    "threshold": np.float64,
    "shares": np.float32,
}
"""Types of the arrays of a forest."""
_WEIGHT = "weight"


@dataclass(frozen=True)
class Forest:
    """Predicts class probabilities: the mean over trees of the class shares in the leaf that a row falls into.

    The nodes of all trees lie one after the other; a child comes after its parent, and a leaf is its own child.

    Attributes:
        roots: first node of each tree, int32 `[T]`.
        left, right: the node that a row goes on to, int32 `[M]`: left if its feature is no larger than the threshold.
        feature: the feature that a node compares, int32 `[M]`.
        threshold: what it is compared with, float64 `[M]`.
        shares: class shares in a leaf, float32 `[M, 3]`; not used at other nodes.
        weight: weight of the forest in a blend with a network, in 0..1.
    """

    roots: np.ndarray
    left: np.ndarray
    right: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    shares: np.ndarray
    weight: float = EQUAL_WEIGHT

    def __post_init__(self) -> None:
        """Check that every row reaches a leaf of every tree.

        Raises:
            ValueError: shapes or values do not make a forest.
        """
        nodes = len(self.left)
        shapes = {"roots": (len(self.roots),), "shares": (nodes, len(CLASSES))}
        if nodes == 0 or not 1 <= len(self.roots) <= MAX_TREES:
            raise ValueError(f"a forest of {len(self.roots)} trees")
        for name, values in self.arrays().items():
            if values.shape != shapes.get(name, (nodes,)) or values.dtype != _TYPES[name]:
                raise ValueError(f"a forest whose {name} do not fit")
        is_leaf, numbers = self.left == self.right, np.arange(nodes)
        if not ((is_leaf & (self.left == numbers)) | (np.minimum(self.left, self.right) > numbers)).all():
            raise ValueError("a forest whose nodes do not lead to leaves")
        if max(self.left.max(), self.right.max(), self.roots.max()) >= nodes or self.roots.min() < 0:
            raise ValueError("a forest whose nodes are missing")
        if not self._has_leaves_within(MAX_DEPTH):
            raise ValueError("a forest whose trees are too deep")
        if self.feature.min() < 0 or not np.isfinite(self.threshold).all():
            raise ValueError("a forest whose comparisons are damaged")
        if not (np.isfinite(self.shares).all() and self.shares.min() >= 0):
            raise ValueError("a forest whose shares are damaged")
        if not 0 <= self.weight <= 1:
            raise ValueError("a forest whose weight is damaged")

    def _has_leaves_within(self, depth: int) -> bool:
        """Return whether no path from a root takes more than `depth` steps to a leaf: each costs time for every row."""
        nodes = np.unique(self.roots)
        for _ in range(depth + 1):
            nodes = nodes[self.left[nodes] != nodes]
            if len(nodes) == 0:
                return True
            nodes = np.unique([self.left[nodes], self.right[nodes]])
        return False

    def check_features(self, count: int) -> None:
        """Check that the trees compare no feature beyond a number of them.

        Raises:
            ValueError: a feature is missing.
        """
        if self.feature.max() >= count:
            raise ValueError("a forest whose features are missing")

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], weight: float = EQUAL_WEIGHT) -> Forest:
        """Return the forest of arrays by their names in this class, of any number types.

        Raises:
            KeyError, ValueError: the arrays do not make a forest.
        """
        roots, left, right, feature, threshold, shares = (
            np.asarray(arrays[name]).astype(dtype) for name, dtype in _TYPES.items()
        )
        return cls(roots, left, right, feature, threshold, shares, weight)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays by their names in this class."""
        return {name: getattr(self, name) for name in _TYPES}

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Return class probabilities, float64 `[N, 3]`, of features `[N, F]`."""
        step = max(_ROWS_TIMES_TREES // len(self.roots), 1)
        parts = [self._probabilities(features[start : start + step]) for start in range(0, len(features), step)]
        return np.concatenate(parts) if parts else np.zeros((0, len(CLASSES)))

    def _probabilities(self, features: np.ndarray) -> np.ndarray:
        rows = np.arange(len(features))[:, None]
        nodes = np.tile(self.roots, (len(features), 1))
        while True:
            is_left = features[rows, self.feature[nodes]] <= self.threshold[nodes]
            following = np.where(is_left, self.left[nodes], self.right[nodes])
            if (following == nodes).all():
                return np.asarray(self.shares[nodes].mean(axis=1, dtype=np.float64))
            nodes = following

    def blended(self, network: np.ndarray, features: np.ndarray) -> np.ndarray:
        """Blend a network's logits `[N, 3]` with what the forest says of the same rows' features, `[N, F]`."""
        return blend(network, self.logits(features), self.weight)

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return the logarithms of the probabilities, float64 `[N, 3]`, of features `[N, F]`."""
        return np.asarray(np.log(np.maximum(self.probabilities(features), _MIN_PROBABILITY)))


def blend(network: np.ndarray, forest: np.ndarray, weight: float) -> np.ndarray:
    """Return the weighted mean of a network's logits and a forest's, `[N, 3]` each, less its mean over the classes.

    Its softmax is the weighted geometric mean of the two models' probabilities.
    """
    mean = (1 - weight) * network + weight * forest
    return np.asarray(mean - mean.mean(axis=1, keepdims=True))


def as_tensors(forest: Forest | None) -> dict[str, Tensor] | None:
    """Return a forest as a checkpoint keeps it; None without a forest."""
    if forest is None:
        return None
    arrays = {name: torch.from_numpy(values) for name, values in forest.arrays().items()}
    return {**arrays, _WEIGHT: torch.tensor(forest.weight, dtype=torch.float64)}


def from_tensors(tensors: Mapping[str, Tensor] | None) -> Forest | None:
    """Return the forest of what `as_tensors` returned.

    Raises:
        KeyError, ValueError: the tensors do not make a forest.
    """
    if tensors is None:
        return None
    return Forest.from_arrays({name: tensors[name].numpy() for name in _TYPES}, float(tensors[_WEIGHT]))
