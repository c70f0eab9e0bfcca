from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest
from plotly.offline import get_plotlyjs

from search.report.elements import Axis, Chart, Choice, Note, ParallelCoordinates, Section, Table
from search.report.page import MAP_STYLE, content_policy, inert_json, raw_text, render_page
from tests.helpers.reports import HOSTILE

TABLE = Table(HOSTILE, (HOSTILE, "value"), ((HOSTILE, 0.5), ("b", float("nan")), ("c", None)), "a-table")
CHART = Chart(
    identifier="a-chart",
    title=HOSTILE,
    summary=HOSTILE,
    traces=({"type": "scatter", "x": [1, float("nan")], "y": [2.0, 3.0], "name": HOSTILE},),
    layout={"xaxis": {"title": {"text": HOSTILE}}},
    table=Table(HOSTILE, (HOSTILE,), ((HOSTILE,),)),
    choices=(Choice(HOSTILE, (True,)), Choice("none", (False,))),
)
PARALLEL = ParallelCoordinates("lines", HOSTILE, HOSTILE, (Axis(HOSTILE, (1.0, None, 2.0)),), (0,), TABLE)
SECTION = Section("verdict", HOSTILE, (HOSTILE,), (CHART, PARALLEL, TABLE, Note(HOSTILE, (HOSTILE,))), (HOSTILE,))


class _Elements(HTMLParser):
    """Collects the elements of a page with their attributes, and the texts of scripts."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.texts: list[str] = []
        self._in_script = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._in_script = tag == "script"

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        (self.scripts if self._in_script else self.texts).append(data)


@pytest.fixture(scope="module")
def page() -> str:
    return render_page(HOSTILE, HOSTILE, [SECTION])


@pytest.fixture(scope="module")
def parsed(page: str) -> _Elements:
    return _Elements(page)


def test_a_hostile_text_is_text_wherever_it_stands(parsed: _Elements) -> None:
    tags = [tag for tag, _ in parsed.elements]
    assert "img" not in tags
    assert tags.count("script") == 3  # the figures, Plotly, our own
    assert not [name for _, attributes in parsed.elements for name in attributes if name.startswith("on")]
    assert sum(HOSTILE in text for text in parsed.texts) >= 15
    assert sum(value == HOSTILE for _, attributes in parsed.elements for value in attributes.values()) >= 2


def test_the_figures_come_back_as_they_were(parsed: _Elements) -> None:
    figures = json.loads(parsed.scripts[0])
    (chart,), (parallel,) = figures["charts"], figures["parallel"]
    assert chart["traces"][0] == {"type": "scatter", "x": [1, None], "y": [2.0, 3.0], "name": HOSTILE}
    assert chart["choices"] == [[True], [False]]
    assert parallel == {
        "id": "lines", "table": "a-table", "marked": [0],
        "axes": [{"label": HOSTILE, "values": [1.0, None, 2.0], "is_log": False}],
    }  # fmt: skip


def test_json_is_inert_in_a_script_element() -> None:
    text = str(inert_json({HOSTILE: [HOSTILE, "<!--", "]]>", "\u2029"]}))
    assert not re.search("[<>&\u2028\u2029]", text)
    assert json.loads(text) == {HOSTILE: [HOSTILE, "<!--", "]]>", "\u2029"]}


def test_the_policy_allows_the_scripts_of_the_page_by_their_hash_and_no_network(page: str, parsed: _Elements) -> None:
    policy = next(values["content"] for tag, values in parsed.elements if values.get("http-equiv"))
    assert policy is not None
    rules = dict(part.split(" ", 1) for part in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"  # Plotly draws heat maps as images of its own
    assert set(rules) == {"default-src", "script-src", "style-src", "img-src", "base-uri", "form-action"}
    assert not {"'unsafe-inline'", "'unsafe-eval'", "*", "'self'"} & set(policy.split())
    texts = re.findall(r"<script>(.*?)</script>", page, flags=re.S)
    assert content_policy(texts, []).split("; ")[1] == f"script-src {rules['script-src']}"
    assert "http" not in page.replace(get_plotlyjs(), "").replace("http-equiv", "").replace(
        "http://www.w3.org/2000/svg", ""
    )


def test_a_script_that_would_end_its_element_is_refused() -> None:
    assert raw_text("a < b", "script") == "a < b"
    for text in ("x = '</script>'", "</SCRIPT", "<!-- x", "a\r\nb"):
        with pytest.raises(ValueError, match="cannot stand in a script"):
            raw_text(text, "script")


def test_every_chart_has_a_text_and_a_table(parsed: _Elements) -> None:
    (chart,) = [values for _, values in parsed.elements if values.get("class") == "chart"]
    assert chart["role"] == "img"
    assert chart["aria-label"] == f"{HOSTILE}. {HOSTILE}"
    assert [tag for tag, _ in parsed.elements].count("table") == 3


def test_plotly_looks_for_the_style_that_is_left_out() -> None:
    assert MAP_STYLE in get_plotlyjs()
