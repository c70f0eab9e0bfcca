"""The search space: the range of each hyperparameter that `core.config.hyperparameters` declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, ValidationError, model_validator

from core.config import HYPERPARAMETER_NAMES, Config, Hyperparameters
from core.errors import ConfigError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


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


class SpaceConfig(Config):
    """The range of each hyperparameter; what each of them means is documented in `core.config.Hyperparameters`."""

    learning_rate: Range = Range(low=1e-5, high=2e-3, log=True)
    batch_size: Choice = Choice(values=(64, 128, 256, 512))
    weight_decay: Range = Range(low=1e-4, high=1e-1, log=True)
    dropout: Range = Range(low=0.0, high=0.6)
    focal_gamma: Range = Range(low=0.0, high=5.0)
    mixup_alpha: Range = Range(low=0.0, high=0.5)

    @model_validator(mode="before")
    @classmethod
    def _merge_with_defaults(cls, content: Any) -> Any:
        """Fill in what a partly given range leaves out from its default: above all, whether it is logarithmic."""
        if not isinstance(content, dict):
            return content
        merged = dict(content)
        for name in set(content) & set(cls.model_fields):
            if isinstance(content[name], dict):
                fields = {**cls.model_fields[name].default.model_dump(), **content[name]}
                # From here on pydantic sees Python values, among which its strict mode accepts tuples but no lists.
                merged[name] = {
                    key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()
                }
        return merged

    def distributions(self) -> dict[str, BaseDistribution]:
        """Return the distribution of each hyperparameter by name, in the order of `HYPERPARAMETER_NAMES`."""
        return {name: getattr(self, name).distribution() for name in HYPERPARAMETER_NAMES}

    def contains(self, params: Mapping[str, float]) -> bool:
        """Return whether six values lie in the space.

        Args:
            params: values of the six hyperparameters, by name.
        """
        return all(getattr(self, name).contains(params[name]) for name in HYPERPARAMETER_NAMES)

    def check(self) -> None:
        """Check that a preset can hold every value of the space.

        Raises:
            ConfigError: a range reaches beyond the bounds of its hyperparameter, which the message names.
        """
        for end in (min, max):
            try:
                Hyperparameters(**{name: end(getattr(self, name).ends()) for name in HYPERPARAMETER_NAMES})
            except ValidationError as error:
                names = ", ".join(str(item["loc"][0]) for item in error.errors())
                raise ConfigError(
                    f"The space of {names} exceeds what a training accepts", "Narrow that range"
                ) from None
