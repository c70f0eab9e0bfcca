"""The search space: the range of each hyperparameter that `core.config.hyperparameters` declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, ValidationError, model_validator

from core.config import HYPERPARAMETER_NAMES, OPTIONAL_NAMES, Config, Hyperparameters
from core.errors import ConfigError
from search.study.conditions import Condition, in_order, inactive
from search.study.encoding import LOG2

if TYPE_CHECKING:  # so that the settings of a campaign can be read without them
    import numpy as np
    from optuna.distributions import BaseDistribution

STEP = 1 / 8
"""Length of a step to a neighbouring value, as a share of a range on its scale."""


def _as_values(condition: Any) -> Any:
    """Return a condition of a YAML file with a tuple of values in the place of a list or of a single value."""
    if not isinstance(condition, dict):
        return condition
    return {
        name: tuple(values) if isinstance(values, list | tuple) else (values,) for name, values in condition.items()
    }


class _Dimension(Config):
    """What all ranges share."""

    only_if: Annotated[dict[str, Annotated[tuple[float, ...], Field(min_length=1)]], BeforeValidator(_as_values)] = (
        Field(default={}, exclude_if=lambda condition: not condition)
    )
    """Values that other hyperparameters must have for this one to be searched, by name: a value, or a list of them.
    Where they have others, it keeps the value of the campaign's base preset."""


class Range(_Dimension):
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

    def shares(self, values: np.ndarray) -> np.ndarray:
        """Return at which shares of the range some values lie: the inverse of `at`."""
        return _shares(self.low, self.high, self.log, values)


class IntRange(_Dimension):
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

    def shares(self, values: np.ndarray) -> np.ndarray:
        """Return at which shares of the range some values lie: the middles of those that `at` maps to them."""
        return _shares(self.low - 0.5, self.high + 0.5, self.log, values)


def _interpolate(low: float, high: float, log: bool, shares: np.ndarray) -> np.ndarray:
    values: np.ndarray = low * (high / low) ** shares if log else low + (high - low) * shares
    return values


def _shares(low: float, high: float, log: bool, values: np.ndarray) -> np.ndarray:
    import numpy as np

    shares: np.ndarray = np.log(values / low) / np.log(high / low) if log else (values - low) / (high - low)
    return shares


class Choice(_Dimension):
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

    def shares(self, values: np.ndarray) -> np.ndarray:
        """Return at which shares of the choices some values lie, which are ordered by size and equally spaced."""
        import numpy as np

        ranks = np.searchsorted(np.sort(np.asarray(self.values)), values)
        return np.asarray((ranks + 0.5) / len(self.values))


class PowerRange(_Dimension):
    """The powers of 2 from low to high, searched by their exponents: unlike choices, these have neighbours."""

    low: int = Field(ge=1)
    """Smallest value, a power of 2."""
    high: int
    """Largest value, a power of 2."""
    log2: Literal[True]
    """Says that only powers of 2 are meant."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        for end in self.ends():
            if end.bit_count() != 1:
                raise ValueError(f"{end} is no power of 2, as log2 asks for")
        if not self.low < self.high:
            raise ValueError("low must be less than high")
        return self

    @property
    def values(self) -> tuple[int, ...]:
        """All values, from the smallest."""
        return tuple(2**exponent for exponent in range(self._exponents.low, self._exponents.high + 1))

    @property
    def _exponents(self) -> IntRange:
        return IntRange(low=self.low.bit_length() - 1, high=self.high.bit_length() - 1)

    def ends(self) -> tuple[int, int]:
        """Return the smallest and the largest value."""
        return self.low, self.high

    def contains(self, value: float) -> bool:
        """Return whether a value is one of the powers."""
        return value in self.values

    def distribution(self) -> BaseDistribution:
        """Return the range of the exponent as a distribution of Optuna."""
        return self._exponents.distribution()

    def neighbours(self, value: float) -> tuple[int, ...]:
        """Return the next smaller and the next larger power; one of them where the other is not in the range."""
        return Choice(values=self.values).neighbours(value)

    def at(self, shares: np.ndarray) -> np.ndarray:
        """Return the values at some shares of the range, each in 0..1, on the scale of the exponent."""
        import numpy as np

        return np.asarray(2 ** self._exponents.at(shares))

    def shares(self, values: np.ndarray) -> np.ndarray:
        """Return at which shares of the range some values lie: the middles of those that `at` maps to them."""
        import numpy as np

        return self._exponents.shares(np.log2(values))


def _kind_of_integers(given: Any) -> str:
    """Return which way to name integers a YAML file or a program has taken."""
    names_ends = isinstance(given, dict) and "values" not in given and bool({"low", "high", "log2"} & given.keys())
    return "<range>" if names_ends or isinstance(given, PowerRange) else "<choice>"


Integers = Annotated[
    Annotated[Choice, Tag("<choice>")] | Annotated[PowerRange, Tag("<range>")], Discriminator(_kind_of_integers)
]
"""Either `{values: [64, 128]}` or `{low: 64, high: 512, log2: true}`."""
Dimension = Range | IntRange | Choice | PowerRange


def study_distributions(dimensions: Mapping[str, Dimension]) -> dict[str, BaseDistribution]:
    """Return the distributions of hyperparameters by the names that they have in Optuna's study.

    Args:
        dimensions: range of each hyperparameter, by name.
    """
    return {
        LOG2 + name if isinstance(dimension, PowerRange) else name: dimension.distribution()
        for name, dimension in dimensions.items()
    }


class SpaceConfig(Config):
    """The range of each hyperparameter; what each of them means is documented in `core.config.Hyperparameters`."""

    learning_rate: Range = Range(low=1e-5, high=2e-3, log=True)
    batch_size: Integers = Choice(values=(64, 128, 256, 512))
    weight_decay: Range = Range(low=1e-4, high=1e-1, log=True)
    dropout: Range = Range(low=0.0, high=0.6)
    focal_gamma: Range = Range(low=0.0, high=5.0)
    mixup_alpha: Range = Range(low=0.0, high=0.5)
    window: Integers | None = None
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
                is_alike = default is not None and (
                    not isinstance(default, Choice | PowerRange)
                    or _kind_of_integers(default) == _kind_of_integers(content[name])
                )
                fields = {**(default.model_dump() if is_alike else {}), **content[name]}
                # From here on pydantic sees Python values, among which its strict mode accepts tuples but no lists.
                merged[name] = {
                    key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()
                }
        return merged

    @model_validator(mode="after")
    def _check_conditions(self) -> Self:
        dimensions = self.dimensions()
        for name, condition in self.conditions().items():
            for other, values in condition.items():
                if other not in dimensions:
                    raise ValueError(f"{name}: only_if names {other}, which is not searched; choose one of the others")
                if isinstance(dimensions[other], Range):
                    raise ValueError(
                        f"{name}: only_if names a value of {other}, but from a range of real numbers none is proposed "
                        "twice; choose a hyperparameter of integers"
                    )
                for value in values:
                    if not dimensions[other].contains(value):
                        raise ValueError(f"{name}: only_if names {other} {value:g}, which is not in its range")
        in_order(self.conditions())
        return self

    def conditions(self) -> dict[str, Condition]:
        """Return the condition of each hyperparameter that has one, by name."""
        return {name: dimension.only_if for name, dimension in self.dimensions().items() if dimension.only_if}

    def dimensions(self) -> dict[str, Range | Choice | PowerRange]:
        """Return the range of each hyperparameter that is searched, in the order of `HYPERPARAMETER_NAMES`."""
        ranges = {name: getattr(self, name) for name in (*HYPERPARAMETER_NAMES, *OPTIONAL_NAMES)}
        return {name: of_name for name, of_name in ranges.items() if of_name is not None}

    def distributions(self) -> dict[str, BaseDistribution]:
        """Return the distribution of each hyperparameter that is searched, by its name in Optuna's study."""
        return study_distributions(self.dimensions())

    def contains(self, params: Mapping[str, float], base: Mapping[str, float] | None = None) -> bool:
        """Return whether values lie in the space.

        Args:
            params: values of the hyperparameters by name, the six at least.
            base: what hyperparameters have whose conditions do not hold, by name.
        """
        fixed = inactive(self.conditions(), params)
        return all(params.get(name) == (base or {}).get(name) for name in fixed) and all(
            dimension.contains(params[name])
            for name, dimension in self.dimensions().items()
            if name in params and name not in fixed
        )

    def is_of(self, params: Mapping[str, float], base: Mapping[str, float] | None = None) -> bool:
        """Return whether values lie in the space, and are those of exactly the hyperparameters that it searches.

        Args:
            params: values of the hyperparameters by name, the six at least.
            base: what hyperparameters have whose conditions do not hold, by name.
        """
        fixed = inactive(self.conditions(), params)
        searched = {name for name in self.dimensions() if name not in fixed or name in (base or {})}
        return params.keys() == searched and self.contains(params, base)

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
