"""The winner against the incumbent and the baselines, and how much of its value in the search is left later on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from search.report.campaign_data import CampaignData
from search.report.elements import Chart, Section, Table, plotly_text
from search.report.wording import figure, interval, metric_name
from search.results.verdict import Estimate, Verdict

_STAGES = ("in the search (val)", "out of fold", "on test")
_BASELINES = {"majority": "most frequent class", "bayes": "best possible (recipe known)"}


@dataclass(frozen=True)
class Step:
    """A value of a contender at one stage of the campaign.

    Attributes:
        who: the contender in words.
        role: name of its color: `winner`, `incumbent` or `baseline`.
        stage: the rows that the value was measured on, one of three stages in the order of the campaign.
        value: the ranking metric, higher is better.
        low: lower end of the 95 % interval; None where there is none.
        high: upper end of the interval; None where there is none.
    """

    who: str
    role: str
    stage: str
    value: float
    low: float | None = None
    high: float | None = None


def collect_steps(campaign: CampaignData) -> list[Step]:
    """Return every value of the ranking metric that the campaign has of the winner, the incumbent and baselines."""
    return [*_search_steps(campaign), *_confirmation_steps(campaign)]


def _search_steps(campaign: CampaignData) -> list[Step]:
    steps, number, metric = [], campaign.chosen, campaign.metric
    if number is not None:
        value = campaign.trials.set_index("number")["value"].get(number)
        if value is not None and value == value:
            steps.append(Step(f"trial #{number}", "winner", _STAGES[0], float(value)))
    incumbent = campaign.incumbent
    if incumbent is not None and incumbent.complete and incumbent.epochs:
        best = max(epoch.score for epoch in incumbent.epochs if epoch.score == epoch.score)
        steps.append(Step(_incumbent_name(campaign), "incumbent", _STAGES[0], best))
    for name, label in _BASELINES.items():
        found = None if campaign.summary is None else getattr(campaign.summary, name)
        score = None if found is None else _score(found.val, metric)
        if score is not None:
            steps.append(Step(label, "baseline", _STAGES[0], score))
    return steps


def _incumbent_name(campaign: CampaignData) -> str:
    if campaign.verdict is not None:
        return f"incumbent: {campaign.verdict.incumbent.preset}"
    return "incumbent" if campaign.config is None else f"incumbent: {campaign.config.incumbent}"


def _confirmation_steps(campaign: CampaignData) -> list[Step]:
    verdict, metric = campaign.verdict, campaign.metric
    if verdict is None:
        return []
    winner = f"trial #{verdict.winner.trial}"
    steps = [
        *_step(winner, "winner", _STAGES[1], verdict.winner.out_of_fold.get(metric)),
        *_step(_incumbent_name(campaign), "incumbent", _STAGES[1], verdict.incumbent.out_of_fold.get(metric)),
    ]
    if verdict.test is None:
        return steps
    score = verdict.test.score or (verdict.test.macro_f1 if metric == "macro_f1" else None)
    steps += _step(winner, "winner", _STAGES[2], score)
    for name, metrics in verdict.test.baselines.items():
        value = _score(metrics, metric)
        if value is not None:
            steps.append(Step(name, "baseline", _STAGES[2], value))
    return steps


def _score(metrics: Mapping[str, float | None], metric: str) -> float | None:
    """Return the metric that ranks, higher is better; None where it is not among the metrics."""
    value = metrics.get(metric)
    return -value if metric == "nll" and value is not None else value


def _step(who: str, role: str, stage: str, estimate: Estimate | None) -> list[Step]:
    if estimate is None or estimate.value is None:
        return []
    return [Step(who, role, stage, estimate.value, estimate.low, estimate.high)]


def make_section(campaign: CampaignData) -> Section:
    """Make the section that compares the winner with the incumbent and the baselines, stage by stage."""
    title = "Winner, incumbent and baselines"
    steps, name = collect_steps(campaign), metric_name(campaign.metric)
    if not steps:
        return Section("contenders", title, ("No trial has a value yet.",))
    sentences = [*_lead_sentences(campaign.verdict, name), _ladder_sentence(steps, name)]
    if campaign.verdict is None:
        sentences.append("Without a confirmation there are no figures on rows that the search did not choose by.")
    return Section(
        "contenders", "Winner, incumbent and baselines", tuple(sentences), (_chart(steps, name), _ladder(steps, name))
    )


def _lead_sentences(verdict: Verdict | None, name: str) -> list[str]:
    if verdict is None or verdict.lead.value is None:
        return []
    lead = verdict.lead
    if lead.low is None:
        proof = "there is too little independent time for an interval, so it cannot be told from luck"
    else:
        proof = f"95 % interval {interval(lead.low, lead.high)}, " + (
            "which luck does not explain" if lead.low > 0 else "which luck can explain"
        )
    sentences = [
        "On time that neither of them was trained on (out of fold), the winner leads the incumbent by "
        f"{lead.value:+.4f} in "
        f"{name}: {proof}."
    ]
    if verdict.test is not None and verdict.test.lead.value is not None:
        test = verdict.test.lead
        known = (
            "too little time for an interval" if test.low is None else f"95 % interval {interval(test.low, test.high)}"
        )
        sentences.append(f"On test its lead over the best baseline ({test.baseline}) is {test.value:+.4f} ({known}).")
    return sentences


def _ladder_sentence(steps: list[Step], name: str) -> str:
    winner = {step.stage: step.value for step in steps if step.role == "winner"}
    text = ", ".join(f"{figure(winner[stage])} {stage}" for stage in _STAGES if stage in winner)
    return (
        f"The optimism ladder of the winner in {name}: {text or 'no value yet'}. The first was chosen as the best of "
        "many "
        "and is too good; the later ones were not. They come from different stretches of time, so that part of a step "
        "up "
        "or down is the market, not the model."
    )


def _chart(steps: list[Step], name: str) -> Chart:
    labels = [f"{plotly_text(step.who)}<br>{step.stage}" for step in steps]
    traces = tuple(
        _dots([(label, step) for label, step in zip(labels, steps, strict=True) if step.role == role], role)
        for role in ("winner", "incumbent", "baseline")
    )
    rows = tuple((step.who, step.stage, step.value, interval(step.low, step.high)) for step in steps)
    return Chart(
        identifier="contenders-chart",
        title=f"{name} of winner, incumbent and baselines",
        summary=(
            f"Each dot is a value of {name}, further right is better; a line is its 95 % interval where there is one."
        ),
        traces=traces,
        layout={
            "xaxis": {"title": {"text": name}},
            "yaxis": {
                "categoryorder": "array",
                "categoryarray": list(reversed(labels)),
                "automargin": True,
            },
        },
        table=Table("Values and intervals", ("who", "measured", name, "95 % interval"), rows),
        height=120 + 36 * len(steps),
    )


def _dots(items: list[tuple[str, Step]], role: str) -> dict[str, object]:
    ends = [
        (step.value, step.value) if step.low is None or step.high is None else (step.low, step.high)
        for _, step in items
    ]
    symbol = {"winner": "circle", "incumbent": "diamond"}.get(role, "square")
    return {
        "type": "scatter",
        "mode": "markers",
        "name": {"winner": "winner", "incumbent": "incumbent", "baseline": "baselines"}[role],
        "x": [step.value for _, step in items],
        "y": [label for label, _ in items],
        "marker": {
            "color": f"var(--{role})",
            "size": 11,
            "symbol": symbol,
        },
        "error_x": {
            "type": "data",
            "symmetric": False,
            "color": f"var(--{role})",
            "array": [high - step.value for (_, high), (_, step) in zip(ends, items, strict=True)],
            "arrayminus": [step.value - low for (low, _), (_, step) in zip(ends, items, strict=True)],
        },
    }


def _ladder(steps: list[Step], name: str) -> Chart:
    """Return the chart of the optimism ladder: the winner and the incumbent from stage to stage."""
    traces = []
    for role, symbol in (("winner", "circle"), ("incumbent", "diamond")):
        own = [step for step in steps if step.role == role]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": role,
                "x": [step.stage for step in own],
                "y": [step.value for step in own],
                "line": {"color": f"var(--{role})"},
                "marker": {
                    "color": f"var(--{role})",
                    "size": 10,
                    "symbol": symbol,
                },
            }
        )
    return Chart(
        identifier="ladder-chart",
        title=f"The optimism ladder in {name}",
        summary=(
            f"From left to right: the value of {name} in the search, on folds that were not trained on, and on test."
        ),
        traces=tuple(traces),
        layout={
            "xaxis": {"categoryorder": "array", "categoryarray": list(_STAGES), "type": "category"},
            "yaxis": {"title": {"text": name}},
        },
        table=None,
        table_note="The values are in the table above.",
        height=300,
    )
