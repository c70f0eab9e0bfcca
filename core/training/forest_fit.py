"""Fits a forest on the last bar's features, which sees what a linear path cannot.

Shapes: F features, M nodes of all trees; 3 classes (SELL, HOLD, BUY).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from core.data.dataset import Dataset
from core.data.labels import CLASSES
from core.models.forest import Forest

TREES, MAX_DEPTH, FEATURE_SHARE = 100, 12, 0.3
MIN_LEAF_ROWS, MAX_LEAVES = 50, 400
"""A leaf has at least so many rows of train, and so large a part of them that a tree has no more leaves than this."""


def fit_forest(dataset: Dataset) -> Forest:
    """Fit extremely randomised trees on the last bar's features of the train rows. Geurts et al. 2006.

    Classes weigh the same, as in the path from the last bar. The same dataset gives the same forest.

    Args:
        dataset: holds features and labels; rows outside train are not read.
    """
    from sklearn.ensemble import ExtraTreesClassifier  # memory that a trial may have no use for

    labels = dataset.labels[dataset.train]
    model = ExtraTreesClassifier(
        TREES,
        max_depth=MAX_DEPTH,
        max_features=FEATURE_SHARE,
        min_samples_leaf=max(MIN_LEAF_ROWS, len(labels) // MAX_LEAVES),
        class_weight="balanced",
        random_state=0,
    )
    model.fit(dataset.features[dataset.train], labels)
    trees = [_tree_arrays(tree.tree_, model.classes_) for tree in model.estimators_]
    roots = np.cumsum([0, *(len(tree["left"]) for tree in trees[:-1])])
    for tree, root in zip(trees, roots, strict=True):
        tree["left"] += root
        tree["right"] += root
    return Forest.from_arrays({"roots": roots, **{name: np.concatenate([t[name] for t in trees]) for name in trees[0]}})


def _tree_arrays(tree: Any, classes: np.ndarray) -> dict[str, np.ndarray]:
    """Return the nodes of one of scikit-learn's trees, under the names that they have in `Forest`.

    Args:
        tree: the tree, with the arrays that scikit-learn documents.
        classes: the classes that train has, in the order of the tree's values.
    """
    numbers = np.arange(tree.node_count)
    is_leaf = tree.children_left < 0
    shares = np.zeros((tree.node_count, len(CLASSES)))
    shares[:, classes] = tree.value[:, 0] / tree.value[:, 0].sum(axis=1, keepdims=True)
    return {
        "left": np.where(is_leaf, numbers, tree.children_left),
        "right": np.where(is_leaf, numbers, tree.children_right),
        "feature": np.where(is_leaf, 0, tree.feature),
        "threshold": np.where(is_leaf, 0.0, tree.threshold),
        "shares": shares,
    }
