"""What a user should know of market data before believing anything trained on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from core.data.bars import read_unchecked
from core.data.dataset import Dataset
from core.data.file_format import PRICES, microseconds, mid_price
from core.data.labels import BUY, CLASSES, SELL
from core.data.validation import find_problems


def describe_data(dataset: Dataset) -> dict[str, Any]:
    """What a result should tell of its data, in plain values."""
    return {
        "synthetic": dataset.is_synthetic,
        "symbols": list(dataset.symbol_names),
        "span": list(dataset.span),
        "bar": dataset.bar,
        "fingerprint": dataset.fingerprint,
        "window": dataset.window,
        "horizon": dataset.horizon,
        "features": list(dataset.feature_names),
        "rows": {"train": len(dataset.train), "val": len(dataset.val), "test": len(dataset.test)},
    }


UNSTABLE_DAYS, ADVISED_DAYS = 7, 14
MAX_HOLD_SHARE = 0.80
OUTLIER = 15.0
"""One-bar returns beyond this many robust standard deviations are counted as outliers."""


@dataclass(frozen=True)
class FileReport:
    """One file of bars or order-book snapshots.

    Attributes:
        path: the file.
        symbol: its symbol.
        interval: length of a bar.
        rows: bars in it.
        start: opening of the first bar.
        end: opening of the last bar.
        days: from the one to the other.
        gaps: stretches of missing bars.
        missing: bars missing in them.
        longest_gap: most bars missing in one.
        duplicates: rows that repeat a timestamp.
        frozen: bars equal in all prices to the bar before.
        zero_volume: bars without volume.
        outliers: bars with an extreme return.
        ignored: columns that are not named and not read.
        problems: what makes the file unusable, a sentence each.
    """

    path: Path
    symbol: str
    interval: str
    rows: int
    start: str
    end: str
    days: float
    gaps: int
    missing: int
    longest_gap: int
    duplicates: int
    frozen: int
    zero_volume: int
    outliers: int
    ignored: tuple[str, ...]
    problems: tuple[str, ...]


def check_file(path: Path, named: Sequence[str] = ()) -> FileReport:
    """Look a file over; damage is counted, not raised.

    Args:
        path: the file.
        named: further columns that are features, by name or glob.

    Raises:
        DataError: it is missing, misnamed, no Parquet, or has wrong columns.
    """
    bars, _ = read_unchecked(path, named)
    frame = bars.frame
    opened = microseconds(frame["timestamp"])
    absent = np.maximum(np.diff(np.unique(opened)) // (bars.seconds * 1_000_000) - 1, 0)
    prices = [name for name in (*PRICES, "bid_px_1", "ask_px_1") if name in frame]
    same = (frame[prices].diff().iloc[1:] == 0).all(axis=1)
    close = frame["close"] if "close" in frame else mid_price(frame)
    return FileReport(
        path=path,
        symbol=bars.symbol,
        interval=bars.interval,
        rows=len(frame),
        start=str(frame["timestamp"].min()),
        end=str(frame["timestamp"].max()),
        days=(int(opened.max()) - int(opened.min())) / 86_400e6,
        gaps=int((absent > 0).sum()),
        missing=int(absent.sum()),
        longest_gap=int(absent.max(initial=0)),
        duplicates=int(pd.Series(opened).duplicated().sum()),
        frozen=int(same.sum()),
        zero_volume=int((frame["volume"] == 0).sum()) if "volume" in frame else 0,
        outliers=count_outliers(np.asarray(close)),
        ignored=bars.ignored,
        problems=tuple(
            f"row {item.row} ({item.when}) {item.what}"
            + (f", and {item.count - 1} more" if item.count > 1 else "")
            + f". {item.cure}."
            for item in find_problems(frame, bars.seconds)
        ),
    )


def count_outliers(close: np.ndarray) -> int:
    """One-bar log returns beyond `OUTLIER` robust standard deviations; prices that are not positive are left out."""
    usable = close[np.isfinite(close) & (close > 0)]
    returns = np.diff(np.log(usable))
    moved = np.abs(returns[returns != 0])
    if len(moved) == 0:
        return 0
    return int((np.abs(returns) > OUTLIER * 1.4826 * np.median(moved)).sum())


def class_shares(dataset: Dataset, rows: np.ndarray) -> dict[str, float]:
    """Share of each class among the labels of these rows."""
    counts = np.bincount(dataset.labels[rows], minlength=len(CLASSES))
    return {name: float(count / max(counts.sum(), 1)) for name, count in zip(CLASSES, counts, strict=True)}


def provable_direction_auc(dataset: Dataset, rows: np.ndarray, confidence: float = 0.95) -> float:
    """The smallest direction_auc whose one-sided interval of this confidence on these rows would leave 0.5 out.

    The null deviation of an AUC is that of Mann & Whitney 1947. Labels of neighbouring bars overlap, which leaves
    one independent row in h where forecasts are as persistent as most are; symbols move together and count as one.
    """
    per_symbol = dataset.horizon * len(dataset.symbol_names)
    sells, buys = (max(float((dataset.labels[rows] == side).sum()) / per_symbol, 1.0) for side in (SELL, BUY))
    deviation = sqrt((sells + buys + 1) / (12 * sells * buys))
    return min(0.5 + float(norm.ppf(confidence)) * deviation, 1.0)


def span_days(dataset: Dataset) -> float:
    """Length of the dataset's span."""
    start, end = (pd.Timestamp(edge) for edge in dataset.span)
    return float((end - start).total_seconds() / 86_400) + dataset.bar / 86_400e6


def advice(dataset: Dataset) -> list[str]:
    """What is doubtful about the data, a sentence each; empty if nothing is."""
    found = []
    span = span_days(dataset)
    if span < UNSTABLE_DAYS:
        found.append(f"{span:.1f} days of data: results under {UNSTABLE_DAYS} days are unstable. Use more days.")
    elif span < ADVISED_DAYS:
        found.append(f"{span:.1f} days of data: {ADVISED_DAYS} or more are advised.")
    hold = class_shares(dataset, dataset.train)["HOLD"]
    if hold > MAX_HOLD_SHARE:
        found.append(
            f"{hold:.0%} of the train labels are HOLD: always calling HOLD would look right. Use quantile labels, "
            "narrower borders or a longer horizon; if the labels are quantiles already, the price hardly moves: "
            "leave frozen stretches out."
        )
    if dataset.ignored:
        found.append(f"Ignored columns, because features: names none of them: {', '.join(dataset.ignored)}.")
    return found
