"""The figures of simulated campaigns: regret and rank of each search, with intervals from drawing campaigns again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

SHARES = (0.25, 0.5, 1.0)
"""Shares of the budget after which a campaign is judged."""
_DRAWS = 2000


@dataclass(frozen=True)
class CampaignResult:
    """What one campaign had found.

    Attributes:
        problem: name of the problem.
        seed: seed of the campaign.
        search: name of the search.
        trainings: how many trainings to the end the budget was worth.
        regrets: regret after each of `SHARES` of the budget, by what the pick is judged by.
        seconds: processor time that the campaign took, most of it the search's own.
    """

    problem: str
    seed: int
    search: str
    trainings: int
    regrets: dict[str, list[float]]
    seconds: float


def append_result(path: Path, result: CampaignResult) -> None:
    """Add a line to a file of results."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(result)) + "\n")


def read_results(path: Path) -> list[CampaignResult]:
    """Read a file of results, which need not exist; a last line that was cut off is removed from it."""
    if not path.exists():
        return []
    content = path.read_text(encoding="utf-8")
    whole = content[: content.rfind("\n") + 1]
    if whole != content:
        path.write_text(whole, encoding="utf-8")
    return [CampaignResult(**json.loads(line)) for line in whole.splitlines()]


def complete_campaigns(results: Sequence[CampaignResult], searches: Sequence[str]) -> list[tuple[str, int]]:
    """Return problem and seed of the campaigns that all of the searches have finished, in order."""
    finished = {name: {(r.problem, r.seed) for r in results if r.search == name} for name in searches}
    return sorted(set.intersection(*finished.values())) if finished else []


def draw_campaigns(campaigns: Sequence[tuple[str, int]], rng: np.random.Generator) -> np.ndarray:
    """Draw problems with replacement, and for each of them as many of its campaigns as it has, with replacement.

    Returns:
        indices of the campaigns, `[D, N]`, for D draws of about N campaigns; rows are filled up to equal length.
    """
    problems = sorted({problem for problem, _ in campaigns})
    members = [[i for i, (problem, _) in enumerate(campaigns) if problem == name] for name in problems]
    draws = np.empty((_DRAWS, len(campaigns)), dtype=np.int64)
    for row in draws:
        places: list[int] = []
        while len(places) < len(campaigns):
            group = members[rng.integers(len(members))]
            places.extend(rng.choice(group, size=len(group)))
        row[:] = places[: len(campaigns)]
    return draws


def format_table(results: Sequence[CampaignResult], searches: Sequence[str], judged_by: str, default: str) -> str:
    """Return a table in Markdown with a line for each search, over the campaigns that all of them have finished.

    Args:
        results: the results, all of one budget.
        searches: names of the searches.
        judged_by: what the picks are judged by.
        default: name of the search that the others are compared with.
    """
    campaigns = complete_campaigns(results, searches)
    if not campaigns:
        return "No campaign has been finished by all searches."
    found = {(r.search, r.problem, r.seed): r for r in results}
    of_search = [[found[name, *campaign] for campaign in campaigns] for name in searches]
    regrets = np.array([[result.regrets[judged_by] for result in row] for row in of_search])  # [searches, N, shares]
    ranks = rankdata(regrets[:, :, -1], axis=0)
    leads = regrets[searches.index(default), :, -1] - regrets[:, :, -1]
    draws = draw_campaigns(campaigns, np.random.default_rng(0))

    def cell(values: np.ndarray, digits: int) -> str:
        low, high = np.quantile(values[draws].mean(axis=1), [0.025, 0.975])
        return f"{values.mean():.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"

    headings = [f"regret at {share:.0%}" for share in SHARES]
    lines = [
        f"| search | {' | '.join(headings)} | mean rank | ahead of ours by | seconds |",
        "|---" * (len(SHARES) + 4) + "|",
    ]
    for name, row, of_name, rank, lead in zip(searches, of_search, regrets, ranks, leads, strict=True):
        cells = [cell(of_name[:, share], 2) for share in range(len(SHARES))]
        ahead = "" if name == default else cell(lead, 2)
        seconds = np.mean([result.seconds for result in row])
        lines.append(f"| {name} | {' | '.join(cells)} | {cell(rank, 1)} | {ahead} | {seconds:.1f} |")
    return "\n".join(lines)
