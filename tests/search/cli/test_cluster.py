"""Commands that are sent to a cluster, and how their output is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.config import check_name
from search.cli import cluster
from tests.helpers.commands import run_command

ADDRESS = "http://127.0.0.1:8265"


def test_launch_sends_the_file_and_prints_how_to_attach(
    server: list[tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.yaml").write_text("name: x\ndata: {files: [/on/the/head/binance_X_5m.parquet]}\n")
    assert run_command(monkeypatch, tmp_path, "launch", "c.yaml", "--detach", "--remote-results", "/r r/results") == 0
    assert server == [
        (
            "x",
            "uploaded=$PWD && mkdir -p '/r r' && cd '/r r' && "
            "exec python -P -m search run \"$uploaded\"/campaign.yaml --address auto --results '/r r/results'",
        ),
        ("files", "campaign.yaml"),
    ]
    out = capsys.readouterr().out
    where = f"--address {ADDRESS} --remote-results '/r r/results'"
    for command in ("attach", "status", "stop"):
        assert f"preset-search {command} x {where}" in out


def test_ctrl_c_leaves_the_campaign_running(
    server: list[tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*args: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("search.remote.job_log.follow_job", interrupted)
    (tmp_path / "c.yaml").write_text("name: x\n")
    assert run_command(monkeypatch, tmp_path, "launch", "c.yaml") == 0
    output = capsys.readouterr().out
    assert f"The campaign continues on the cluster. To watch it: preset-search attach x --address {ADDRESS}" in output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["launch", "c.yaml"], "name"),
        (["launch", "nowhere.yaml"], "nowhere.yaml"),
        (["run", "c.yaml", "--address", ADDRESS], f"preset-search launch campaign.yaml --address {ADDRESS}"),
        (["status", "x;y", "--address", ADDRESS], "cannot be the name"),
        (["attach", "../x"], "cannot be the name"),
        (["fetch-results", "$(x)"], "cannot be the name"),
        (["status", "x", "--address", ADDRESS, "--results", "mine"], "Use --remote-results"),
        (["status", "x", "--address", "127.0.0.1:8265"], "is not the address of a job server"),
        (["stop", "x", "--address", ADDRESS, "--remote-results", "results"], "is not an absolute path of a folder"),
    ],
)
def test_bad_input_is_refused_before_anything_is_sent(
    words: list[str],
    message: str,
    server: list[tuple[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "c.yaml").write_text("name: 'x; touch evil'\n")
    monkeypatch.setattr(cluster, "newest_job", lambda client, name: check_name(name, "campaign"))
    assert run_command(monkeypatch, tmp_path, *words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert server == []


def test_the_error_of_a_head_without_the_campaign_is_shown(
    server: list[tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = "Running entrypoint\nerror: There is no campaign 'x' in /r. Start one with: preset-search run.\n"
    monkeypatch.setattr("search.remote.job_log.wait_for_output", lambda *args: (2, log))
    assert run_command(monkeypatch, tmp_path, "fetch-results", "x") == 2
    assert "The head did not return the results of x: There is no campaign 'x' in /r" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
