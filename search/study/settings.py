"""What the proposals of a study depend on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # a campaign's settings are read without Optuna
    from optuna.distributions import BaseDistribution

SamplerKind = Literal["tpe", "random", "gp"]
FidelityPolicy = Literal["complete", "pruned", "full_only"]


@dataclass(frozen=True)
class StudySettings:
    """What a study's proposals depend on.

    Attributes:
        name: the study's, equal to its campaign's.
        distributions: of each parameter.
        sampler: which.
        policy: what the sampler is told of a stopped trial: `complete` (its last value, Ray's way), `pruned` (its
            values up to there, Optuna's), `full_only` (nothing).
        seed: the campaign's.
    """

    name: str
    distributions: Mapping[str, BaseDistribution]
    sampler: SamplerKind
    policy: FidelityPolicy
    seed: int
