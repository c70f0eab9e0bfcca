"""What following the winner's calls would have earned, at several costs, beside buying and holding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from core.data.dataset import Dataset
from core.evaluation.backtest import DEFAULT_COST_BP, select_trades
from search.report.campaign_data import CampaignData
from search.report.elements import Chart, Section, Table, rounded
from search.report.sections.calls import JudgedRows, judge_rows
from search.report.wording import count
from search.results.predictions import TEST, probabilities_of, timestamps_of

COSTS_BP = (0.0, 5.0, 10.0)
"""Costs of a round trip that are compared, in basis points."""
_POINTS = 400
_DASHES = {0.0: "dot", 5.0: "dash", 10.0: "solid"}


@dataclass(frozen=True)
class Trades:
    """Trades that have ended, by the instant at which they did.

    Attributes:
        instants: rising, in microseconds since 1970, `[M]`.
        net: what they added to the capital at the recorded cost, as a fraction of all capital, `[M]`.
        counts: how many trades ended at each instant, `[M]`; None where that cannot be told.
        symbols: number of symbols, each of which has the same share of the capital.
        follow_calls: whether the trades follow the calls that the verdict judges.
    """

    instants: np.ndarray
    net: np.ndarray
    counts: np.ndarray | None
    symbols: int
    follow_calls: bool = True

    def at_cost(self, cost_bp: float) -> np.ndarray | None:
        """Return what the trades would have added at another cost, `[M]`; None where that cannot be told.

        Args:
            cost_bp: cost of a round trip in basis points.
        """
        if cost_bp == DEFAULT_COST_BP:
            return self.net
        if self.counts is None:
            return None
        return np.asarray(self.net + self.counts * (DEFAULT_COST_BP - cost_bp) / 1e4 / self.symbols)


def collect_trades(campaign: CampaignData, rows: JudgedRows) -> Trades | None:
    """Return the winner's trades on the judged rows; None where no returns were recorded.

    How many trades ended at an instant is not recorded. It follows from the calls, and is taken only where the instants
    at which trades must have ended by the calls are exactly those that were recorded.

    Args:
        campaign: the campaign.
        rows: the rows that were judged.
    """
    returns = campaign.returns
    if returns is None:
        return None
    own = returns[(returns["number"] == campaign.chosen) & (returns["split"] == rows.split)].sort_values("timestamp")
    instants = timestamps_of(own)
    follow_calls, counts = True, None
    if campaign.record.data.bar is not None:
        # Early versions followed the most probable class, whatever the verdict's rule calls.
        candidates = {True: rows.calls, False: probabilities_of(rows.table).argmax(axis=1)}
        found = {kind: _count_exits(campaign, rows, calls) for kind, calls in candidates.items()}
        fitting = [(kind, counts) for kind, (ended, counts) in found.items() if np.array_equal(ended, instants)]
        if fitting:
            follow_calls, counts = fitting[0]
    net = own["net_return"].to_numpy(dtype=np.float64)
    return Trades(instants, net, counts, len(campaign.record.data.symbols), follow_calls)


def _count_exits(campaign: CampaignData, rows: JudgedRows, calls: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the instants at which trades end if these calls are followed, and how many end at each."""
    data, symbols, timestamps = campaign.record.data, rows.table["symbol"].to_numpy(), timestamps_of(rows.table)
    assert data.bar is not None
    exits = [
        _exits(timestamps[symbols == symbol], calls[symbols == symbol], data.horizon, data.bar)
        for symbol in np.unique(symbols)
    ]
    return np.unique(np.concatenate(exits), return_counts=True)


def _exits(timestamps: np.ndarray, calls: np.ndarray, horizon: int, bar: int) -> np.ndarray:
    """Return when the trades of one symbol end, in microseconds since 1970; see `core.evaluation.backtest`."""
    order = np.argsort(timestamps, kind="stable")
    traded = select_trades(timestamps[order], calls[order], horizon * bar)
    return np.asarray(timestamps[order][traded] + (horizon + 1) * bar)


def make_section(campaign: CampaignData) -> Section:
    """Make the section on what following the calls would have earned."""
    title = "What following the calls would have earned"
    rows = judge_rows(campaign)
    trades = None if rows is None else collect_trades(campaign, rows)
    if rows is None or trades is None or not len(trades.instants):
        return Section("equity", title, ("No trades of the winner are recorded.",))
    sentences = [
        "A BUY or SELL call enters at the next bar's open and leaves after the horizon, "
        f"{count(len(trades.instants), 'time')} "
        f"on {rows.where}. Gains are added up, not compounded; 0.1 is ten percent of the capital.",
        "A cost of 10 bp is 0.1 % of the traded capital for entering and leaving together.",
    ]
    if trades.counts is None:
        sentences.append(
            "How many trades ended at each instant is not recorded and does not follow from the calls, so that only "
            "the "
            "recorded cost of 10 bp can be shown."
        )
    if not trades.follow_calls:
        sentences.append(
            "The version that ran this campaign followed the most probable class; these are not the calls shown above."
        )
    held = None if campaign.dataset is None else buy_and_hold(campaign.dataset, rows.split)
    if held is None:
        sentences.append("The bars are not at hand, so that buying and holding cannot be shown beside it.")
    series = {
        f"{cost:.0f} bp": (trades.instants, added) for cost in COSTS_BP if (added := trades.at_cost(cost)) is not None
    }
    return Section("equity", title, tuple(sentences), (_equity(series, held), _drawdown(trades)))


def buy_and_hold(dataset: Dataset, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return what capital held equally in all symbols has gained at each bar of some rows.

    Args:
        dataset: the bars.
        split: `val` or `test`.

    Returns:
        instants in microseconds since 1970 that all symbols have, and the gain as a fraction of the capital.
    """
    rows = dataset.test if split == TEST else dataset.val
    instants = np.unique(dataset.timestamps[rows])
    gains = []
    for symbol in range(len(dataset.symbol_names)):
        own = rows[dataset.symbols[rows] == symbol]
        if len(own):
            gain = np.expm1(dataset.log_prices[own] - dataset.log_prices[own[0]])
            gains.append(gain[np.searchsorted(dataset.timestamps[own], instants, side="right").clip(1) - 1])
    return instants, np.mean(gains, axis=0)


def _thinned(instants: np.ndarray, values: np.ndarray) -> tuple[list[str], list[float]]:
    """Return at most `_POINTS` points of a line, the last of which is the last of the line."""
    places = np.unique(np.linspace(0, len(instants) - 1, min(_POINTS, len(instants))).round().astype(np.int64))
    times = [str(np.datetime64(int(instant), "us").astype("datetime64[m]")) for instant in instants[places]]
    return times, rounded(values[places].tolist())


def _equity(series: dict[str, tuple[np.ndarray, np.ndarray]], held: tuple[np.ndarray, np.ndarray] | None) -> Chart:
    traces: list[dict[str, Any]] = []
    rows: list[tuple[object, ...]] = []
    for cost, (instants, added) in series.items():
        capital = np.cumsum(added)
        times, values = _thinned(instants, capital)
        dash = _DASHES[float(cost.removesuffix(" bp"))]
        line = {"color": "var(--winner)", "dash": dash, "width": 2}
        traces.append({"type": "scatter", "mode": "lines", "name": cost, "x": times, "y": values, "line": line})
        rows.append((f"following the calls, {cost}", float(capital[-1]), _deepest(capital)))
    if held is not None:
        times, values = _thinned(*held)
        line = {"color": "var(--incumbent)", "width": 2}
        traces.append(
            {"type": "scatter", "mode": "lines", "name": "buy and hold", "x": times, "y": values, "line": line}
        )
        rows.append(("buy and hold", float(held[1][-1]), _deepest(held[1])))
    return Chart(
        identifier="equity-chart",
        title="Gain since the first trade",
        summary="Each line adds up the gains of all trades up to a time, at one cost of a round trip (bp: 0.01 %).",
        traces=tuple(traces),
        layout={"yaxis": {"title": {"text": "gain"}, "tickformat": ".1%"}, "xaxis": {"type": "date"}},
        table=Table("Gains at the end", ("strategy", "gain (1 is all capital)", "deepest fall"), tuple(rows)),
        height=360,
    )


def _deepest(capital: np.ndarray) -> float:
    return float(fall_from_peak(capital).min(initial=0.0))


def fall_from_peak(capital: np.ndarray) -> np.ndarray:
    """Return by how much a line of gains `[M]`, which begins at 0, is below its highest point so far, `[M]`."""
    return np.asarray(capital - np.maximum(np.maximum.accumulate(capital), 0.0))


def _drawdown(trades: Trades) -> Chart:
    times, values = _thinned(trades.instants, fall_from_peak(np.cumsum(trades.net)))
    return Chart(
        identifier="drawdown-chart",
        title="Drawdown at 10 bp",
        summary="How far the gain at a cost of 10 bp is below the highest point that it had reached.",
        traces=(
            {
                "type": "scatter", "mode": "lines", "name": "drawdown", "x": times, "y": values, "fill": "tozeroy",
                "line": {"color": "var(--winner)", "width": 1},
            },
        ),
        layout={
            "yaxis": {"title": {"text": "drawdown"}, "tickformat": ".1%"}, "xaxis": {"type": "date"},
            "showlegend": False,
        },
        table=None,
        table_note="The deepest fall is in the table above.",
        height=220,
    )  # fmt: skip
