from __future__ import annotations

import math

import pandas as pd
import pytest

from core.evaluation.metric_names import METRIC_NAMES
from search.report import wording


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.43217, "0.4322"), (-0.5, "-0.5000"), (0.0, "0.0000"), (1e-5, "1.0e-05"), (0.0123, "0.0123"),
        (123.456, "123.5"), (2.5e7, "2.5e+07"), (12, "12"), (False, "no"), (True, "yes"), ("text", "text"),
        (None, ""), (float("nan"), ""), (pd.NA, ""),
    ],
)  # fmt: skip
def test_figures_are_short_and_nothing_is_empty(value: object, text: str) -> None:
    assert wording.figure(value) == text


def test_every_metric_has_a_name() -> None:
    assert set(wording.METRICS) == set(METRIC_NAMES)
    assert wording.metric_name("own_metric") == "own_metric"
    assert wording.metric_sentence("own_metric") == "Trials are ranked by own_metric."
    assert "0.5 is guessing" in wording.metric_sentence("auc")


def test_an_interval_without_ends_is_none() -> None:
    assert wording.interval(0.1, 0.2) == "0.1000 to 0.2000"
    assert wording.interval(None, 0.2) == wording.interval(0.1, math.inf) == "none"
