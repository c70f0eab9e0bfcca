"""When which trial was trained: how many ran at a time, which were lost, and how long places were idle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from search.report.campaign_data import CampaignData
from search.report.elements import MAX_TRIALS, Chart, Part, Section, Table, rounded
from search.report.wording import count

_STARTS = ("ask", "restart")


@dataclass(frozen=True)
class Stint:
    """A stretch of time in which a trial was trained without interruption, as the journal tells it.

    Attributes:
        trial: number of the trial.
        start: when it was started, in seconds since the campaign began.
        end: when the journal last heard of it.
        is_death: whether its process died.
        place: the place that it is drawn in, counted from 0: the first that was free.
    """

    trial: int
    start: float
    end: float
    is_death: bool
    place: int = 0


def collect_stints(acts: Sequence[dict[str, Any]]) -> list[Stint]:
    """Return when each trial was trained, in the order of the starts.

    Args:
        acts: what the journal says of each transaction, in its order.
    """
    open_stints: dict[int, tuple[float, float]] = {}
    stints: list[Stint] = []
    for act in acts:
        trial, at = act.get("trial"), act.get("at")
        if not isinstance(trial, int) or not isinstance(at, int | float):
            continue
        kind = act.get("kind")
        if kind in _STARTS:
            if trial in open_stints:
                stints.append(Stint(trial, *open_stints[trial], is_death=False))
            open_stints[trial] = (float(at), float(at))
        elif trial in open_stints:
            open_stints[trial] = (open_stints[trial][0], float(at))
            if kind == "death" or act.get("ended"):
                stints.append(Stint(trial, *open_stints.pop(trial), is_death=kind == "death"))
    stints += [Stint(trial, *times, is_death=False) for trial, times in open_stints.items()]
    return _with_places(sorted(stints, key=lambda stint: (stint.start, stint.trial)))


def _with_places(stints: Sequence[Stint]) -> list[Stint]:
    """Return the stints, each in the first place that was free when it started."""
    free_from: list[float] = []
    placed = []
    for stint in stints:
        place = next((index for index, time in enumerate(free_from) if time <= stint.start), len(free_from))
        free_from[place : place + 1] = [stint.end]
        placed.append(Stint(stint.trial, stint.start, stint.end, stint.is_death, place))
    return placed


def idle_share(stints: Sequence[Stint]) -> float:
    """Return the share of the time of all places in which no trial was trained; 0 where no time has passed.

    Args:
        stints: when each trial was trained.
    """
    places = max((stint.place for stint in stints), default=-1) + 1
    end = max((stint.end for stint in stints), default=0.0)
    start = min((stint.start for stint in stints), default=0.0)
    whole = places * (end - start)
    return 1 - sum(stint.end - stint.start for stint in stints) / whole if whole > 0 else 0.0


def make_section(campaign: CampaignData) -> Section:
    """Make the section on when which trial was trained."""
    stints = collect_stints(campaign.acts)
    deaths = sum(len(record.deaths) for record in campaign.records)
    if not stints:
        return Section("timeline", "Timeline", ("No trial has begun yet.",))
    places = max(stint.place for stint in stints) + 1
    again = len(stints) - len({stint.trial for stint in stints})
    sentences = [
        f"At most {count(places, 'trial')} ran at a time; counted over all these places, {idle_share(stints):.0%} of "
        "the time "
        "was idle. The journal records when trials ran, not on which process: a place is the first that was free.",
        f"Processes died {count(deaths, 'time')}; trials were started again {count(again, 'time')}, after a death, a "
        "pause "
        "at a rung or a resumed campaign.",
    ]
    reasons = tuple((f"#{record.number}", death) for record in campaign.records for death in record.deaths)
    if len(stints) > MAX_TRIALS:
        sentences.append(f"The chart shows the last {MAX_TRIALS:,} of {len(stints):,} stretches.")
    parts: list[Part] = [_chart(stints)]
    if reasons:
        parts.append(Table("Processes that died", ("trial", "why"), reasons))
    return Section("timeline", "Timeline", tuple(sentences), tuple(parts))


def _chart(stints: list[Stint]) -> Chart:
    places = max(stint.place for stint in stints) + 1
    traces = []
    stints = stints[-MAX_TRIALS:]
    for label, is_death, color in (("trained", False, "var(--good)"), ("process died", True, "var(--bad)")):
        own = [stint for stint in stints if stint.is_death == is_death]
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": label,
                "base": rounded([stint.start / 60 for stint in own]),
                "x": rounded([(stint.end - stint.start) / 60 for stint in own]),
                "y": [f"place {stint.place + 1}" for stint in own],
                "text": [stint.trial for stint in own],
                "textposition": "none",
                "hovertemplate": "trial #%{text}: %{x:.1f} min from minute %{base:.1f}<extra></extra>",
                "marker": {"color": color, "line": {"color": "var(--page)", "width": 1}},
            }
        )
    rows = tuple(
        (f"#{stint.trial}", stint.place + 1, stint.start, stint.end, "yes" if stint.is_death else "no")
        for stint in stints
    )
    return Chart(
        identifier="timeline-chart",
        title="When trials were trained",
        summary=(
            "A bar is a stretch in which a trial was trained; the time is that of all runs of the search in minutes."
        ),
        traces=tuple(traces),
        layout={
            "barmode": "overlay",
            "xaxis": {"title": {"text": "minutes since the campaign began"}},
            "yaxis": {"autorange": "reversed", "automargin": True},
        },
        table=Table("When trials were trained", ("trial", "place", "from second", "to second", "process died"), rows),
        height=min(140 + 26 * places, 900),
    )
