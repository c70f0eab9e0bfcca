"""The settings that the proposals of a study depend on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # so that the settings of a campaign can be read without Optuna
    from optuna.distributions import BaseDistribution

SamplerKind = Literal["tpe", "random", "gp"]
AshaVariant = Literal["stopping", "promotion"]
FidelityPolicy = Literal["complete", "pruned", "full_only"]


@dataclass(frozen=True)
class StudySettings:
    """The settings that the proposals of a study depend on.

    Attributes:
        name: name of the study, equal to that of its campaign.
        distributions: Optuna's distribution of each hyperparameter, by name.
        sampler: kind of the sampler, see `search.study.samplers.make_sampler`.
        policy: fidelity policy: what the sampler learns of a stopped trial: `complete` (its last value, as in Ray
            Tune), `pruned` (its values so far, as in Optuna), `full_only` (nothing).
        seed: seed of the campaign.
        pauses: epochs at which trials are paused: the rungs of the promotion variant, see `search.study.rungs`; none in
            the stopping variant. A trial that has been paused counts for the sampler like one that was stopped there.
    """

    name: str
    distributions: Mapping[str, BaseDistribution]
    sampler: SamplerKind
    policy: FidelityPolicy
    seed: int
    pauses: tuple[int, ...] = ()
