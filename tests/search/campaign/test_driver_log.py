from __future__ import annotations

import json
import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from core import logs
from search.campaign.driver_log import driver_log

LOG = logging.getLogger("search.study.controller")


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _write_one(path: Path, message: str = "trial started") -> None:
    with driver_log(path):
        LOG.info(message, extra={"trial": 3})


def test_every_run_appends_to_the_log(tmp_path: Path) -> None:
    path = tmp_path / "driver.log"
    _write_one(path, "first")
    _write_one(path, "second")
    LOG.warning("after the run")
    assert [line["message"] for line in _lines(path)] == ["first", "second"]
    assert _lines(path)[0]["trial"] == 3


def test_the_error_that_ends_a_run_is_logged_and_raised(tmp_path: Path) -> None:
    path = tmp_path / "driver.log"
    with pytest.raises(ZeroDivisionError), driver_log(path):
        raise ZeroDivisionError("by nought")
    (line,) = _lines(path)
    assert (line["level"], line["error"], line["reason"]) == ("warning", "ZeroDivisionError", "by nought")


@pytest.mark.parametrize("place", ["folder", "below a file", "no folder"])
def test_a_log_that_cannot_be_opened_does_not_end_a_campaign(tmp_path: Path, place: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x")
    paths = {"folder": "folder", "below a file": "file/driver.log", "no folder": "gone/driver.log"}
    before = sorted(tmp_path.rglob("*"))
    _write_one(tmp_path / paths[place])
    assert sorted(tmp_path.rglob("*")) == before


def test_a_full_disk_does_not_end_a_campaign(capsys: pytest.CaptureFixture[str]) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no device that is always full")
    with driver_log(full):
        LOG.info("one line")
        LOG.info("another")
    assert capsys.readouterr().err == ""


def test_no_handler_is_left_behind(tmp_path: Path) -> None:
    before = [list(logging.getLogger(name).handlers) for name in logs.LOGGERS]
    _write_one(tmp_path / "driver.log")
    _write_one(Path("/dev/full"))
    assert [list(logging.getLogger(name).handlers) for name in logs.LOGGERS] == before


def test_the_log_holds_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", 'quoted"secret\\value')
    path = tmp_path / "driver.log"
    with suppress(OSError), driver_log(path):
        extra = {"url": "https://me:hunter2@host/x", "nested": {"list": ['quoted"secret\\value']}}
        LOG.info('key quoted"secret\\value', extra=extra)
        raise OSError('denied for quoted"secret\\value')
    text = path.read_text(encoding="utf-8")
    assert "secret" not in text
    assert "hunter2" not in text
    assert [line["message"] for line in _lines(path)] == ["key ***", "run ended by an error"]
    assert _lines(path)[0]["url"] == "https://***@host/x"
    assert _lines(path)[1]["reason"] == "denied for ***"
