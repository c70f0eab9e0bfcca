from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score, matthews_corrcoef

from core.config import RankingMetric
from core.evaluation.confusion import CALL_METRICS

REFERENCES = {
    "macro_f1": lambda labels, calls: f1_score(labels, calls, average="macro", labels=[0, 1, 2], zero_division=0),
    "mcc": matthews_corrcoef,
    "balanced_accuracy": balanced_accuracy_score,
}


@pytest.mark.parametrize("metric", CALL_METRICS)
@given(seed=st.integers(0, 100), count=st.integers(20, 200))
def test_metrics_of_counts_are_those_of_scikit_learn(metric: RankingMetric, seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.append(rng.integers(0, 3, count), [0, 1, 2])
    calls = np.append(rng.integers(0, 3, count), [0, 1, 2])
    counts = np.bincount(labels * 3 + calls, minlength=9).reshape(1, 3, 3)
    assert CALL_METRICS[metric](counts)[0] == pytest.approx(REFERENCES[metric](labels, calls))
