"""The settings of a confirmation, which stay those that it was begun with."""

from __future__ import annotations

from collections.abc import Mapping

from core import presets
from core.config import parse
from core.errors import ConfigError
from search.campaign.plan import CampaignPlan, make_incumbent_recipe
from search.config import ConfirmConfig
from search.confirmation.candidates import Candidate, Cell
from search.results.predictions import INCUMBENT


def confirmed_span(campaign: CampaignPlan) -> tuple[int, int] | None:
    """Return where the folds of the confirmation lie: in val if trials were ranked before it; None for before val.

    Args:
        campaign: the campaign to confirm.

    Returns:
        start and end in microseconds since 1970.
    """
    return None if campaign.config.cells is None else campaign.dataset.borders.val


def agreed_settings(
    campaign: CampaignPlan, named: ConfirmConfig | Mapping[str, int] | None, named_incumbent: str | None
) -> tuple[ConfirmConfig, str | None]:
    """Return the settings and the named incumbent of the confirmation, which stay those that it was begun with.

    With other settings it would be another confirmation, and test would be read twice. Only an incumbent whose training
    failed may be replaced: nothing can have been read without one to compare with.

    Args:
        campaign: the campaign to confirm.
        named: the settings that the caller names.
        named_incumbent: the incumbent that the caller names; None if none.

    Raises:
        ConfigError: the confirmation was begun with other settings than those named.
    """
    recorded = campaign.folder.read_confirmation()
    if recorded is None:
        return _updated(campaign.config.confirm or ConfirmConfig(), named), named_incumbent
    begun, incumbent = recorded.settings, recorded.incumbent
    if named_incumbent not in (None, incumbent) and _incumbent_failed(campaign, begun, incumbent):
        incumbent = named_incumbent
    if _updated(begun, named) != begun or named_incumbent not in (None, incumbent):
        text = _as_options(begun, incumbent)
        raise ConfigError(
            f"The confirmation of {campaign.config.name} was begun with {text}",
            "Continue it with these settings, or leave the options out",
        )
    return begun, incumbent


def _as_options(settings: ConfirmConfig, incumbent: str | None) -> str:
    """Return the options of the command that give these settings."""
    options = [f"--{name} {getattr(settings, name)}" for name in ("top", "seeds", "folds")]
    if settings.trainings != ConfirmConfig().trainings:
        options.append(f"--trainings {settings.trainings}")
    if not settings.neighbours:
        options.append("--no-neighbours")
    return " ".join([*options, *([f"--incumbent {incumbent}"] if incumbent else [])])


def _updated(settings: ConfirmConfig, named: ConfirmConfig | Mapping[str, int] | None) -> ConfirmConfig:
    """Return the settings with those that the caller names in their place."""
    if isinstance(named, ConfirmConfig):
        return named
    return parse(ConfirmConfig, {**settings.model_dump(), **(named or {})}, "confirm")


def _incumbent_failed(campaign: CampaignPlan, settings: ConfirmConfig, named: str | None) -> bool:
    """Return whether a training of the incumbent is finished and failed.

    Args:
        campaign: the campaign to confirm.
        settings: the settings that the confirmation was begun with.
        named: the incumbent that it was begun with; None for the campaign's own.
    """
    recipe = campaign.incumbent if named is None else make_incumbent_recipe(presets.load_preset(named), campaign.config)
    candidate = Candidate(INCUMBENT, {}, recipe, recipe.trainer.epochs)
    cells = [
        Cell(candidate, seed, f"fold {fold + 1}")
        for seed in seeds_of(campaign, settings)
        for fold in range(settings.folds)
    ]
    keys = [cell.key(campaign.data_identity, settings.folds, confirmed_span(campaign)) for cell in cells]
    records = [campaign.folder.read_cell(key) for key in keys]
    return any(record is not None and not record.is_complete for record in records)


def seeds_of(campaign: CampaignPlan, settings: ConfirmConfig) -> list[int]:
    """Return the seeds of a confirmation in their order, none of which the search used.

    Args:
        campaign: the campaign to confirm.
        settings: the settings of its confirmation.
    """
    return [(campaign.config.seed + 1 + offset) % 2**32 for offset in range(settings.seeds)]
