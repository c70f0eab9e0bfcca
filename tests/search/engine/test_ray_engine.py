"""What Ray Tune calls in every step."""

from __future__ import annotations

import pickle

import pytest

from search.engine.ray_engine import StepCallback


def test_the_callback_calls_its_function_in_every_step() -> None:
    seen: list[int] = []
    callback = StepCallback(lambda: seen.append(1))
    callback.on_step_end(0, [])
    callback.on_step_end(1, [])
    assert len(seen) == 2


def test_tune_can_pickle_the_callback_although_its_function_cannot_be_pickled() -> None:
    callback = StepCallback(lambda: None)
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(callback._on_step)
    pickle.loads(pickle.dumps(callback)).on_step_end(0, [])
