"""What a feature is. The features themselves lie in `bar_features`, `flow_features` and `orderbook`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from core.data.file_format import Array, Columns


@dataclass(frozen=True)
class Feature:
    """One feature: a causal, stationary function of the rows of one segment.

    Its value at row t uses rows up to t. From `warmup` rows on it does not depend on where the
    segment began, to 1e-6, and is finite for every row that passes the reader's checks.

    Attributes:
        name: column name.
        doc: what it says, in one line.
        source: where its formula comes from.
        warmup: rows before t that it needs; the first `warmup` rows of a segment are dropped.
        compute: columns of one segment, each `[T]`, to values `[T]` (the first `warmup` are ignored).
        needs: all columns it uses, beside `seconds` (a row's time since 1970), which every file has.
    """

    name: str
    doc: str
    source: str
    warmup: int
    compute: Callable[[Columns], Array]
    needs: tuple[str, ...]
