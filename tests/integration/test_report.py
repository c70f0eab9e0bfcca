"""The report in a browser: what people see of it, and what it must not do."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from search.report.write import write_report
from search.results.folder import CampaignFolder
from tests.helpers.reports import HOSTILE, make_folder
from tests.helpers.tracked import ROOT
from tests.helpers.trial_records import trial_record

CHROMIUM = shutil.which("chromium")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra dev)")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
pytestmark = [
    pytest.mark.costly,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium (apt-get install chromium)"),
    # Playwright leaves an event loop of its own to the garbage collector.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

NAME = "btc-eth-15m-8m"
PHONE, DESKTOP = {"width": 360, "height": 740}, {"width": 1280, "height": 900}
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        # As root, Chromium starts without its sandbox only.
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(CampaignFolder(ROOT / "results" / NAME), tmp_path_factory.mktemp("report") / "report.html")


class Page:
    """An open report, with what the browser complained about and what it asked for."""

    def __init__(self, browser: Any, path: Path, size: dict[str, int], scheme: str) -> None:
        self.context = browser.new_context(viewport=size, color_scheme=scheme)
        self.tab = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.tab.on("console", lambda message: self.complaints.append(message.text))
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.on("request", lambda request: self.requests.append(request.url))
        self.tab.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.tab.goto(path.as_uri())
        self.tab.wait_for_selector("html[data-drawn=true]")

    def run(self, code: str) -> Any:
        return self.tab.evaluate(code)

    def wait_until(self, code: str, value: Any) -> None:
        """Wait until an expression has a value; the page itself may not evaluate texts, as its policy forbids that."""
        for _ in range(200):
            if self.run(code) == value:
                return
            self.tab.wait_for_timeout(50)
        pytest.fail(f"{code} is {self.run(code)!r}, not {value!r}")


@pytest.fixture(scope="module")
def desktop(browser: Any, report: Path) -> Iterator[Page]:
    page = Page(browser, report, DESKTOP, "light")
    yield page
    page.context.close()


@pytest.fixture(scope="module")
def phone(browser: Any, report: Path) -> Iterator[Page]:
    page = Page(browser, report, PHONE, "dark")
    yield page
    page.context.close()


@pytest.fixture(params=["desktop", "phone"])
def page(request: pytest.FixtureRequest) -> Page:
    opened: Page = request.getfixturevalue(request.param)
    return opened


def test_every_chart_is_drawn_without_a_complaint_or_a_request(page: Page, report: Path) -> None:
    drawn = page.run(
        """[...document.querySelectorAll('.chart')].map((chart) => [
            chart.id, chart.getBoundingClientRect().width,
            chart.querySelectorAll('.trace path, .heatmaplayer image').length])"""
    )
    assert len(drawn) >= 17
    assert [name for name, width, marks in drawn if width < 200 or not marks] == []
    assert page.complaints == []
    assert [url for url in page.requests if not url.startswith("data:")] == [report.as_uri()]


def test_nothing_is_wider_than_a_phone(phone: Page) -> None:
    assert phone.run("document.documentElement.scrollWidth") <= PHONE["width"]


def test_axe_has_no_serious_finding(page: Page) -> None:
    found = axe.Axe().run(page.tab).response["violations"]
    serious = [(one["id"], one["nodes"][0]["target"]) for one in found if one["impact"] in SERIOUS]
    assert serious == []
    assert page.complaints == []


def test_colors_follow_the_scheme(desktop: Page, phone: Page) -> None:
    color = "getComputedStyle(document.querySelector('#contenders-chart .xtick text')).fill"
    light, dark = desktop.run(color), phone.run(color)
    assert light != dark
    desktop.tab.emulate_media(color_scheme="dark")
    desktop.wait_until(color, dark)
    desktop.tab.emulate_media(color_scheme="light")
    desktop.wait_until(color, light)


def _shown_rows(page: Page) -> int:
    count: int = page.run("document.querySelectorAll('#trials-table tbody tr:not([hidden])').length")
    return count


def test_a_brush_on_an_axis_keeps_the_rows_of_the_table(desktop: Page) -> None:
    assert _shown_rows(desktop) == 32
    hit = desktop.tab.locator("#parallel-chart .hit").last
    hit.scroll_into_view_if_needed()
    box = hit.bounding_box()
    middle = box["x"] + box["width"] / 2
    desktop.tab.mouse.move(middle, box["y"] + 6)
    desktop.tab.mouse.down()
    desktop.tab.mouse.move(middle, box["y"] + box["height"] / 4, steps=4)
    desktop.tab.mouse.up()
    kept = _shown_rows(desktop)
    assert 0 < kept < 32
    assert desktop.tab.locator("#parallel-chart-kept").inner_text() == f"{kept} of 32 trials"
    low = float(desktop.tab.locator(".ranges input[data-end=low]").last.input_value())
    values = (
        "[...document.querySelectorAll('#trials-table tr:not([hidden]) td:nth-child(2)')].map((c) => c.dataset.value)"
    )
    assert min(map(float, desktop.run(values))) >= low - 1e-3
    assert desktop.run("document.querySelectorAll('#parallel-chart path.out').length") == 32 - kept
    desktop.tab.get_by_role("button", name="Show all").click()
    assert _shown_rows(desktop) == 32


def test_typed_ranges_do_the_same_by_keyboard(desktop: Page) -> None:
    desktop.tab.get_by_text("Ranges to keep").click()
    field = desktop.tab.locator(".ranges input[data-end=low]").nth(6)
    field.focus()
    desktop.tab.keyboard.type("12")
    assert _shown_rows(desktop) == 5  # five trials ran all twelve epochs
    desktop.tab.get_by_role("button", name="Show all").press("Enter")
    assert _shown_rows(desktop) == 32
    assert field.input_value() == ""


def test_a_heading_sorts_the_table(desktop: Page) -> None:
    heading = desktop.tab.locator("#trials-table th").nth(1)
    values = "[...document.querySelectorAll('#trials-table tbody tr')].map((row) => Number(row.cells[1].dataset.value))"
    heading.get_by_role("button").press("Enter")
    assert heading.get_attribute("aria-sort") == "descending"
    falling = desktop.run(values)
    assert falling == sorted(falling, reverse=True)
    heading.get_by_role("button").click()
    assert desktop.run(values) == falling[::-1]


def test_the_best_curves_can_be_shown_alone(desktop: Page) -> None:
    lines = "document.querySelectorAll('#curves-chart .scatterlayer .trace').length"
    assert desktop.run(lines) == 11
    desktop.tab.get_by_label("best 3").check()
    desktop.wait_until(lines, 3)
    desktop.tab.get_by_label("all trials").check()
    desktop.wait_until(lines, 11)


def test_hostile_names_run_nothing(browser: Any, tmp_path: Path) -> None:
    records = [trial_record(0, [0.5, 0.6]), trial_record(1, [0.4], None)]
    folder = CampaignFolder(make_folder(tmp_path, records, symbols=[HOSTILE]))
    page = Page(browser, write_report(folder), PHONE, "light")
    assert page.complaints == []
    assert page.run("document.images.length") == 0
    assert HOSTILE.partition("\u2028")[0] in page.tab.locator("#data").inner_text()
    assert page.run("document.documentElement.scrollWidth") <= PHONE["width"]
    page.context.close()
