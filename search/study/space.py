"""The search space: the range of each hyperparameter that `core.config.hyperparameters` declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, ValidationError, model_validator

from core.config import HYPERPARAMETER_NAMES, OPTIONAL_NAMES, Config, Hyperparameters
from core.errors import ConfigError

if TYPE_CHECKING:  # so that the settings of a campaign can be read without them
    import numpy as np
    from optuna.distributions import BaseDistribution


STEP = 1 / 8
"""Length of a step to a neighbouring value, as a share of a range on its scale."""


class Range(Config):
    """A range of real numbers from low to high."""

    low: float
    """Smallest value."""
    high: float
    """Largest value."""
    log: bool = False
    """Sample on a logarithmic scale: equal factors, not equal steps, are equally likely."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.low < self.high:
            raise ValueError("low must be less than high")
        if self.log and self.low <= 0:
            raise ValueError("a logarithmic range must start above 0")
        return self

    def ends(self) -> tuple[float, float]:
        """Return the smallest and the largest value."""
        return self.low, self.high

    def contains(self, value: float) -> bool:
        """Return whether a value lies in the range."""
        return self.low <= value <= self.high

    def distribution(self) -> BaseDistribution:
        """Return the range as a distribution of Optuna."""
        from optuna.distributions import FloatDistribution

        return FloatDistribution(self.low, self.high, log=self.log)

    def neighbours(self, value: float) -> tuple[float, ...]:
        """Return the values one step below and one step above a value, a step being `STEP` of the range on its scale.

        A step ends at the end of the range, and is left out where the value is there already.

        >>> Range(low=1.0, high=256.0, log=True).neighbours(16.0)
        (8.0, 32.0)
        >>> Range(low=0.0, high=0.8).neighbours(0.0)
        (0.1,)
        """
        inside = min(max(value, self.low), self.high)
        if self.log:
            factor = (self.high / self.low) ** STEP
            steps = (inside / factor, inside * factor)
        else:
            steps = (inside - STEP * (self.high - self.low), inside + STEP * (self.high - self.low))
        return tuple(step for step in (max(steps[0], self.low), min(steps[1], self.high)) if step != value)

    def at(self, shares: np.ndarray) -> np.ndarray:
        """Return the values at some shares of the range, each in 0..1, on its scale."""
        return _interpolate(self.low, self.high, self.log, shares)


class IntRange(Config):
    """A range of integers from low to high."""

    low: int
    """Smallest value."""
    high: int
    """Largest value."""
    log: bool = False
    """Sample on a logarithmic scale."""

    def distribution(self) -> BaseDistribution:
        """Return the range as a distribution of Optuna."""
        from optuna.distributions import IntDistribution

        return IntDistribution(self.low, self.high, log=self.log)

    def at(self, shares: np.ndarray) -> np.ndarray:
        """Return the values at some shares of the range, each in 0..1, on its scale."""
        import numpy as np

        values = np.rint(_interpolate(self.low - 0.5, self.high + 0.5, self.log, shares))
        return np.asarray(values.clip(self.low, self.high).astype(np.int64))


def _interpolate(low: float, high: float, log: bool, shares: np.ndarray) -> np.ndarray:
    values: np.ndarray = low * (high / low) ** shares if log else low + (high - low) * shares
    return values


class Choice(Config):
    """A choice among several integers."""

    values: tuple[int, ...] = Field(min_length=1)
    """The integers to choose from."""

    def ends(self) -> tuple[int, int]:
        """Return the smallest and the largest value."""
        return min(self.values), max(self.values)

    def contains(self, value: float) -> bool:
        """Return whether a value is among the choices."""
        return value in self.values

    def distribution(self) -> BaseDistribution:
        """Return the choice as a distribution of Optuna."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.values)

    def neighbours(self, value: float) -> tuple[int, ...]:
        """Return the next smaller and the next larger of the values; one of them where the other does not exist.

        >>> Choice(values=(256, 64, 128)).neighbours(64)
        (128,)
        """
        smaller = [other for other in self.values if other < value]
        larger = [other for other in self.values if other > value]
        return (*sorted(smaller)[-1:], *sorted(larger)[:1])

    def at(self, shares: np.ndarray) -> np.ndarray:
        """Return the values at some shares, each in 0..1, of the list."""
        import numpy as np

        indices = (shares * len(self.values)).astype(np.int64).clip(0, len(self.values) - 1)
        return np.asarray(np.asarray(self.values)[indices])


Dimension = Range | IntRange | Choice


class SpaceConfig(Config):
    """The range of each hyperparameter; what each of them means is documented in `core.config.Hyperparameters`."""

    learning_rate: Range = Range(low=1e-5, high=2e-3, log=True)
    batch_size: Choice = Choice(values=(64, 128, 256, 512))
    weight_decay: Range = Range(low=1e-4, high=1e-1, log=True)
    dropout: Range = Range(low=0.0, high=0.6)
    focal_gamma: Range = Range(low=0.0, high=5.0)
    mixup_alpha: Range = Range(low=0.0, high=0.5)
    window: Choice | None = None
    """Numbers of bars that the network may see, none of them more than a window of the data has; not searched if not
    given."""

    @model_validator(mode="before")
    @classmethod
    def _merge_with_defaults(cls, content: Any) -> Any:
        """Fill in what a partly given range leaves out from its default: above all, whether it is logarithmic."""
        if not isinstance(content, dict):
            return content
        merged = dict(content)
        for name in set(content) & set(cls.model_fields):
            if isinstance(content[name], dict):
                default = cls.model_fields[name].default
                fields = {**(default.model_dump() if default is not None else {}), **content[name]}
                # From here on pydantic sees Python values, among which its strict mode accepts tuples but no lists.
                merged[name] = {
                    key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()
                }
        return merged

    def dimensions(self) -> dict[str, Range | Choice]:
        """Return the range of each hyperparameter that is searched, in the order of `HYPERPARAMETER_NAMES`."""
        ranges = {name: getattr(self, name) for name in (*HYPERPARAMETER_NAMES, *OPTIONAL_NAMES)}
        return {name: of_name for name, of_name in ranges.items() if of_name is not None}

    def distributions(self) -> dict[str, BaseDistribution]:
        """Return the distribution of each hyperparameter that is searched, by name."""
        return {name: of_name.distribution() for name, of_name in self.dimensions().items()}

    def contains(self, params: Mapping[str, float]) -> bool:
        """Return whether values lie in the space.

        Args:
            params: values of the hyperparameters by name, the six at least.
        """
        return all(of_name.contains(params[name]) for name, of_name in self.dimensions().items() if name in params)

    def is_of(self, params: Mapping[str, float]) -> bool:
        """Return whether values lie in the space, and are those of exactly the hyperparameters that it searches.

        Args:
            params: values of the hyperparameters by name, the six at least.
        """
        return params.keys() == self.dimensions().keys() and self.contains(params)

    def check(self) -> None:
        """Check that a preset can hold every value of the space.

        Raises:
            ConfigError: a range reaches beyond the bounds of its hyperparameter, which the message names.
        """
        for end in (min, max):
            try:
                Hyperparameters.pick({name: end(of_name.ends()) for name, of_name in self.dimensions().items()})
            except ValidationError as error:
                names = ", ".join(str(item["loc"][0]) for item in error.errors())
                raise ConfigError(
                    f"The space of {names} exceeds what a training accepts", "Narrow that range"
                ) from None
