"""Every trial: its curve with the rungs and the reason it was stopped, and its hyperparameters beside its value."""

from __future__ import annotations

from typing import Any

import pandas as pd

from core.config import HYPERPARAMETER_NAMES, OPTIONAL_NAMES
from search.report.campaign_data import CampaignData
from search.report.elements import (
    MAX_TRIALS,
    Axis,
    Chart,
    Choice,
    ParallelCoordinates,
    Section,
    Table,
    plotly_text,
    rounded,
)
from search.report.wording import METRICS, count, hyperparameter_name, metric_name
from search.study.trial_record import COMPLETE, FAILED, STOPPED

_TOP = (3, 10)
"""How many of the best trials the choices of the chart of curves show."""
_MAX_MARKED = 200
"""Most pale curves whose points are drawn: more take a browser too long, and cannot be told apart."""
_LOG_SCALE = {"learning_rate", "weight_decay", "batch_size"}
_METRICS = ("auc", "direction_auc", "macro_f1")


def make_section(campaign: CampaignData) -> Section:
    """Make the section with the curves and the hyperparameters of all trials."""
    trials = campaign.trials
    if trials.empty:
        return Section("trials", "Trials", ("No trial has begun yet.",))
    counts = trials["status"].value_counts()
    words = {COMPLETE: "ran to the end", STOPPED: "stopped early", FAILED: "failed"}
    told = [f"{counts[status]} {text}" for status, text in words.items() if status in counts]
    rest = len(trials) - sum(int(counts.get(status, 0)) for status in words)
    told += [f"{rest} {'still at work' if campaign.is_running else 'left unfinished'}"] if rest else []
    sentences = [f"{count(len(trials), 'trial')}: {', '.join(told)}."]
    if campaign.first_rung is not None:
        sentences.append(
            f"After some {campaign.step}s (the rungs) each trial is compared with the others that got as far, and only "
            "the best go on: so most curves end early."
        )
    if len(trials) > MAX_TRIALS:
        sentences.append(f"Charts and table show the best {MAX_TRIALS:,} of them.")
    parts = (_curves(campaign), _parallel(campaign)) if trials["value"].notna().any() else ()
    return Section("trials", "Trials", tuple(sentences), parts)


def _best_numbers(campaign: CampaignData) -> list[int]:
    """Return the numbers of the best trials by value, the best first: those that ran to the end come before others."""
    ordered = campaign.trials[campaign.trials["value"].notna()].assign(
        is_complete=lambda table: table["status"] == COMPLETE
    )
    ordered = ordered.sort_values(["is_complete", "value", "number"], ascending=[False, False, True])
    return [int(number) for number in ordered["number"].head(_TOP[-1])]


def _curves(campaign: CampaignData) -> Chart:
    name, step = metric_name(campaign.metric), campaign.step
    best = _best_numbers(campaign)
    reasons = {record.number: record.reason or record.outcome or "not ended" for record in campaign.records}
    curves = {int(str(number)): curve for number, curve in campaign.curves.groupby("number")}
    shown = {int(number) for number in _shown(campaign)["number"]}
    others = [number for number in curves if number not in best and number in shown]
    traces = [_joined_curves([curves[number] for number in others], reasons)]
    drawn = [number for number in best if number in curves]
    traces += [_curve(curves[number], reasons[number], number == campaign.chosen) for number in drawn]
    choices = [Choice("all trials", (True,) * len(traces))]
    choices += [
        Choice(f"best {top}", (False, *(place < top for place in range(len(traces) - 1))))
        for top in _TOP
        if len(traces) - 1 >= top and len(campaign.trials) > top
    ]
    rungs = sorted({int(epoch) for epoch in campaign.curves.loc[campaign.curves["action"].notna(), "epoch"]})
    told = f"Dotted lines are the rungs, at {', '.join(map(str, rungs))}." if rungs else "No trial has been judged yet."
    lines: list[dict[str, Any]] = [
        {
            "type": "line",
            "x0": rung,
            "x1": rung,
            "yref": "paper",
            "y0": 0,
            "y1": 1,
            "line": {"color": "var(--rule)", "dash": "dot"},
        }
        for rung in rungs
    ]
    return Chart(
        identifier="curves-chart",
        title=f"{name} on val after each {step}",
        summary=(
            f"A line is a trial, a point its {name} after one more {step}. The best {len(drawn)} are drawn strongly, "
            f"all others pale. {told}"
        ),
        traces=tuple(traces),
        layout={
            "xaxis": {"title": {"text": step}, "rangemode": "tozero"},
            "yaxis": {"title": {"text": name}},
            "shapes": lines,
            "showlegend": False,
        },
        table=None,
        table_note="The table of trials below has the value of each trial and the reason why it ended.",
        height=380,
        choices=tuple(choices) if len(choices) > 1 else (),
    )


def _shown(campaign: CampaignData) -> pd.DataFrame:
    """Return the trials that charts and tables show, in the order of their numbers."""
    ordered = campaign.trials.sort_values(["value", "number"], ascending=[False, True], na_position="last")
    return ordered.head(MAX_TRIALS).sort_values("number")


def _hover(number: int, reason: str) -> str:
    return plotly_text(f"{number}, {reason.partition(':')[0]}")


def _joined_curves(curves: list[pd.DataFrame], reasons: dict[int, str]) -> dict[str, Any]:
    """Return many curves as one trace with gaps between them: a trace for each would take long to draw."""
    xs: list[float | None] = []
    ys: list[float | None] = []
    texts: list[str] = []
    for curve in curves:
        number = int(curve["number"].iloc[0])
        xs += [*curve["epoch"].tolist(), None]
        ys += [*rounded(curve["score"].tolist()), None]
        texts += [*[_hover(number, reasons[number])] * len(curve), ""]
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(curves) <= _MAX_MARKED else "lines",
        "name": "other trials",
        "x": xs,
        "y": ys,
        "text": texts,
        "hovertemplate": "trial #%{text}<br>%{x}: %{y:.4f}<extra></extra>",
        "line": {"color": "var(--other)", "width": 1},
        "marker": {"color": "var(--other)", "size": 4},
    }


def _curve(curve: pd.DataFrame, reason: str, is_chosen: bool) -> dict[str, Any]:
    number = int(curve["number"].iloc[0])
    color = "var(--winner)" if is_chosen else "var(--good)"
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": f"trial #{number}",
        "x": curve["epoch"].tolist(),
        "y": rounded(curve["score"].tolist()),
        "text": [_hover(number, reason)] * len(curve),
        "hovertemplate": "trial #%{text}<br>%{x}: %{y:.4f}<extra></extra>",
        "line": {"color": color, "width": 3 if is_chosen else 1.5},
        "marker": {"color": color, "size": 7 if is_chosen else 5},
    }


def _parallel(campaign: CampaignData) -> ParallelCoordinates:
    trials = _shown(campaign)
    name = metric_name(campaign.metric)
    searched = [name for name in (*HYPERPARAMETER_NAMES, *OPTIONAL_NAMES) if trials[name].notna().any()]
    axes = [Axis(hyperparameter_name(key), _numbers(trials[key]), _is_log(key, trials[key])) for key in searched]
    axes += [Axis(f"{campaign.step}s run", _numbers(trials["epochs"])), Axis(name, _numbers(trials["value"]))]
    chosen = [index for index, number in enumerate(trials["number"]) if number == campaign.chosen]
    return ParallelCoordinates(
        identifier="parallel-chart",
        title="Hyperparameters and value of every trial",
        summary=(
            "A line is a trial; it crosses each axis at its value. Drag along an axis, or fill in the fields below, to "
            "keep the trials within a range: the table shows the same trials. The strong line is the winner."
        ),
        axes=tuple(axes),
        marked=tuple(chosen),
        table=_table(campaign, searched),
    )


def _numbers(column: pd.Series[Any]) -> tuple[float | None, ...]:
    return tuple(None if pd.isna(value) else float(f"{float(value):.6g}") for value in column)


def _is_log(name: str, column: pd.Series[Any]) -> bool:
    return name in _LOG_SCALE and bool((column.dropna() > 0).all())


def _table(campaign: CampaignData, searched: list[str]) -> Table:
    metrics = [f"val_{name}" for name in _METRICS if name != campaign.metric]
    headings = {
        "number": "trial",
        "value": metric_name(campaign.metric),
        **{key: METRICS[key.removeprefix("val_")] for key in metrics},
        **{name: hyperparameter_name(name) for name in searched},
        "epochs": f"{campaign.step}s",
        "status": "status",
        "reason": "reason",
        "origin": "proposed by",
        "attempts": "attempts",
    }
    rows = _shown(campaign)[list(headings)].astype(object).to_numpy()
    return Table("Trials", tuple(headings.values()), tuple(map(tuple, rows)), "trials-table")
