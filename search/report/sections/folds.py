"""The confirmation by fold and seed: whether the winner leads everywhere, or in one lucky training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from search.report.campaign_data import CampaignData
from search.report.elements import Chart, Section, Table, plotly_text
from search.report.wording import metric_name
from search.results.predictions import INCUMBENT
from search.study.trial_record import COMPLETE


def make_section(campaign: CampaignData) -> Section:
    """Make the section with the matrix of folds and seeds."""
    title = "Folds and seeds"
    if campaign.cells is None or campaign.chosen is None:
        return Section("folds", title, (
            "The campaign was not confirmed: nothing has been trained on other stretches of time, or with other seeds.",
        ))  # fmt: skip
    leads = fold_leads(campaign.cells, campaign.chosen, campaign.metric)
    if leads.empty:
        return Section("folds", title, ("No fold has trainings of both the winner and the incumbent to compare.",))
    ahead, count = int((leads > 0).to_numpy().sum()), int(leads.notna().to_numpy().sum())
    failed = int((campaign.cells["status"] != COMPLETE).sum())
    sentences = [
        f"The winner and the incumbent were trained in pairs on {len(leads)} folds (stretches of time, the earliest "
        "first) "
        f"with {leads.shape[1]} seeds each. The winner is ahead in {ahead} of {count} pairs."
    ]
    if failed:
        sentences.append(f"{failed} trainings of the confirmation failed.")
    return Section("folds", title, tuple(sentences), (_chart(leads, metric_name(campaign.metric)),))


def fold_leads(cells: pd.DataFrame, number: int, metric: str) -> pd.DataFrame:
    """Return the winner's lead over the incumbent in each pair of trainings.

    Args:
        cells: the table of the confirmation.
        number: number of the winner.
        metric: the ranking metric.

    Returns:
        a row for each fold in the order of time, a column for each seed; NaN where a training failed. Empty where an
        early version did not record the metric.
    """
    column = f"held_out_{metric}"
    if column not in cells:
        return pd.DataFrame()
    held_out = cells[cells["split"].str.startswith("fold") & (cells["status"] == COMPLETE)]
    tables = [
        held_out[held_out["number"] == whose].pivot_table(index="split", columns="seed", values=column)
        for whose in (number, INCUMBENT)
    ]
    leads = (tables[0] - tables[1]) * (-1 if metric == "nll" else 1)
    order = sorted(leads.index, key=lambda split: int(str(split).removeprefix("fold ")))
    return leads.loc[order].dropna(how="all")


def _chart(leads: pd.DataFrame, name: str) -> Chart:
    values = leads.to_numpy(dtype=np.float64)
    reach = float(np.nanmax(np.abs(values))) or 1.0
    folds, seeds = [str(fold) for fold in leads.index], [f"seed {seed}" for seed in leads.columns]
    texts = [["" if np.isnan(value) else f"{value:+.3f}" for value in row] for row in values]
    trace: dict[str, Any] = {
        "type": "heatmap",
        "z": [[None if np.isnan(value) else float(f"{value:.6g}") for value in row] for row in values],
        "x": seeds,
        "y": [plotly_text(fold) for fold in folds],
        "text": texts,
        "texttemplate": "%{text}",
        "textfont": {"color": "#1b1b1b"},
        "zmin": -reach,
        "zmax": reach,
        "colorscale": [[0, "#e89a5b"], [0.5, "#f5f5f5"], [1, "#7fb4e0"]],
        "showscale": False,
        "xgap": 2,
        "ygap": 2,
    }
    rows = tuple((fold, *row) for fold, row in zip(folds, texts, strict=True))
    return Chart(
        identifier="folds-chart",
        title=f"Lead over the incumbent in {name}, by fold and seed",
        summary=(
            "A cell is a pair of trainings. Blue and a plus: the winner is ahead. Orange and a minus: the incumbent is."
        ),
        traces=(trace,),
        layout={"yaxis": {"autorange": "reversed", "automargin": True}},
        table=Table("Leads", ("fold", *seeds), rows),
        height=120 + 44 * len(folds),
    )
