"""Facts about market data that a user should know before trusting a model trained on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from core.data.bars import Bars, match_columns
from core.data.dataset import Dataset
from core.data.file_format import (
    DAY,
    PRICES,
    SECOND,
    SIDES,
    datetime_microseconds,
    mid_price,
    price_column,
)
from core.data.labels import BUY, CLASSES, SELL
from core.data.validation import find_problems, grid_offset

UNSTABLE_DAYS, ADVISED_DAYS = 7, 14
"""Days of data under which results are unstable, and how many are advised at least."""
MAX_HOLD_SHARE = 0.80
"""Share of HOLD among the train labels above which always calling HOLD would look right."""
OUTLIER = 15.0
"""One-bar returns beyond this many robust standard deviations are counted as outliers."""
BAD_TICK = 2.0
"""A price above the closes before and after it by this factor, or below them, is taken for a bad tick."""
_MAX_BAD_RUN = 2
"""Number of bars in a row that are taken for bad ticks; prices that stay away for longer have moved."""
_MAX_NEIGHBOURS = 5
"""Number of closes that bars at an end of the data are compared with."""
MAX_DAILY_RANGE = 0.5
"""Interquartile range of a day's returns above which they are taken to be in percent; that of bitcoin is about 0.03."""
_DEVIATIONS_PER_MEDIAN = 1.4826
"""Standard deviation of a normal variable over the median of its absolute values."""


def describe_data(dataset: Dataset) -> dict[str, Any]:
    """Return what a result records about its data, in values that JSON can hold."""
    return {
        "synthetic": dataset.is_synthetic,
        "symbols": list(dataset.symbol_names),
        "span": list(dataset.span),
        "bar": dataset.bar,
        "fingerprint": dataset.fingerprint,
        "window": dataset.window,
        "horizon": dataset.horizon,
        "features": list(dataset.feature_names),
        "untraded": dataset.untraded,
        "grid_offset": grid_offset(dataset.timestamps, dataset.bar) // SECOND,
        "rows": {"train": len(dataset.train), "val": len(dataset.val), "test": len(dataset.test)},
    }


@dataclass(frozen=True)
class FileReport:
    """The contents of one file of bars or order-book snapshots, and what is odd or wrong in them.

    Attributes:
        path: file that was examined.
        symbol: symbol in the file name.
        interval: length of a bar, for example 5m.
        rows: number of rows, one for each bar.
        start: opening of the first bar, as text.
        end: opening of the last bar, as text.
        days: time from `start` to `end`, in days.
        gaps: number of stretches of missing bars.
        missing: number of bars missing in all gaps.
        longest_gap: number of bars missing in the longest gap.
        offset: by how much the bars open after the multiples of their length, in microseconds.
        duplicates: number of rows that repeat a timestamp.
        frozen: number of bars whose prices all equal those of the bar before.
        zero_volume: number of bars without volume.
        outliers: number of bars with an extreme return.
        bad_ticks: number of bars, alone or two in a row, with a price far from the closes around them.
        first_bad_tick: opening of the first of them, as text; empty if there is none.
        ignored: columns that the settings do not name, and which are not read.
        problems: what makes the file unusable, a sentence for each kind of damage.
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
    offset: int
    duplicates: int
    frozen: int
    zero_volume: int
    outliers: int
    bad_ticks: int
    first_bad_tick: str
    ignored: tuple[str, ...]
    problems: tuple[str, ...]


def check_file(path: Path, bars: Bars, sparse: Sequence[str] = (), until: int | None = None) -> FileReport:
    """Examine the content of a file; damage in its rows is counted, not raised.

    Args:
        path: bar or order-book file.
        bars: what it holds, as `core.data.bars.read_unchecked` reads it.
        sparse: names or globs of additional columns that need not have a value in every row.
        until: end of the rows whose damage counts, in microseconds since 1970; None for all.
    """
    frame = bars.frame
    opened = bars.opened
    steps = np.diff(opened)
    if (steps < 0).any():
        steps = np.diff(np.sort(opened))
    missing = np.maximum(steps // bars.bar - 1, 0)
    prices = [name for name in (*PRICES, *(price_column(side, 1) for side in SIDES)) if name in frame]
    unchanged = np.ones(len(steps), dtype=bool)
    for name in prices:
        values = frame[name].to_numpy()
        unchanged &= (values[1:] == values[:-1]) & np.isfinite(values[1:])
    close = np.asarray(frame["close"] if "close" in frame else mid_price(frame))
    bad_ticks = np.flatnonzero(_find_bad_ticks(frame, close))
    return FileReport(
        path=path,
        symbol=bars.symbol,
        interval=bars.interval,
        rows=len(frame),
        start=str(frame["timestamp"].min()),
        end=str(frame["timestamp"].max()),
        days=(int(opened.max()) - int(opened.min())) / DAY,
        gaps=int((missing > 0).sum()),
        missing=int(missing.sum()),
        longest_gap=int(missing.max(initial=0)),
        offset=grid_offset(opened, bars.bar),
        duplicates=int((steps == 0).sum()),
        frozen=int(unchanged.sum()),
        zero_volume=int((frame["volume"] == 0).sum()) if "volume" in frame else 0,
        outliers=count_outliers(close),
        bad_ticks=len(bad_ticks),
        first_bad_tick=str(frame["timestamp"].iloc[bad_ticks[0]]) if len(bad_ticks) else "",
        ignored=bars.ignored,
        problems=tuple(
            f"row {problem.row} ({problem.when}) {problem.what}"
            + (f", and {problem.count - 1} more" if problem.count > 1 else "")
            + f". {problem.remedy}."
            for problem in find_problems(frame, bars.bar, match_columns(bars.named, sparse), until)
        ),
    )


def _find_bad_ticks(frame: pd.DataFrame, close: np.ndarray) -> np.ndarray:
    """Find bars, alone or two in a row, with prices that the closes around them do not come near, bool `[T]`.

    At an end of the data there are closes on one side alone: the median of a few of them is taken, one of which may be
    a bad tick itself.
    """
    low, high = (np.asarray(frame[name]) if name in frame else close for name in ("low", "high"))
    is_bad = np.zeros(len(close), dtype=bool)
    for length in range(1, min(_MAX_BAD_RUN, len(close) - 1) + 1):
        starts = np.arange(len(close) - length + 1)
        before = np.append(np.median(close[length : length + _MAX_NEIGHBOURS]), close[: len(starts) - 1])
        after = np.append(close[length:], np.median(close[: len(starts) - 1][-_MAX_NEIGHBOURS:]))
        # At the ends the one side stands for both.
        after[0], before[-1] = before[0], after[-1]
        upper, lower = BAD_TICK * np.maximum(before, after), np.minimum(before, after) / BAD_TICK
        runs = np.ones(len(starts), dtype=bool)
        for bar in range(length):
            runs &= (high[starts + bar] > upper) | (low[starts + bar] < lower)
        for bar in range(length):
            is_bad[starts[runs] + bar] = True
    return is_bad


def count_outliers(close: np.ndarray) -> int:
    """Count the one-bar log returns beyond `OUTLIER` robust standard deviations.

    Args:
        close: closing prices `[T]`; those that are not finite or not positive are left out.
    """
    usable = close[np.isfinite(close) & (close > 0)]
    returns = np.diff(np.log(usable))
    moves = np.abs(returns[returns != 0])
    if len(moves) == 0:
        return 0
    return int((np.abs(returns) > OUTLIER * _DEVIATIONS_PER_MEDIAN * np.median(moves)).sum())


def class_shares(dataset: Dataset, rows: np.ndarray) -> dict[str, float]:
    """Compute the share of each class among the labels of these rows `[N]`."""
    counts = np.bincount(dataset.labels[rows], minlength=len(CLASSES))
    return {name: float(count / max(counts.sum(), 1)) for name, count in zip(CLASSES, counts, strict=True)}


def provable_direction_auc(dataset: Dataset, rows: np.ndarray, confidence: float = 0.95) -> float:
    """Compute the smallest direction_auc that these rows can tell from 0.5.

    It is the smallest whose one-sided confidence interval excludes 0.5. The standard deviation of the AUC of a forecast
    without skill is that of Mann & Whitney 1947. Labels of neighbouring bars overlap, which leaves one independent row
    in h for forecasts as persistent as most are; symbols move together and count as one.

    Args:
        dataset: dataset with the labels of these rows.
        rows: rows on which direction_auc is measured, `[N]`.
        confidence: one-sided confidence of the interval.

    Returns:
        The smallest direction_auc; 1 if nothing can be told from 0.5, for example where no row is SELL or none is BUY.
    """
    sells, buys = (int((dataset.labels[rows] == side).sum()) for side in (SELL, BUY))
    return smallest_provable_auc(sells, buys, dataset.horizon * len(dataset.symbol_names), confidence)


def smallest_provable_auc(sells: int, buys: int, dependent: int, confidence: float = 0.95) -> float:
    """Compute the smallest direction_auc that can be told from 0.5, see `provable_direction_auc`.

    Args:
        sells: number of rows that are SELL.
        buys: number of rows that are BUY.
        dependent: how many rows count as one independent row.
        confidence: one-sided confidence of the interval.

    Returns:
        The smallest direction_auc; 1 if nothing can be told from 0.5.
    """
    if not sells or not buys:
        return 1.0
    sell_rows, buy_rows = max(sells / dependent, 1.0), max(buys / dependent, 1.0)
    deviation = sqrt((sell_rows + buy_rows + 1) / (12 * sell_rows * buy_rows))
    return min(0.5 + float(norm.ppf(confidence)) * deviation, 1.0)


def span_days(dataset: Dataset) -> float:
    """Return the length of the span of a dataset in days, up to the end of its last bar."""
    first, last = (datetime_microseconds(datetime.fromisoformat(edge)) for edge in dataset.span)
    return (last + dataset.bar - first) / DAY


def advice(dataset: Dataset) -> list[str]:
    """Return what is doubtful about a dataset and what to do about it, in sentences; empty if nothing is."""
    kinds = (_advice_on_span, _advice_on_labels, _advice_on_returns, _advice_on_columns)
    return [sentence for kind in kinds for sentence in kind(dataset)]


def _advice_on_span(dataset: Dataset) -> Iterator[str]:
    days = span_days(dataset)
    if days < UNSTABLE_DAYS:
        yield f"{days:.1f} days of data: results under {UNSTABLE_DAYS} days are unstable. Use more days."
    elif days < ADVISED_DAYS:
        yield f"{days:.1f} days of data: {ADVISED_DAYS} or more are advised."
    if dataset.span_limit:
        yield f"{dataset.span_limit}."


def _advice_on_labels(dataset: Dataset) -> Iterator[str]:
    splits = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
    for label in CLASSES:
        absent = [name for name, rows in splits.items() if len(rows) and class_shares(dataset, rows)[label] == 0]
        if absent:
            where = " and ".join(absent)
            yield f"{label} never occurs in {where}: nothing can be proven about it. Use more days, or other labels."
    hold = class_shares(dataset, dataset.train)["HOLD"]
    if hold > MAX_HOLD_SHARE:
        yield (
            f"{hold:.0%} of the train labels are HOLD: always calling HOLD would look right. Use quantile labels, "
            "narrower thresholds or a longer horizon; if the labels are quantiles already, the price hardly moves: "
            "leave frozen stretches out."
        )


def _advice_on_returns(dataset: Dataset) -> Iterator[str]:
    days_ahead = dataset.horizon * dataset.bar / DAY
    for symbol, scale in zip(dataset.symbol_names, dataset.return_scale, strict=True):
        if scale / sqrt(days_ahead) > MAX_DAILY_RANGE:
            yield (
                f"Half of the returns of {symbol} lie {scale:.2g} apart over {dataset.horizon} bars. Log returns are "
                "smaller: if they are in percent, divide them by 100."
            )


def _advice_on_columns(dataset: Dataset) -> Iterator[str]:
    if dataset.ignored:
        yield f"These columns are ignored because features: does not name them: {', '.join(dataset.ignored)}."
