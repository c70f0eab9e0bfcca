"""The definition of a feature, which the modules beside this one fill with features and `registry` collects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from core.data.file_format import Array, Columns


@dataclass(frozen=True)
class Feature:
    """One feature: a causal, stationary function of the rows of one segment.

    Its value at row t uses rows up to t. From `warmup` rows on it does not depend on where the segment began, to 1e-6,
    and is finite for every row that passes the checks of `core.data.validation`.

    Attributes:
        name: name of its column in a dataset.
        doc: what the feature measures, in one line.
        source: its formula, or the publication that it comes from.
        warmup: rows before t that it needs; the first `warmup` rows of a segment are not valid.
        compute: function from the columns of one segment, each `[T]`, to values `[T]`, of which the first `warmup` are
            ignored.
        needs: names of all columns that it uses.
    """

    name: str
    doc: str
    source: str
    warmup: int
    compute: Callable[[Columns], Array]
    needs: tuple[str, ...]
