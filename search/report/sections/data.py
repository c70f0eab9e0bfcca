"""The data: what they span, their gaps, the shares of the classes, and the smallest skill that they can prove."""

from __future__ import annotations

import numpy as np

from core.data.labels import BUY, CLASSES, SELL
from core.data.summary import smallest_provable_auc
from search.report.campaign_data import CampaignData
from search.report.elements import Chart, Part, Section, Table, rounded
from search.report.wording import count, instant
from search.results.predictions import TEST, VAL

_MINUTE = 60_000_000
_MAX_GAPS = 20
_COLORS = ("var(--incumbent)", "var(--other)", "var(--winner)")


def make_section(campaign: CampaignData) -> Section:
    """Make the section on the data."""
    data = campaign.record.data
    length = f" of {data.bar // _MINUTE} minutes" if data.bar else ""
    rows = ", ".join(f"{number:,} of {split}" for split, number in data.rows.items())
    sentences = [
        f"{', '.join(data.symbols)}: bars{length} from {instant(data.span[0])} to {instant(data.span[1])}. A "
        "prediction sees "
        f"{count(data.window, 'bar')}, and its label looks {count(data.horizon, 'bar')} ahead."
        + (f" Rows: {rows}." if rows else "")
    ]
    labels = split_labels(campaign)
    parts: list[Part] = []
    if labels:
        parts.append(_class_shares(labels))
        dependent = data.horizon * len(data.symbols)
        for split, values in labels.items():
            if split in (VAL, TEST):
                smallest = smallest_provable_auc(int((values == SELL).sum()), int((values == BUY).sum()), dependent)
                sentences.append(
                    f"The smallest direction AUC that the {split} rows can tell from guessing (0.5) is {smallest:.4f}."
                )
    if campaign.dataset is None:
        sentences.append("The bars are not at hand, so that gaps in them cannot be listed.")
    else:
        gaps = find_gaps(campaign.dataset.timestamps, campaign.dataset.symbols, campaign.dataset.bar)
        sentences.append(_gap_sentence(gaps))
        if gaps:
            names = campaign.dataset.symbol_names
            gap_rows = tuple((names[symbol], _text(start), missing) for symbol, start, missing in gaps[:_MAX_GAPS])
            parts.append(Table("The longest gaps", ("symbol", "first missing bar", "bars missing"), gap_rows))
    return Section("data", "Data", tuple(sentences), tuple(parts))


def split_labels(campaign: CampaignData) -> dict[str, np.ndarray]:
    """Return the true classes of the rows of each split that is known, by the split's name.

    Args:
        campaign: the campaign.
    """
    if campaign.dataset is not None:
        splits = {"train": campaign.dataset.train, VAL: campaign.dataset.val, TEST: campaign.dataset.test}
        return {name: campaign.dataset.labels[rows] for name, rows in splits.items() if len(rows)}
    if campaign.predictions is None:
        return {}
    labels = {}
    for split in (VAL, TEST):
        rows = campaign.predictions[campaign.predictions["split"] == split]
        if len(rows):
            first = rows.groupby(["number", "seed"]).ngroup() == 0
            labels[split] = rows.loc[first, "label"].to_numpy(dtype=np.int64)
    return labels


def find_gaps(timestamps: np.ndarray, symbols: np.ndarray, bar: int) -> list[tuple[int, int, int]]:
    """Find stretches of missing bars.

    Args:
        timestamps: when each bar opens, in microseconds since 1970, rising within a symbol, `[T]`.
        symbols: index of each bar's symbol, `[T]`.
        bar: length of a bar in microseconds.

    Returns:
        for each gap the symbol's index, when the first missing bar would have opened, and how many bars are missing;
        the longest first.
    """
    missing = np.diff(timestamps) // bar - 1
    places = np.flatnonzero((np.diff(symbols) == 0) & (missing > 0))
    gaps = [(int(symbols[place]), int(timestamps[place]) + bar, int(missing[place])) for place in places]
    return sorted(gaps, key=lambda gap: (-gap[2], gap[1], gap[0]))


def _gap_sentence(gaps: list[tuple[int, int, int]]) -> str:
    if not gaps:
        return "No bar is missing."
    total = sum(missing for _, _, missing in gaps)
    told = f"{count(len(gaps), 'gap')} with {count(total, 'missing bar')} in all."
    return f"{told} No window, feature or label reaches across a gap."


def _text(instant: int) -> str:
    return str(np.datetime64(instant, "us").astype("datetime64[m]"))


def _class_shares(labels: dict[str, np.ndarray]) -> Chart:
    shares = {
        split: np.bincount(values[values >= 0], minlength=len(CLASSES)) / max(int((values >= 0).sum()), 1)
        for split, values in labels.items()
    }
    traces = tuple(
        {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "y": list(shares),
            "x": rounded([float(of_split[place]) for of_split in shares.values()]),
            "marker": {"color": _COLORS[place]},
        }
        for place, name in enumerate(CLASSES)
    )
    rows = tuple((split, *map(float, of_split)) for split, of_split in shares.items())
    return Chart(
        identifier="classes-chart",
        title="Shares of the classes",
        summary="A bar is a split of the data, in the order of time; its parts are the shares of SELL, HOLD and BUY.",
        traces=traces,
        layout={
            "barmode": "stack",
            "xaxis": {"tickformat": ".0%", "range": [0, 1]},
            "yaxis": {"autorange": "reversed", "automargin": True},
        },
        table=Table("Shares of the classes", ("split", *CLASSES), rows),
        height=130 + 40 * len(shares),
    )
