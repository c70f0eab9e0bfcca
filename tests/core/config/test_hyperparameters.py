from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import HYPERPARAMETER_NAMES, Hyperparameters, LossConfig, ModelConfig, TrainingConfig, parse

VALUES = st.fixed_dictionaries(
    {
        "learning_rate": st.floats(1e-6, 1.0),
        "batch_size": st.integers(1, 4096),
        "weight_decay": st.floats(0.0, 1.0),
        "dropout": st.floats(0.0, 0.99),
        "focal_gamma": st.floats(0.0, 10.0),
        "mixup_alpha": st.floats(0.0, 10.0),
    }
)


def _leaves(content: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for section, settings in content.items():
        for name, value in settings.items():
            yield f"{section}.{name}", value


@given(VALUES)
def test_each_hyperparameter_takes_its_place_in_the_recipe_and_nothing_else_changes(values: dict[str, Any]) -> None:
    recipe = TrainingConfig()
    before = dict(_leaves(recipe.model_dump()))
    after = dict(_leaves(Hyperparameters(**values).apply(recipe).model_dump()))
    assert list(before) == list(after)
    searched = {name for name in before if name.partition(".")[2] in HYPERPARAMETER_NAMES}
    assert {name.partition(".")[2] for name in searched} == set(values)
    assert {name.partition(".")[2]: after[name] for name in searched} == values
    assert {name: after[name] for name in set(after) - searched} == {
        name: before[name] for name in set(before) - searched
    }


@given(VALUES)
def test_a_loss_without_focal_gamma_keeps_its_own(values: dict[str, Any]) -> None:
    recipe = TrainingConfig(loss=LossConfig(kind="label_smoothing"))
    applied = Hyperparameters(**values).apply(recipe)
    assert applied.loss == recipe.loss
    assert parse(TrainingConfig, applied.model_dump(mode="json"), "here") == applied


SIX = {
    "learning_rate": 1e-4,
    "batch_size": 64,
    "weight_decay": 0.01,
    "dropout": 0.1,
    "focal_gamma": 1.0,
    "mixup_alpha": 0.2,
}


@pytest.mark.parametrize("missing", [{}, {"window": None}, {"window": float("nan")}, {"window": pd.NA}])
def test_an_optional_hyperparameter_that_was_not_searched_leaves_the_recipe_alone(missing: dict[str, Any]) -> None:
    picked = Hyperparameters.pick({**SIX, **missing, "origin": "sampler"})
    assert picked == Hyperparameters(**SIX)
    assert set(picked.model_dump()) == set(SIX)
    assert picked.apply(TrainingConfig()).model == ModelConfig(dropout=0.1)


def test_an_optional_hyperparameter_that_was_searched_is_part_of_the_recipe() -> None:
    picked = Hyperparameters.pick({**SIX, "window": 16})
    assert picked.apply(TrainingConfig()).model == ModelConfig(dropout=0.1, window=16)
    assert parse(Hyperparameters, picked.model_dump(mode="json"), "here") == picked
