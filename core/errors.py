"""The errors that a user can cause and fix: each says what is wrong and where, and what to do about it."""

from __future__ import annotations


def one_line(error: object) -> str:
    """Return the whole text of an error in one line, for a message or a table.

    Args:
        error: the error, or anything whose text is shown.
    """
    return " ".join(str(error).split())


def first_line(error: Exception | None) -> str:
    """Return an error as one line; without an error, that the process died.

    Args:
        error: the error of a training; None if its process is gone and left none.
    """
    lines = str(error).strip().splitlines() if error is not None else []
    return f"{type(error).__name__}: {lines[0]}" if lines else "the trial's process died"


class PresetSearchError(Exception):
    """Base of every error that ends a command with one line and exit code 2.

    Args:
        what: what is wrong and where, as a sentence without its full stop.
        remedy: what the reader can do about it: an imperative sentence without its full stop.
    """

    def __init__(self, what: str, remedy: str) -> None:
        self.what = what
        self.remedy = remedy
        super().__init__(f"{what}. {remedy}.")

    def __reduce__(self) -> tuple[type[PresetSearchError], tuple[str, str]]:
        # Exceptions are rebuilt from `args`; ours hold the joined line, not the two halves.
        return type(self), (self.what, self.remedy)


class ConfigError(PresetSearchError):
    """Raised when a setting, a name or a path cannot be used."""


class DataError(PresetSearchError):
    """Raised when market data are missing, damaged or too few."""


class NonFiniteLossError(PresetSearchError):
    """Raised when the training loss becomes NaN or infinite.

    Args:
        step: the optimizer step within the epoch, counted from 1, at which it happened.
        epoch: the epoch, counted from 1, in which it happened.
        config: the hyperparameters in use, as a text for the message.
    """

    def __init__(self, step: int, epoch: int, config: str) -> None:
        self.step = step
        self.epoch = epoch
        self.config = config
        super().__init__(
            f"The training loss is not finite at step {step} of epoch {epoch} ({config})",
            "Lower the learning rate, or check the features for extreme values",
        )

    def __reduce__(self) -> tuple[type[NonFiniteLossError], tuple[int, int, str]]:  # type: ignore[override]
        return type(self), (self.step, self.epoch, self.config)


class NonFiniteOutputError(PresetSearchError):
    """Raised when a model that is evaluated during its training predicts NaN or infinite values.

    Args:
        steps: number of optimizer steps taken so far, over all epochs.
        config: the hyperparameters in use, as a text for the message.
    """

    def __init__(self, steps: int, config: str) -> None:
        self.steps = steps
        self.config = config
        super().__init__(
            f"The model's predictions are not finite when it is evaluated after {steps} optimizer steps ({config})",
            "Lower the learning rate or the weight decay, or check the features of validation rows for extreme values",
        )

    def __reduce__(self) -> tuple[type[NonFiniteOutputError], tuple[int, str]]:  # type: ignore[override]
        return type(self), (self.steps, self.config)
