"""Gathers the sections of a campaign's report and writes the file."""

from __future__ import annotations

from pathlib import Path

from core.files import write_text
from search.report.campaign_data import CampaignData, read_campaign_data
from search.report.elements import Section
from search.report.page import render_page
from search.report.sections import (
    calls,
    contenders,
    data,
    equity,
    folds,
    hyperparameters,
    provenance,
    timeline,
    trials,
    verdict,
)
from search.results.folder import CampaignFolder

REPORT_FILE = "report.html"


def write_report(folder: CampaignFolder, output: Path | None = None) -> Path:
    """Write the report of a campaign, whole or not at all; the same campaign gives the same file.

    Args:
        folder: the folder of the campaign, which may be running.
        output: path of the file; None for `report.html` in the folder.

    Returns:
        path of the file.

    Raises:
        ConfigError: the campaign's file or its journal is missing or damaged, or the report cannot be written.
    """
    campaign = read_campaign_data(folder)
    path = folder.path / REPORT_FILE if output is None else output
    write_text(path, render_page(campaign.name, verdict.headline(campaign), make_sections(campaign, folder)))
    return path


def make_sections(campaign: CampaignData, folder: CampaignFolder) -> list[Section]:
    """Make the sections of a report, in its order.

    Args:
        campaign: what is known of the campaign.
        folder: its folder.
    """
    return [
        verdict.make_section(campaign),
        contenders.make_section(campaign),
        trials.make_section(campaign),
        hyperparameters.make_section(campaign),
        folds.make_section(campaign),
        calls.make_section(campaign),
        equity.make_section(campaign),
        data.make_section(campaign),
        timeline.make_section(campaign),
        provenance.make_section(campaign, folder),
    ]
