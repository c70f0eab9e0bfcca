"""Where the figures come from: versions, data, settings, and the commands that reproduce them."""

from __future__ import annotations

from typing import Any

from core.config import flatten
from search.report.campaign_data import CampaignData
from search.report.elements import Section, Table
from search.results.folder import CampaignFolder


def make_section(campaign: CampaignData, folder: CampaignFolder) -> Section:
    """Make the section on provenance.

    Args:
        campaign: the campaign.
        folder: its folder, which names the preset that would be exported.
    """
    record = campaign.record
    facts = {
        "campaign": campaign.name,
        "started": record.started,
        "model": record.model,
        "device": record.device,
        "seed": record.seed,
        "ranking metric": record.metric,
        "data fingerprint (SHA-256)": record.data.fingerprint,
        "identity (hash of all that a value depends on)": record.identity,
        **{f"version of {name}": version for name, version in record.versions.items()},
    }
    rows = tuple((name, str(value)) for name, value in facts.items() if value is not None)
    parts = [Table("What the figures were made with", ("fact", "value"), rows)]
    sentences = [
        "Every proposal, epoch and decision is in the campaign's journal; the commands below make them again and "
        "compare.",
    ]
    differences = recipe_differences(campaign)
    if differences:
        parts.append(Table("The winner's recipe and the incumbent's", ("setting", "winner", "incumbent"), differences))
        sentences.append(f"The winner's recipe differs from the incumbent's in {len(differences)} settings.")
    preset, name = folder.default_preset_name, campaign.name
    commands = [f"preset-search replay {name}"]
    if campaign.chosen is not None:
        commands.append(f"preset-search trials show {name} {campaign.chosen}")
    if campaign.verdict is not None:
        commands += [
            f"preset-search export {name} --as {preset}",
            f"preset-search verify {preset} --config {folder.config_file}",
        ]
    commands.append(f"preset-search report {name}")
    return Section("provenance", "Provenance", tuple(sentences), tuple(parts), tuple(commands))


def recipe_differences(campaign: CampaignData) -> tuple[tuple[str, str, str], ...]:
    """Return the settings of a training in which the winner differs from the incumbent, with both values as texts.

    Args:
        campaign: the campaign.
    """
    if campaign.chosen is None or not campaign.record.incumbent_recipe:
        return ()
    searched = next(record.params for record in campaign.records if record.number == campaign.chosen)
    incumbent = flatten(campaign.record.incumbent_recipe)
    winner = {
        name: searched.get(name.rpartition(".")[2], value)
        for name, value in flatten(campaign.record.base_recipe).items()
    }
    names = {**winner, **incumbent}
    return tuple(
        (name, _text(winner.get(name)), _text(incumbent.get(name)))
        for name in names
        if winner.get(name) != incumbent.get(name)
    )


def _text(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
