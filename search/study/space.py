"""Where a campaign searches each of the six hyperparameters that `core.config.hyperparameters` declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, ValidationError, model_validator

from core.config import HYPERPARAMETER_NAMES, Config, Hyperparameters
from core.errors import ConfigError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


class Range(Config):
    """Real numbers from low to high."""

    low: float
    """Smallest value."""
    high: float
    """Largest value."""
    log: bool = False
    """Whether equal factors, not equal steps, are equally likely."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.low < self.high:
            raise ValueError("low must be less than high")
        if self.log and self.low <= 0:
            raise ValueError("a logarithmic range must start above 0")
        return self

    def ends(self) -> tuple[float, float]:
        """Smallest and largest value."""
        return self.low, self.high

    def contains(self, value: float) -> bool:
        """Whether a value lies in the range."""
        return self.low <= value <= self.high

    def distribution(self) -> BaseDistribution:
        """The range in Optuna's terms."""
        from optuna.distributions import FloatDistribution

        return FloatDistribution(self.low, self.high, log=self.log)


class Choice(Config):
    """One of several whole numbers."""

    values: tuple[int, ...] = Field(min_length=1)
    """The choices."""

    def ends(self) -> tuple[int, int]:
        """Smallest and largest value."""
        return min(self.values), max(self.values)

    def contains(self, value: float) -> bool:
        """Whether a value is among the choices."""
        return value in self.values

    def distribution(self) -> BaseDistribution:
        """The choice in Optuna's terms."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.values)


class SpaceConfig(Config):
    """Where each hyperparameter is searched; what each of them means is said in `core.config.Hyperparameters`."""

    learning_rate: Range = Range(low=1e-5, high=2e-3, log=True)
    batch_size: Choice = Choice(values=(64, 128, 256, 512))
    weight_decay: Range = Range(low=1e-4, high=1e-1, log=True)
    dropout: Range = Range(low=0.0, high=0.6)
    focal_gamma: Range = Range(low=0.0, high=5.0)
    mixup_alpha: Range = Range(low=0.0, high=0.5)

    @model_validator(mode="before")
    @classmethod
    def _keep_what_is_left_out(cls, content: Any) -> Any:
        """Of a range given in part, the rest stays as it is by default: above all, whether it is logarithmic."""
        if not isinstance(content, dict):
            return content
        merged = dict(content)
        for name in set(content) & set(cls.model_fields):
            if isinstance(content[name], dict):
                whole = {**cls.model_fields[name].default.model_dump(), **content[name]}
                # Past this point pydantic sees Python values, of which strictness wants tuples.
                merged[name] = {key: tuple(part) if isinstance(part, list) else part for key, part in whole.items()}
        return merged

    def distributions(self) -> dict[str, BaseDistribution]:
        """Every hyperparameter's distribution, in the order of declaration."""
        return {name: getattr(self, name).distribution() for name in HYPERPARAMETER_NAMES}

    def contains(self, params: Mapping[str, float]) -> bool:
        """Whether these six values lie in the space."""
        return all(getattr(self, name).contains(params[name]) for name in HYPERPARAMETER_NAMES)

    def check(self) -> None:
        """Refuse a space that reaches where no preset may lie.

        Raises:
            ConfigError: it does; names the hyperparameter.
        """
        for end in (min, max):
            try:
                Hyperparameters(**{name: end(getattr(self, name).ends()) for name in HYPERPARAMETER_NAMES})
            except ValidationError as error:
                place = ", ".join(str(item["loc"][0]) for item in error.errors())
                raise ConfigError(f"The space of {place} reaches beyond what a training accepts", "Narrow it") from None
