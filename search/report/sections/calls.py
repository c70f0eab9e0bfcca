"""The winner's calls: which classes it confuses, whether its probabilities can be believed, and how sure ones do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from core.data.labels import CLASSES
from core.evaluation.calibration import Calibration, logits_of
from core.evaluation.decision import DecisionRule, cross_fitted_decisions, decide
from search.report.campaign_data import CampaignData
from search.report.elements import Chart, Section, Table, rounded
from search.report.wording import count
from search.results.predictions import TEST, VAL, probabilities_of, timestamps_of

_BINS = 10
_SHARES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_TRADED = ("SELL", "BUY")


@dataclass(frozen=True)
class JudgedRows:
    """Rows that the winner predicted, with its calls.

    Attributes:
        split: `test`, or `val` where test was not read.
        table: the predictions, N rows.
        probabilities: calibrated probabilities of SELL, HOLD, BUY, `[N, 3]`.
        calls: the called class of each row, int `[N]`.
        labels: the true class of each row, int `[N]`.
    """

    split: str
    table: pd.DataFrame
    probabilities: np.ndarray
    calls: np.ndarray
    labels: np.ndarray

    @property
    def where(self) -> str:
        """The rows in words."""
        if self.split == TEST:
            return "the test rows, which nothing was chosen by"
        return "the validation rows, which chose the winner, so that all of this is optimistic"


def judge_rows(campaign: CampaignData) -> JudgedRows | None:
    """Return the winner's calls on test, or on val where test was not read; None where there are no predictions.

    Args:
        campaign: the campaign.
    """
    if campaign.predictions is None or campaign.chosen is None:
        return None
    own = campaign.predictions[campaign.predictions["number"] == campaign.chosen]
    split = TEST if campaign.verdict is not None and campaign.verdict.test is not None else VAL
    table = own[own["split"] == split]
    if table.empty:
        return None
    logits, timestamps = logits_of(probabilities_of(table)), timestamps_of(table)
    labels, bar = table["label"].to_numpy(dtype=np.int64), campaign.record.data.bar or 1
    if split == VAL:
        decisions = cross_fitted_decisions(logits, labels, timestamps, bar, campaign.metric)  # type: ignore[arg-type]
    else:
        decisions = decide(logits, timestamps, *_fitted(campaign, bar))
    return JudgedRows(split, table, decisions.probabilities, decisions.calls, labels)


def _fitted(campaign: CampaignData, bar: int) -> tuple[Calibration, DecisionRule]:
    """Return the calibration and the decision rule of the final training, as the verdict records them."""
    verdict = campaign.verdict
    assert verdict is not None and verdict.test is not None  # noqa: PT018 - test was read
    final, test = verdict.final, verdict.test
    calibration = Calibration()
    if final.temperature is not None and len(final.bias) == len(CLASSES):
        sell, hold, buy = final.bias
        calibration = Calibration(final.temperature, (sell, hold, buy))
    if test.decision_tilt is None or len(test.decision_mean) != len(CLASSES):
        return calibration, DecisionRule(tilt=0.0, bar=bar)
    sell, hold, buy = test.decision_mean
    return calibration, DecisionRule((sell, hold, buy), test.decision_tilt, bar)


def make_section(campaign: CampaignData) -> Section:
    """Make the section on the winner's calls."""
    title = "The winner's calls"
    rows = judge_rows(campaign)
    if rows is None:
        return Section("calls", title, ("There are no predictions of the winner to show yet.",))
    accuracy = float(np.mean(rows.calls == rows.labels))
    frequent = float(np.bincount(rows.labels, minlength=len(CLASSES)).max() / len(rows.labels))
    sentences = (
        f"These are {count(len(rows.labels), 'call')} on {rows.where}.",
        f"{accuracy:.1%} of them are right; always calling the most frequent class would be right in {frequent:.1%}. A "
        "model that also calls the rarer classes, as it must to trade, may be right less often than that and still "
        "know more.",
    )
    return Section("calls", title, sentences, (_confusion(rows), _reliability(rows), _selective(rows, frequent)))


def _confusion(rows: JudgedRows) -> Chart:
    size = len(CLASSES)
    counts = np.bincount(rows.labels * size + rows.calls, minlength=size**2).reshape(size, size)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    texts = [
        [f"{share:.0%}<br>{number:,}" for share, number in zip(*row, strict=True)]
        for row in zip(shares, counts, strict=True)
    ]
    table_rows = tuple((name, *map(int, row)) for name, row in zip(CLASSES, counts, strict=True))
    return Chart(
        identifier="confusion-chart",
        title="Confusion: what came, and what was called",
        summary=(
            "A row is what came, a column what was called; a cell is the share of its row, with the number of calls."
        ),
        traces=(
            {
                "type": "heatmap",
                "z": [rounded(row.tolist()) for row in shares],
                "x": [f"called {name}" for name in CLASSES],
                "y": [f"was {name}" for name in CLASSES],
                "text": texts,
                "texttemplate": "%{text}",
                "textfont": {"color": "#1b1b1b"},
                "zmin": 0,
                "zmax": 1,
                "colorscale": [[0, "#f5f5f5"], [1, "#7fb4e0"]],
                "showscale": False,
                "xgap": 2,
                "ygap": 2,
            },
        ),
        layout={"yaxis": {"autorange": "reversed", "automargin": True}},
        table=Table("Calls by class", ("what came", *(f"called {name}" for name in CLASSES)), table_rows),
    )


def _reliability(rows: JudgedRows) -> Chart:
    traces = [{
        "type": "scatter", "mode": "lines", "name": "as it should be", "x": [0, 1], "y": [0, 1],
        "line": {"color": "var(--rule)", "dash": "dot"}, "hoverinfo": "skip",
    }]  # fmt: skip
    table_rows: list[tuple[object, ...]] = []
    for column, color in zip((0, 2), ("var(--incumbent)", "var(--winner)"), strict=True):
        bins = reliability_bins(rows.probabilities[:, column], rows.labels == column)
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": CLASSES[column],
                "x": rounded([said for said, _, _ in bins]),
                "y": rounded([came for _, came, _ in bins]),
                "text": [f"{number:,} rows" for _, _, number in bins],
                "hovertemplate": "said %{x:.2f}, came %{y:.2f}, %{text}<extra></extra>",
                "line": {"color": color},
                "marker": {"color": color, "size": 8, "symbol": "diamond" if column == 0 else "circle"},
            }
        )
        table_rows += [(CLASSES[column], *entry) for entry in bins]
    return Chart(
        identifier="reliability-chart",
        title="Reliability: how often a probability comes true",
        summary=(
            "Rows are sorted by the probability that the model gives to SELL, or to BUY, and cut into ten equal parts. "
            "On the dotted line a probability of 0.4 comes true in 40 % of the cases; below it the model claims too "
            "much."
        ),
        traces=tuple(traces),
        layout={"xaxis": {"title": {"text": "probability"}}, "yaxis": {"title": {"text": "share that came"}}},
        table=Table("Reliability", ("class", "mean probability", "share that came", "rows"), tuple(table_rows)),
    )


def reliability_bins(probabilities: np.ndarray, came: np.ndarray) -> list[tuple[float, float, int]]:
    """Cut rows into ten equal parts by a probability, and compare it with how often what it speaks of came.

    Args:
        probabilities: probability of a class, `[N]`.
        came: whether the class came, bool `[N]`.

    Returns:
        for each part that has rows: the mean probability, the share that came, and the number of rows.
    """
    order = np.argsort(probabilities, kind="stable")
    parts = [part for part in np.array_split(order, _BINS) if len(part)]
    return [(float(probabilities[part].mean()), float(came[part].mean()), len(part)) for part in parts]


def _selective(rows: JudgedRows, frequent: float) -> Chart:
    points = selective_accuracy(rows.probabilities, rows.calls, rows.labels)
    return Chart(
        identifier="selective-chart",
        title="Accuracy of the surest calls",
        summary=(
            "From left to right more and more calls are taken, the surest first; the height is the share of them that "
            "is "
            "right. A line that falls to the right means that the model knows when it knows. The dotted line is always "
            "calling the most frequent class."
        ),
        traces=(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": "the winner's calls",
                "x": [share for share, _, _ in points],
                "y": rounded([accuracy for _, accuracy, _ in points]),
                "line": {"color": "var(--winner)"},
                "marker": {"color": "var(--winner)", "size": 8},
            },
            {
                "type": "scatter",
                "mode": "lines",
                "name": "most frequent class",
                "x": [_SHARES[0], 1],
                "y": [frequent, frequent],
                "line": {"color": "var(--rule)", "dash": "dot"},
            },
        ),
        layout={
            "xaxis": {"title": {"text": "share of the calls"}, "tickformat": ".0%"},
            "yaxis": {"title": {"text": "share that is right"}, "tickformat": ".0%"},
        },
        table=Table(
            "Accuracy of the surest calls", ("share of the calls", "share that is right", "calls"), tuple(points)
        ),
    )


def selective_accuracy(
    probabilities: np.ndarray, calls: np.ndarray, labels: np.ndarray
) -> list[tuple[float, float, int]]:
    """Compute how many of the surest calls are right.

    Args:
        probabilities: calibrated probabilities, `[N, 3]`; a call is the surer, the higher that of its class.
        calls: the called class of each row, int `[N]`.
        labels: the true class of each row, int `[N]`.

    Returns:
        for growing shares of the calls: the share, how many of them are right as a share, and their number.
    """
    certainty = probabilities[np.arange(len(calls)), calls]
    is_right = (calls == labels)[np.argsort(-certainty, kind="stable")]
    numbers = [max(round(share * len(calls)), 1) for share in _SHARES]
    return [(share, float(is_right[:number].mean()), number) for share, number in zip(_SHARES, numbers, strict=True)]
