from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigError
from search.cli.report import write_report_beside
from search.results.folder import CampaignFolder
from tests.helpers.commands import invoke, run_command
from tests.helpers.tracked import ROOT

NAME = "btc-eth-5m-30d"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CampaignFolder:
    shutil.copytree(ROOT / "results" / NAME, tmp_path / "results" / NAME)
    monkeypatch.chdir(tmp_path)
    return CampaignFolder(Path("results") / NAME)


def test_the_report_is_written_where_the_one_line_says(folder: CampaignFolder) -> None:
    assert invoke("report", NAME) == f"wrote results/{NAME}/report.html\n"
    assert "Too short to tell" in (folder.path / "report.html").read_text(encoding="utf-8")
    assert invoke("report", NAME, "--output", "here.html") == "wrote here.html\n"
    assert Path("here.html").read_bytes() == (folder.path / "report.html").read_bytes()


@pytest.mark.usefixtures("folder")
def test_a_users_error_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(monkeypatch, tmp_path, "report", "nothing") == 2
    assert capsys.readouterr().err.count("\n") == 1
    Path("file").write_text("")
    assert run_command(monkeypatch, tmp_path, "report", NAME, "--output", "file/x.html") == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert "file/x.html cannot be written" in shown


@pytest.mark.parametrize("error", [ConfigError("The journal is damaged", "Restore it"), RuntimeError("a\nbug")])
def test_a_report_that_fails_after_a_campaign_is_one_line_and_no_error(
    folder: CampaignFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    def fail(*_: Any) -> Path:
        raise error

    monkeypatch.setattr("search.report.write.write_report", fail)
    write_report_beside(folder)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("The report was not written")
    assert shown.err.count("\n") == 1
    assert not (folder.path / "report.html").exists()


def test_a_report_after_a_campaign_says_where_it_is(folder: CampaignFolder, capsys: pytest.CaptureFixture[str]) -> None:
    write_report_beside(folder)
    assert capsys.readouterr().out == f"wrote results/{NAME}/report.html\n"
