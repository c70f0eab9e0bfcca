from __future__ import annotations

import pickle

import pytest

from core.errors import ConfigError, DataError, NonFiniteLossError, NonFiniteOutputError, PresetSearchError


@pytest.mark.parametrize("kind", [PresetSearchError, ConfigError, DataError])
def test_the_message_says_what_is_wrong_and_then_what_to_do(kind: type[PresetSearchError]) -> None:
    assert str(kind("The file is empty", "Write it again")) == "The file is empty. Write it again."


def test_a_non_finite_loss_names_step_epoch_settings_and_a_remedy() -> None:
    message = str(NonFiniteLossError(7, 2, "learning_rate=0.5"))
    assert "step 7 of epoch 2 (learning_rate=0.5)" in message
    assert "Lower the learning rate" in message


# Errors cross process borders: a worker raises what a driver reports.
@pytest.mark.parametrize(
    "error",
    [
        ConfigError("what", "remedy"),
        DataError("what", "remedy"),
        NonFiniteLossError(3, 1, "lr=1"),
        NonFiniteOutputError(3, "lr=1"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_survive_pickling_whole(error: PresetSearchError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


@pytest.mark.parametrize("kind", [ConfigError, DataError, NonFiniteLossError, NonFiniteOutputError])
def test_every_error_that_a_user_can_fix_has_one_base(kind: type[Exception]) -> None:
    assert issubclass(kind, PresetSearchError)
