"""Collects what a search begins with: trials of earlier campaigns, and values to try before any proposal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core import presets
from search.config import CampaignConfig, base_values
from search.results.folder import CampaignFolder
from search.study.trial_record import TrialRecord


@dataclass(frozen=True)
class FirstTrials:
    """Holds what a search begins with.

    Attributes:
        asked_first: hyperparameters to try before the sampler proposes any, each with a text that says where they come
            from.
        earlier: trials that the sampler learns from, by the campaign that ran them.
        notices: messages about what was left out.
    """

    asked_first: tuple[tuple[str, dict[str, Any]], ...]
    earlier: tuple[tuple[str, list[TrialRecord]], ...]
    notices: tuple[str, ...]


def collect_first_trials(config: CampaignConfig, identity: str, root: Path) -> FirstTrials:
    """Collect what the settings of a campaign let its search begin with.

    The sampler learns all trials of a campaign with the same identity; of other campaigns the winner is tried first.
    Winners and presets that lie in the search space make up a quarter of the trials at most.

    Args:
        config: the settings of the campaign.
        identity: the identity of the campaign, see `CampaignConfig.identity`.
        root: folder of all campaigns.

    Raises:
        ConfigError: an earlier campaign or a preset that the settings name is missing or damaged.
    """
    base = base_values(config)
    first: list[tuple[str, dict[str, Any]]] = []
    notices: list[str] = []
    earlier: list[tuple[str, list[TrialRecord]]] = []
    for name in config.warm_start:
        folder = CampaignFolder.find(root, name)
        if folder.read_record().identity == identity:
            ended = [trial for trial in folder.read_journal() if trial.outcome is not None]
            earlier.append((name, [trial for trial in ended if config.space.is_of(trial.params, base)]))
        elif ranked := folder.read_ranked_trials():
            first.append((f"winner of {name}", ranked[0].hyperparameters.model_dump()))
            if config.cells is not None:
                notices.append(
                    f"The winner of {name} was chosen on val, where this campaign is confirmed: if it wins, its lead "
                    "out of fold is optimistic."
                )
        else:
            notices.append(
                f"Campaign {name}, which warm_start names, has another identity than this one and no winner: nothing "
                "is taken from it."
            )
    first += [(f"preset {name}", presets.load_preset(name).hyperparameters.model_dump()) for name in config.ask]
    searched = config.space.dimensions()
    first = [(origin, {name: params[name] for name in searched if name in params}) for origin, params in first]
    notices += [
        f"No trial of {name}, which warm_start names, lies in the search space: nothing is taken from it."
        for name, trials in earlier
        if not trials
    ]
    notices += [
        f"The {origin} does not lie in the search space: it is not tried first."
        for origin, params in first
        if not config.space.contains(params, base)
    ]
    distinct: list[tuple[str, dict[str, Any]]] = []
    for origin, params in first:
        if config.space.contains(params, base) and params not in [other for _, other in distinct]:
            distinct.append((origin, params))
    most = config.trials // 4
    notices += [
        f"The {origin} is not tried first: winners and presets make up a quarter of the {config.trials} trials at most."
        for origin, _ in distinct[most:]
    ]
    return FirstTrials(tuple(distinct[:most]), tuple(earlier), tuple(notices))
