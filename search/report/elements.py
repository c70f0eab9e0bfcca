"""The elements that a report is made of, before they are HTML: sections, charts, tables.

They hold plain values. `search.report.page` escapes every text when it makes HTML of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MAX_TRIALS = 1000
"""Most trials that a chart or a table shows, the best: the file stays small, and a browser draws it in seconds."""


@dataclass(frozen=True)
class Table:
    """A table of texts and figures.

    Attributes:
        caption: what the table shows, in a few words.
        columns: headings of its columns.
        rows: its rows, with a value for each column: a text, a number, or None where there is none.
        identifier: identifier of the table in the page where its columns can be sorted; empty where they cannot.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    identifier: str = ""


@dataclass(frozen=True)
class Choice:
    """A choice of the traces that a chart shows.

    Attributes:
        label: the choice in words.
        shown: for each trace of the chart, whether it is shown.
    """

    label: str
    shown: tuple[bool, ...]


@dataclass(frozen=True)
class Chart:
    """A chart that Plotly draws.

    Attributes:
        identifier: identifier of the chart in the page: letters, digits and hyphens.
        title: title of the chart.
        summary: what is to be seen in it, in sentences; its alternative text.
        traces: the traces in Plotly's form. A color may be the name of a variable of the stylesheet, `var(--winner)`,
            so that it follows the color scheme. Texts go through `plotly_text`.
        layout: the layout in Plotly's form, without what all charts share.
        table: the figures behind the chart; None where `table_note` says in which table they are.
        table_note: a sentence that says where the figures are; empty where there is a table.
        height: height in pixels.
        choices: choices of the traces to show, the first of which is made at the beginning; empty for none.
    """

    identifier: str
    title: str
    summary: str
    traces: tuple[dict[str, Any], ...]
    layout: dict[str, Any]
    table: Table | None
    table_note: str = ""
    height: int = 320
    choices: tuple[Choice, ...] = ()


@dataclass(frozen=True)
class Axis:
    """An axis of parallel coordinates.

    Attributes:
        label: what the axis shows.
        values: the value of each line; None where it has none.
        is_log: whether the scale is logarithmic; all values must be above 0 then.
    """

    label: str
    values: tuple[float | None, ...]
    is_log: bool = False


@dataclass(frozen=True)
class ParallelCoordinates:
    """A chart of many numbers for each line, whose axes select rows of a table.

    Attributes:
        identifier: identifier of the chart in the page.
        title: title of the chart.
        summary: what is to be seen in it, in sentences.
        axes: the axes, from left to right.
        marked: positions of the lines that stand out.
        table: the table whose rows are the lines, in the same order; its columns can be sorted.
    """

    identifier: str
    title: str
    summary: str
    axes: tuple[Axis, ...]
    marked: tuple[int, ...]
    table: Table


@dataclass(frozen=True)
class Note:
    """A list of sentences with a heading.

    Attributes:
        title: the heading.
        sentences: the sentences, each an entry of the list.
    """

    title: str
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """A section of a report.

    Attributes:
        identifier: identifier of the section in the page.
        title: its heading.
        sentences: paragraphs of text below the heading.
        parts: charts, tables and notes, in their order.
        commands: command lines to copy, at the end of the section.
    """

    identifier: str
    title: str
    sentences: tuple[str, ...]
    parts: tuple[Part, ...] = ()
    commands: tuple[str, ...] = ()


Part = Chart | ParallelCoordinates | Table | Note
"""What a section is made of, below its sentences."""


def plotly_text(value: object) -> str:
    """Return a text as Plotly shows it unchanged: Plotly reads some tags and entities in the texts of a chart.

    >>> plotly_text("<b>BTC</b> & ETH")
    '&lt;b&gt;BTC&lt;/b&gt; &amp; ETH'
    """
    return str(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def rounded(values: Sequence[float]) -> list[float]:
    """Return numbers with six significant digits: more cannot be seen in a chart, and would make the file larger.

    >>> rounded([0.123456789, 12345678.9])
    [0.123457, 12345700.0]
    """
    return [float(f"{value:.6g}") for value in values]
