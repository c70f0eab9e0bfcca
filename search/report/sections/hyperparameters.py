"""Which hyperparameters matter, where good values lie, and whether the winner has good neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from search.config import CampaignConfig
from search.report.campaign_data import CampaignData
from search.report.elements import MAX_TRIALS, Chart, Section, Table, plotly_text, rounded
from search.report.wording import count, figure, hyperparameter_name, interval, metric_name
from search.results.race_records import Neighbourhood
from search.study.ped_anova import MIN_TRIALS, Importance, measure_importance
from search.study.space import Choice, PowerRange, Range
from search.study.trial_record import TrialRecord

NEIGHBOURS = 5
"""How many of the nearest trials are the winner's neighbourhood."""
_DIRECTION = "direction_auc"
_SEED = 0
"""Seed of the permutations that importance is compared with: the same campaign always gives the same report."""


@dataclass(frozen=True)
class Neighbour:
    """A trial near the winner.

    Attributes:
        number: number of the trial.
        distance: distance from the winner in shares of the ranges that were searched: root of the mean square over all
            hyperparameters, 0 to 1.
        score: its ranking metric at the first rung.
    """

    number: int
    distance: float
    score: float


def make_section(campaign: CampaignData) -> Section:
    """Make the section on importance, slices and the winner's neighbourhood."""
    title = "Hyperparameters"
    rung, config = campaign.first_rung, campaign.config
    records = [] if rung is None else [record for record in campaign.records if rung in record.epochs]
    if rung is None or config is None or len(records) < 2:
        return Section(
            "hyperparameters", title, ("Too few trials have been compared to say anything of their hyperparameters.",)
        )
    sentences = [
        f"Trials were stopped after different numbers of {campaign.step}s. So that they can be compared, this section "
        f"takes the value of each after {campaign.step} {rung}, which {len(records)} trials reached."
    ]
    parts = [*_importance(campaign, config, records, rung, sentences), *_slices(campaign, config, records, rung)]
    neighbours = find_neighbours(campaign, config, records, rung)
    trained = None if campaign.verdict is None else campaign.verdict.neighbours
    if trained is not None:
        sentences.append(describe_trained_neighbours(trained, campaign.metric))
    if neighbours:
        sentences.append(_neighbour_sentence(campaign, neighbours, rung, with_word=trained is None))
        parts.append(_neighbourhood(campaign, neighbours, rung))
    return Section("hyperparameters", title, tuple(sentences), tuple(parts))


def _importance(
    campaign: CampaignData, config: CampaignConfig, records: list[TrialRecord], rung: int, sentences: list[str]
) -> list[Chart]:
    """Return the chart of the importance, and add what it says to the sentences."""
    params = [record.params for record in records]
    scores = {campaign.metric: [record.epochs[rung].score for record in records]}
    if campaign.metric != _DIRECTION:
        scores[_DIRECTION] = [record.epochs[rung].metrics.get(_DIRECTION, float("nan")) for record in records]
    measured = {
        metric: measure_importance(params, values, config.space, np.random.default_rng(_SEED))
        for metric, values in scores.items()
    }
    measured = {metric: shares for metric, shares in measured.items() if shares}
    if not measured:
        sentences.append(f"Importance is measured from {MIN_TRIALS} comparable trials on; there are fewer here.")
        return []
    for metric, shares in measured.items():
        beyond = [hyperparameter_name(name) for name, of_name in shares.items() if of_name.value > of_name.by_chance]
        sentences.append(
            f"Hyperparameters that matter more for being among the best tenth in {metric_name(metric)} than chance "
            "explains "
            f"in nineteen of twenty cases: {', '.join(beyond) or 'none'}."
        )
    return [_importance_chart(measured)]


def _importance_chart(measured: dict[str, dict[str, Importance]]) -> Chart:
    names = list(next(iter(measured.values())))
    labels = [hyperparameter_name(name) for name in names]
    traces: list[dict[str, Any]] = []
    for metric, color in zip(measured, ("var(--winner)", "var(--incumbent)"), strict=False):
        shares = measured[metric]
        traces.append(
            {
                "type": "bar",
                "name": plotly_text(metric_name(metric)),
                "x": labels,
                "y": rounded([shares[name].value for name in names]),
                "marker": {"color": color},
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    "array": rounded([max(shares[name].by_chance - shares[name].value, 0.0) for name in names]),
                    "arrayminus": [0.0 for _ in names],
                    "color": "var(--text)",
                },
            }
        )
    rows = tuple(
        (hyperparameter_name(name), metric_name(metric), shares[name].value, shares[name].by_chance)
        for metric, shares in measured.items()
        for name in names
    )
    return Chart(
        identifier="importance-chart",
        title="Importance of the hyperparameters",
        summary=(
            "A bar is the share of a hyperparameter in what sets the best tenth of the trials apart (PED-ANOVA). A "
            "line "
            "above a bar ends where chance alone gets in one of twenty cases: bars with such a line prove nothing."
        ),
        traces=tuple(traces),
        layout={"yaxis": {"title": {"text": "share"}, "rangemode": "tozero"}, "barmode": "group"},
        table=Table("Importance", ("hyperparameter", "for", "share", "by chance"), rows),
    )


def _slices(campaign: CampaignData, config: CampaignConfig, records: list[TrialRecord], rung: int) -> list[Chart]:
    name = metric_name(campaign.metric)
    best = sorted(records, key=lambda record: -record.epochs[rung].score)[:MAX_TRIALS]
    charts = []
    for key, dimension in config.space.dimensions().items():
        charts.append(
            Chart(
                identifier=f"slice-{key.replace('_', '-')}",
                title=f"{name} by {hyperparameter_name(key)}",
                summary=f"A dot is a trial: {hyperparameter_name(key)}, and {name} after {campaign.step} {rung}.",
                traces=(
                    _dots([one for one in best if one.number != campaign.chosen], key, rung, "var(--good)", 6),
                    _dots([one for one in records if one.number == campaign.chosen], key, rung, "var(--winner)", 11),
                ),
                layout={
                    "xaxis": {"title": {"text": hyperparameter_name(key)}, **_scale(dimension)},
                    "yaxis": {"title": {"text": name}},
                    "showlegend": False,
                },
                table=None,
                table_note="The table of trials has the hyperparameters.",
                height=260,
            )
        )
    return charts


def _dots(records: list[TrialRecord], key: str, rung: int, color: str, size: int) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": rounded([record.params.get(key, float("nan")) for record in records]),
        "y": rounded([record.epochs[rung].score for record in records]),
        "text": [record.number for record in records],
        "hovertemplate": "trial #%{text}: %{x}, %{y:.4f}<extra></extra>",
        "marker": {"color": color, "size": size},
    }


def _scale(dimension: Range | Choice | PowerRange) -> dict[str, Any]:
    """Return the scale of the axis of a hyperparameter, in Plotly's form."""
    if isinstance(dimension, Choice):
        return {"type": "log", "tickvals": list(dimension.values)}
    if isinstance(dimension, PowerRange):
        return {"type": "log"}
    return {"type": "log", "dtick": 1} if dimension.log else {"type": "linear", "nticks": 6}


def find_neighbours(
    campaign: CampaignData, config: CampaignConfig, records: list[TrialRecord], rung: int
) -> list[Neighbour]:
    """Return all trials by their distance from the winner, which comes first; empty if there is no winner.

    Args:
        campaign: the campaign.
        config: its settings, which say what ranges were searched.
        records: the trials that reached the first rung.
        rung: the epoch of that rung.
    """
    winner = next((record for record in records if record.number == campaign.chosen), None)
    if winner is None:
        return []
    dimensions = config.space.dimensions()

    def position(record: TrialRecord) -> np.ndarray:
        # A hyperparameter whose condition does not hold was not searched.
        known = ((dimension, record.params.get(name)) for name, dimension in dimensions.items())
        return np.array([0.0 if value is None else _share(dimension, value) for dimension, value in known])

    places = [
        Neighbour(
            record.number,
            float(np.sqrt(np.mean((position(record) - position(winner)) ** 2))),
            record.epochs[rung].score,
        )
        for record in records
        if np.isfinite(record.epochs[rung].score)
    ]
    return sorted(places, key=lambda place: (place.number != winner.number, place.distance, place.number))


def _share(dimension: Range | Choice | PowerRange, value: float) -> float:
    """Return where a value lies between the ends of its range, 0 to 1; of integers, on a logarithmic scale."""
    low, high = dimension.ends()
    if high == low:
        return 0.0
    if low > 0 and (not isinstance(dimension, Range) or dimension.log):
        return float(np.log(value / low) / np.log(high / low))
    return float((value - low) / (high - low))


def describe_trained_neighbours(neighbourhood: Neighbourhood, metric: str) -> str:
    """Say how the winner compares with the neighbours that the confirmation trained on the same cells.

    Args:
        neighbourhood: the comparison, as the verdict records it.
        metric: name of the ranking metric.
    """
    trained = f"The confirmation trained {count(len(neighbourhood.neighbours), 'neighbour')} of the winner"
    if neighbourhood.drop is None:
        return f"{trained}, but all of them failed."
    sentence = (
        f"{trained}, one step away in its most important hyperparameters, with "
        f"{count(neighbourhood.cells, 'training')} each: on average the winner is {neighbourhood.drop:+.4f} ahead of "
        f"them in {metric_name(metric)}"
    )
    if neighbourhood.word is None:
        return f"{sentence}. That is too little to tell a plateau from a spike."
    return f"{sentence} (95 % interval {interval(neighbourhood.low, neighbourhood.high)}): a {neighbourhood.word}."


def _neighbour_sentence(campaign: CampaignData, neighbours: list[Neighbour], rung: int, with_word: bool) -> str:
    """Compare the winner with the trials of the search that are nearest to it.

    Args:
        campaign: the campaign.
        neighbours: the winner, then the other trials, the nearest first.
        rung: the epoch of the first rung.
        with_word: whether to call the winner a plateau or a spike, where the confirmation has not judged that.
    """
    winner, near = neighbours[0], neighbours[1 : NEIGHBOURS + 1]
    everyone = np.array([place.score for place in neighbours])
    middle = float(np.median([place.score for place in near])) if near else float("nan")
    if not near:
        return "No other trial can be compared with the winner."
    share = float(np.mean(everyone < middle))
    kind = "a plateau: its neighbours are good, too" if share >= 2 / 3 else (
        "a spike: its neighbours are no better than most" if share < 0.5 else "neither clearly a plateau nor a spike"
    )  # fmt: skip
    comparison = (
        f"The winner, trial #{winner.number}, has {winner.score:.4f} in {metric_name(campaign.metric)} after "
        f"{campaign.step} {rung}; of its {len(near)} nearest trials the middle one has {middle:.4f}, better than "
        f"{share:.0%} of all."
    )
    if not with_word:
        return comparison
    return f"{comparison} That looks like {kind}. (A plateau is counted from 67 %, a spike below 50 %.)"


def _neighbourhood(campaign: CampaignData, neighbours: list[Neighbour], rung: int) -> Chart:
    name = metric_name(campaign.metric)
    traces = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": label,
            "x": rounded([place.distance for place in places]),
            "y": rounded([place.score for place in places]),
            "text": [place.number for place in places],
            "hovertemplate": "trial #%{text}: distance %{x:.2f}, %{y:.4f}<extra></extra>",
            "marker": {"color": color, "size": size},
        }
        for label, places, color, size in (
            ("winner", neighbours[:1], "var(--winner)", 12),
            (f"its {NEIGHBOURS} nearest", neighbours[1 : NEIGHBOURS + 1], "var(--incumbent)", 9),
            ("other trials", neighbours[NEIGHBOURS + 1 : MAX_TRIALS], "var(--other)", 6),
        )
    ]
    rows = tuple((f"#{place.number}", place.distance, place.score) for place in neighbours[: 4 * NEIGHBOURS])
    return Chart(
        identifier="neighbours-chart",
        title="The winner's neighbourhood",
        summary=(
            "A dot is a trial: how far its hyperparameters are from the winner's, as a share of the ranges searched, "
            "and "
            f"its {name} after {campaign.step} {rung}. {figure(neighbours[0].score)} is the winner's."
        ),
        traces=tuple(traces),
        layout={"xaxis": {"title": {"text": "distance from the winner"}}, "yaxis": {"title": {"text": name}}},
        table=Table("The nearest trials", ("trial", "distance", name), rows),
    )
