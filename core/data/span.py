"""The span of time that a config asks for and that all symbols share, and the bars within it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np

from core.data.bars import Bars
from core.data.file_format import DAY, datetime_microseconds, iso
from core.errors import DataError


def cut_to_common_span(all_bars: Sequence[Bars], days: float | None, until: datetime | None) -> list[Bars]:
    """Cut all symbols to the same span: the last `days` before `until`.

    Args:
        all_bars: bars of each symbol, all of one interval.
        days: length of the span in days; None for everything that all symbols cover.
        until: end of the span; None for the newest instant that all symbols cover.

    Raises:
        DataError: the symbols differ in interval, a symbol comes twice, or the bars do not cover the span.
    """
    _check_alike(all_bars)
    bar = all_bars[0].bar
    spans = {bars.symbol: (int(bars.opened[0]), int(bars.opened[-1]) + bar) for bars in all_bars}
    try:
        start, stop = resolve_span(*_intersection(spans), days, until)
    except DataError as error:
        limit = describe_limit(spans)
        raise DataError(f"{error.what}. {limit}" if limit else error.what, error.remedy) from None
    return [_cut(bars, start, stop) for bars in all_bars]


def cut_to_own_spans(all_bars: Sequence[Bars], days: float | None, until: datetime | None) -> list[Bars]:
    """Cut each symbol to the last `days` of its own bars before `until`, so that it keeps its own newest bar.

    Args:
        all_bars: bars of each symbol, all of one interval.
        days: length of the span in days; None for everything that a symbol has.
        until: end of the span; None for the end of each symbol's own bars.

    Raises:
        DataError: the symbols differ in interval, a symbol comes twice, or its bars do not cover the span.
    """
    _check_alike(all_bars)
    cut = []
    for bars in all_bars:
        first, last = int(bars.opened[0]), int(bars.opened[-1]) + bars.bar
        try:
            start, stop = resolve_span(first, last, days, until)
        except DataError as error:
            raise DataError(f"{bars.symbol}: {error.what}", error.remedy) from None
        # If an earlier end is asked for, a bar left out at the end of the file does not matter.
        kept = bars if until is None else replace(bars, left_out=None)
        cut.append(_cut(kept, start, stop))
    return cut


def _check_alike(all_bars: Sequence[Bars]) -> None:
    """Refuse symbols that differ in interval, and a symbol that comes twice."""
    intervals = sorted({bars.interval for bars in all_bars})
    if len(intervals) > 1:
        raise DataError(f"The files mix the intervals {', '.join(intervals)}", "Use files of one interval")
    symbols = [bars.symbol for bars in all_bars]
    repeated = sorted({symbol for symbol in symbols if symbols.count(symbol) > 1})
    if repeated:
        raise DataError(f"{', '.join(repeated)} comes in more than one file", "Name each symbol once")


_MIN_GAIN = 1.1
"""Ratio of the common time without some symbols to that with them, above which they are named as the limit."""
_MAX_NAMED = 10
"""Number of symbols that are named as the limit, after which only their number is said."""


def _intersection(spans: Mapping[str, tuple[int, int]]) -> tuple[int, int]:
    """Return the latest start and the earliest end of some spans."""
    return max(start for start, _ in spans.values()), min(end for _, end in spans.values())


def describe_limit(spans: Mapping[str, tuple[int, int]]) -> str:
    """Say which symbols limit the time that all symbols have in common, and what leaving them out would give.

    They are the fewest whose bars begin last or end first and without which the others have notably more time in
    common: several that were listed late hide each other, as leaving out one of them gives nothing.

    Args:
        spans: start and end of the bars of each symbol, in microseconds since 1970.

    Returns:
        A sentence without its full stop; empty if leaving out no more than half of the symbols, rounded up, lengthens
        the common time by more than a tenth.
    """
    if len(spans) < 2:
        return ""
    held = _common_days(spans)
    late = sorted(spans, key=lambda name: -spans[name][0])
    early = sorted(spans, key=lambda name: spans[name][1])
    for size in range(1, min((len(spans) + 1) // 2, len(spans) - 1) + 1):
        limiting = [{*late[:count], *early[: size - count]} for count in range(size + 1)]
        without = [_common_days({name: span for name, span in spans.items() if name not in out}) for out in limiting]
        most = int(np.argmax(without))
        if without[most] > _MIN_GAIN * held:
            return _limit_text(spans, [name for name in spans if name in limiting[most]], held, without[most])
    return ""


def _common_days(spans: Mapping[str, tuple[int, int]]) -> float:
    """Return how many days some spans have in common."""
    start, end = _intersection(spans)
    return max(end - start, 0) / DAY


def _limit_text(spans: Mapping[str, tuple[int, int]], limiting: Sequence[str], held: float, without: float) -> str:
    """Say that some symbols limit the common time of all, in days, and what it is without them."""
    if len(limiting) == 1:
        (symbol,) = limiting
        start, end = spans[symbol]
        return (
            f"{symbol}, whose bars are from {iso(start)} to {iso(end)}, limits the common time: it is "
            f"{held:.1f} days, and {without:.1f} days without {symbol}"
        )
    start, end = _intersection({name: spans[name] for name in limiting})
    others_start, others_end = _intersection({name: span for name, span in spans.items() if name not in limiting})
    bounds = [f"begin as late as {iso(start)}"] if start > others_start else []
    bounds += [f"end as early as {iso(end)}"] if end < others_end else []
    shown = ", ".join(limiting[:_MAX_NAMED]) + (
        f" and {len(limiting) - _MAX_NAMED:,} more" if limiting[_MAX_NAMED:] else ""
    )
    return (
        f"{shown}, which {' or '.join(bounds)}, limit the common time: it is {held:.1f} days, and {without:.1f} days "
        "without them"
    )


def resolve_span(first: int, last: int, days: float | None, until: datetime | None) -> tuple[int, int]:
    """Compute the span that `days` and `until` ask for.

    Args:
        first: start of what all symbols cover, in microseconds since 1970.
        last: end of what all symbols cover, in microseconds since 1970.
        days: length of the span in days; None for everything from `first` on.
        until: end of the span; None for `last`.

    Returns:
        Start and end, in microseconds since 1970.

    Raises:
        DataError: the symbols do not cover the span.
    """
    start, end = first, last
    if until is not None:
        requested = datetime_microseconds(until)
        if requested <= start:
            raise DataError(f"The data begin at {iso(start)}, after --until {iso(requested)}", "Choose a later end")
        if requested > end:
            raise DataError(f"The data end at {iso(end)}, before --until {iso(requested)}", "Choose an earlier end")
        end = requested
    if days is not None:
        covered = max((end - start) / DAY, 0.0)
        if days > covered:
            raise DataError(
                f"The files have {covered:.1f} days in common before {iso(end)}, not the requested {days:g}",
                "Ask for fewer days, or provide more data",
            )
        start = end - round(days * DAY)
    if start >= end:
        raise DataError("The files have no time in common", "Use files that overlap in time")
    return start, end


def _cut(bars: Bars, start: int, stop: int) -> Bars:
    """Keep the bars that open and close within a span."""
    opened = bars.opened
    # A slice, not a mask: nothing is copied.
    first, last = np.searchsorted(opened, [start, stop - bars.bar + 1])
    frame = bars.frame.iloc[first:last].reset_index(drop=True)
    if frame.empty:
        raise DataError(
            f"{bars.symbol} has no bars from {iso(start)} to {iso(stop)}", "Choose another span, or drop the symbol"
        )
    return replace(bars, frame=frame)
