"""The settings that the proposals of a study depend on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from search.study.conditions import Condition
from search.study.encoding import study_name

if TYPE_CHECKING:  # so that the settings of a campaign can be read without Optuna
    from optuna.distributions import BaseDistribution

SamplerKind = Literal["tpe", "random", "gp"]
Startup = Literal["random", "sobol"]
AshaVariant = Literal["stopping", "promotion"]
FidelityPolicy = Literal["complete", "pruned", "full_only"]


@dataclass(frozen=True)
class StudySettings:
    """The settings that the proposals of a study depend on.

    Attributes:
        name: name of the study, equal to that of its campaign.
        distributions: Optuna's distribution of each hyperparameter, by its name in the study, see
            `search.study.encoding`.
        sampler: kind of the sampler, see `search.study.samplers.make_sampler`.
        policy: fidelity policy: what the sampler learns of a stopped trial: `complete` (its last value, as in Ray
            Tune), `pruned` (its values so far, as in Optuna), `full_only` (nothing).
        seed: seed of the campaign.
        pauses: epochs at which trials are paused: the rungs of the promotion variant, see `search.study.rungs`; none in
            the stopping variant. A trial that has been paused counts for the sampler like one that was stopped there.
        startup: how trials are proposed until the sampler has trials to learn from: `random`, or `sobol`, a scrambled
            Sobol sequence. The sampler `random` never learns: all of its trials are of that sequence then.
        conditions: condition of each hyperparameter that is searched only where others have certain values, by name.
        base_values: what these have where their conditions do not hold, by name.
    """

    name: str
    distributions: Mapping[str, BaseDistribution]
    sampler: SamplerKind
    policy: FidelityPolicy
    seed: int
    pauses: tuple[int, ...] = ()
    startup: Startup = "random"
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    base_values: Mapping[str, float] = field(default_factory=dict)

    @property
    def unconditional(self) -> dict[str, BaseDistribution]:
        """Distributions of the hyperparameters that every trial searches, by their names in the study."""
        conditional = {study_name(name, self.distributions) for name in self.conditions}
        return {name: self.distributions[name] for name in self.distributions if name not in conditional}
