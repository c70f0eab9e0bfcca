from __future__ import annotations

import json
import re
import time
from pathlib import Path

import plotly.graph_objects as go
import pytest

from core.errors import ConfigError
from search.report.elements import Chart, Section
from search.report.page import render_page
from search.report.write import make_sections, write_report
from search.results.folder import CampaignFolder
from tests.helpers.reports import HOSTILE, campaign_data, judged, make_folder
from tests.helpers.trial_records import trial_record

ORDER = [
    "verdict", "contenders", "trials", "hyperparameters", "folds", "calls", "equity", "data", "timeline", "provenance",
]  # fmt: skip
LARGEST = 6 * 2**20


def _charts(sections: dict[str, Section]) -> list[Chart]:
    return [part for section in sections.values() for part in section.parts if isinstance(part, Chart)]


def test_the_sections_are_there_in_their_order_with_their_charts(sections: dict[str, Section]) -> None:
    assert list(sections) == ORDER
    charts = _charts(sections)
    assert len({chart.identifier for chart in charts}) == len(charts) >= 17
    for chart in charts:
        assert (chart.table is None) == bool(chart.table_note), chart.identifier
        assert all(len(choice.shown) == len(chart.traces) for choice in chart.choices)
        assert not [character for character in chart.identifier if not (character.isalnum() or character == "-")]


def test_plotly_knows_every_key_of_every_chart(sections: dict[str, Section]) -> None:
    for chart in _charts(sections):
        # Variables of the stylesheet are no colors for Plotly, until the page puts colors in their place.
        text = re.sub(r"var\(--[a-z]+\)", "#123456", json.dumps([chart.traces, chart.layout]))
        traces, layout = json.loads(text)
        go.Figure(data=traces, layout=layout)


def test_the_same_campaign_gives_the_same_small_file(committed_folder: CampaignFolder, tmp_path: Path) -> None:
    paths = [write_report(committed_folder, tmp_path / name) for name in ("a.html", "b.html")]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert paths[0].stat().st_size <= LARGEST
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "b.html"]


def test_a_report_of_a_killed_campaign_says_so_and_hostile_names_are_inert(tmp_path: Path) -> None:
    records = [trial_record(0, [0.5, 0.6]), trial_record(1, [0.4], None)]
    path = write_report(CampaignFolder(make_folder(tmp_path, records, symbols=[HOSTILE])))
    assert path == tmp_path / "made" / "report.html"
    text = path.read_text(encoding="utf-8")
    assert "ended by a crash" in text
    assert "The campaign was not confirmed" in text
    assert "<img" not in text.partition("<script")[0]
    assert "&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;" in text


def test_a_report_of_more_than_a_thousand_trials_is_small_and_quick() -> None:
    records = [judged(trial_record(number, [0.5 + 1e-6 * number, 0.55, 0.6])) for number in range(1001)]
    for record in records:
        record.params["learning_rate"] = 1e-5 + 1e-6 * record.number
        record.reason = "stopped at rung 2: place 300 of 700, of which 233 go on"
    started = time.monotonic()
    campaign = campaign_data(records)
    sections = make_sections(campaign, CampaignFolder(Path("results/made")))
    assert len(render_page("made", "headline", sections).encode()) <= 6_000_000
    assert time.monotonic() - started < 20
    assert "Charts and table show the best 1,000 of them." in sections[2].sentences


def test_a_report_that_cannot_be_written_is_one_error(committed_folder: CampaignFolder, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        write_report(committed_folder, tmp_path / "file" / "report.html")
