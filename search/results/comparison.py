"""Compares campaigns: their figures side by side, and their winners in pairs on the cells that both were trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.config import flatten
from search.results.folder import CampaignFolder
from search.results.judged import read_judged_verdict
from search.results.ranking import find_winner
from search.results.verdict import Estimate, RankingLead

if TYPE_CHECKING:
    import pandas as pd

_CELL = ["split", "seed"]


@dataclass(frozen=True)
class CampaignFigures:
    """The figures of one campaign, as its folder records them; what it has not measured is None.

    Attributes:
        name: name of the campaign.
        data: its symbols and span, in words.
        fingerprint: hash of its data.
        metric: the metric that ranked its trials.
        trials: number of its trials.
        epochs: number of epochs that they ran.
        hours: sum of the time that its epochs took.
        search: the winner's value in the search, which is optimistic.
        out_of_fold: the winner's ranking metric on the folds, and the ends of its interval.
        lead: the winner's lead over the incumbent, and the ends of its interval.
        test: the ranking metric on test, and the ends of its interval.
        status: the verdict; None if it was not confirmed.
        settings: its settings, with names in which dots separate the levels.
    """

    name: str
    data: str
    fingerprint: str
    metric: str
    trials: int
    epochs: int
    hours: float
    search: float | None
    out_of_fold: tuple[float | None, float | None, float | None]
    lead: tuple[float | None, float | None, float | None]
    test: tuple[float | None, float | None, float | None]
    status: str | None
    settings: dict[str, Any]


def read_figures(folder: CampaignFolder) -> CampaignFigures:
    """Read the figures of a campaign whose search has ended.

    Args:
        folder: the folder of the campaign.

    Raises:
        ConfigError: a file is missing or damaged.
    """
    config, record, trials = folder.read_config(), folder.read_record(), folder.read_trials()
    verdict, winner = read_judged_verdict(folder), find_winner(trials)
    nothing = (None, None, None)
    test = None if verdict is None or verdict.test is None else verdict.test.score or verdict.test.macro_f1
    return CampaignFigures(
        name=folder.name,
        data=f"{', '.join(record.data.symbols)}, {record.data.span[0][:10]} to {record.data.span[1][:10]}",
        fingerprint=record.data.fingerprint,
        metric=record.metric,
        trials=len(trials),
        epochs=int(trials["epochs"].sum()),
        hours=float(trials["seconds"].sum()) / 3600,
        search=None if winner is None else winner.value,
        out_of_fold=nothing if verdict is None else _ends(verdict.winner.out_of_fold[record.metric]),
        lead=nothing if verdict is None else _ends(verdict.lead),
        test=nothing if test is None else _ends(test),
        status=None if verdict is None else verdict.status,
        settings=flatten(config.model_dump(mode="json", exclude={"name"})),
    )


def _ends(estimate: Estimate | RankingLead) -> tuple[float | None, float | None, float | None]:
    return estimate.value, estimate.low, estimate.high


def differing_settings(campaigns: Sequence[CampaignFigures]) -> dict[str, list[Any]]:
    """Return the settings in which campaigns differ, with the value in each campaign; None where it is not set."""
    names = {name: None for campaign in campaigns for name in campaign.settings}
    values = {name: [campaign.settings.get(name) for campaign in campaigns] for name in names}
    return {name: found for name, found in values.items() if any(value != found[0] for value in found)}


@dataclass(frozen=True)
class PairedLead:
    """By how much the winner of one campaign is ahead of another's on the cells that both were trained on.

    Attributes:
        name: the campaign whose winner is compared.
        other: the campaign whose winner it is compared with.
        cells: number of cells (fold and seed) that both were trained on.
        folds: number of folds among them.
        lead: mean difference of the ranking metric on the rows held out.
        standard_error: of the mean over folds; None with fewer than two folds. Folds see overlapping train rows, so it
            is smaller than the true one.
        ahead: number of cells on which the first winner is ahead.
    """

    name: str
    other: str
    cells: int
    folds: int
    lead: float
    standard_error: float | None
    ahead: int


def compare_winners(first: CampaignFolder, other: CampaignFolder) -> PairedLead | None:
    """Compare the winners of two campaigns in pairs, on the cells that the confirmations of both trained.

    Args:
        first: the folder of a campaign.
        other: the folder of another one.

    Returns:
        the lead of the first; None if their confirmations met on no cell: other data, other folds, or none at all.

    Raises:
        ConfigError: a file is damaged.
    """
    one, two = first.read_record(), other.read_record()
    if (one.data.fingerprint, one.metric, one.data.window) != (two.data.fingerprint, two.metric, two.data.window):
        return None
    scores = [_winner_scores(folder, one.metric) for folder in (first, other)]
    if scores[0] is None or scores[1] is None:
        return None
    # Equal names of folds mean equal rows only where as many rows are held out.
    joined = scores[0].merge(scores[1], on=[*_CELL, "held_out_rows"], suffixes=("", "_other"))
    if joined.empty:
        return None
    difference = joined["score"] - joined["score_other"]
    by_fold = difference.groupby(joined["split"]).mean().to_numpy()
    error = float(by_fold.std(ddof=1) / np.sqrt(len(by_fold))) if len(by_fold) > 1 else None
    return PairedLead(
        first.name, other.name, len(joined), len(by_fold), float(by_fold.mean()), error, int((difference > 0).sum())
    )


def _winner_scores(folder: CampaignFolder, metric: str) -> pd.DataFrame | None:
    """Return the score of a campaign's winner on each cell of its confirmation; None if it was not confirmed."""
    verdict, table = folder.read_verdict(), folder.read_confirmation_table()
    column = f"held_out_{metric}"
    if verdict is None or table is None or column not in table:
        return None
    own = table[(table["number"] == verdict.winner.trial) & table["split"].str.startswith("fold")]
    scores = -own[column] if metric == "nll" else own[column]
    return own[[*_CELL, "held_out_rows"]].assign(score=scores).dropna()
