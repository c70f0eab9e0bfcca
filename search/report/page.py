"""Makes one HTML file of the sections of a report.

The file needs no network and runs no code but its own two scripts: its Content-Security-Policy forbids all else. Every
text is escaped by the template, and the figures for the scripts lie in a block of JSON that no text can end.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from search.report.elements import Chart, Note, ParallelCoordinates, Section, Table
from search.report.wording import figure

_FOLDER = Path(__file__).parent
_EMPTY_STYLE = ""
"""Plotly adds a style element without text, whose rules it inserts one by one."""
MAP_STYLE = "9f215cf04c5486422605d13261cb87401f4e7763b6296af81e98efbc0130da53"
"""Plotly adds the style of its maps, which a report does not have, unless the page has an element of this name."""
_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def render_page(name: str, headline: str, sections: Sequence[Section]) -> str:
    """Render the report as HTML.

    Args:
        name: name of the campaign.
        headline: the verdict in one sentence.
        sections: the sections in their order.
    """
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = figure
    environment.filters["short"] = lambda number: f"{number:.6g}"
    environment.tests["chart"] = lambda part: isinstance(part, Chart)
    environment.tests["parallel"] = lambda part: isinstance(part, ParallelCoordinates)
    environment.tests["note"] = lambda part: isinstance(part, Note)
    environment.tests["table"] = lambda part: isinstance(part, Table)
    plotly, script, style = get_plotlyjs(), _asset("report.js"), _asset("report.css")
    return environment.get_template("report.html").render(
        name=name,
        headline=headline,
        sections=sections,
        data=inert_json(_content(sections)),
        plotly=raw_text(plotly, "script"),
        script=raw_text(script, "script"),
        style=raw_text(style, "style"),
        map_style=MAP_STYLE,
        policy=content_policy([plotly, script], [style, _EMPTY_STYLE]),
    )


def _asset(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def content_policy(scripts: Sequence[str], styles: Sequence[str]) -> str:
    """Return a Content-Security-Policy that allows these scripts and styles in the page, and nothing else.

    Args:
        scripts: texts of the script elements.
        styles: texts of the style elements.
    """
    allowed = {"script-src": scripts, "style-src": styles}
    parts = [f"{kind} {' '.join(map(_hash, texts))}" for kind, texts in allowed.items()]
    return "; ".join(["default-src 'none'", *parts, "img-src data:", "base-uri 'none'", "form-action 'none'"])


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}'"


def raw_text(text: str, element: str) -> Markup:
    """Return our own script or style as HTML that is not escaped.

    Args:
        text: the text of the element.
        element: `script` or `style`.

    Raises:
        ValueError: the text would end its element too early, or change how it is read.
    """
    lower = text.lower()
    if f"</{element}" in lower or "<!--" in text or "\r" in text:
        raise ValueError(f"this text cannot stand in a {element} element")
    return Markup(text)  # noqa: S704 - these are files of this program and of Plotly


def inert_json(content: Any) -> Markup:
    r"""Return plain values as JSON that stands in a script element as text, whatever the texts in it say.

    Numbers that JSON lacks become null.

    >>> print(inert_json({"name": "</script>"}))
    {"name":"\u003c/script\u003e"}
    """
    text = json.dumps(_plain(content), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return Markup(text.translate(_ESCAPES))  # noqa: S704 - nothing is left that HTML reads


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _content(sections: Sequence[Section]) -> dict[str, Any]:
    """Return what the script needs of the charts."""
    parts = [part for section in sections for part in section.parts]
    return {
        "charts": [
            {
                "id": part.identifier,
                "traces": part.traces,
                "layout": part.layout,
                "choices": [choice.shown for choice in part.choices],
            }
            for part in parts
            if isinstance(part, Chart)
        ],
        "parallel": [
            {
                "id": part.identifier,
                "table": part.table.identifier,
                "marked": part.marked,
                "axes": [asdict(axis) for axis in part.axes],
            }
            for part in parts
            if isinstance(part, ParallelCoordinates)
        ],
    }
