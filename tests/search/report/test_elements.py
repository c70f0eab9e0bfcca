from __future__ import annotations

import pytest

from search.report.elements import plotly_text, rounded
from tests.helpers.reports import HOSTILE


def test_no_text_is_a_tag_or_an_entity_for_plotly() -> None:
    shown = plotly_text(HOSTILE + "<a href='https://example.com'>&lt;")
    assert "<" not in shown
    assert shown.count("&") == shown.count("&lt;") + shown.count("&gt;") + shown.count("&amp;")
    assert plotly_text(7) == "7"


def test_numbers_keep_six_digits() -> None:
    assert rounded([1 / 3, -1e-9 / 3, 0.0]) == [0.333333, -3.33333e-10, 0.0]
    assert rounded([]) == []
    assert rounded([123456789.0]) == pytest.approx([123457000.0])
