"""Commands that are sent to a cluster, and how their output is shown."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core import console
from core.config import check_name
from search.cli import cluster, dispatch
from search.cli.app import main

ADDRESS = "http://127.0.0.1:8265"


def _run(monkeypatch: pytest.MonkeyPatch, folder: Path, *args: str) -> int:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["preset-search", *args])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Collects what would be submitted: the campaign and the shell line."""
    submitted: list[tuple[str, str]] = []

    def submit(client: Any, name: str, line: str, folder: Path | None = None) -> str:
        submitted.append((name, line))
        if folder is not None:
            submitted.append(("files", " ".join(sorted(path.name for path in folder.rglob("*")))))
        return f"preset-search.{name}.1"

    for module in (cluster, dispatch):
        monkeypatch.setattr(module, "connect", lambda address: address)
        monkeypatch.setattr(module, "start_job", submit)
        monkeypatch.setattr(module, "run_job", submit)
        monkeypatch.setattr(module, "delete_job", lambda client, job: None)
    monkeypatch.setattr("search.remote.job_log.follow_job", lambda *args: 7)
    return submitted


HOME = '"$HOME"/preset-search'
SHELL = f"uploaded=$PWD && mkdir -p {HOME} && cd {HOME} && "


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["status", "x"], "status x"),
        (["stop", "x"], "stop x"),
        (["confirm", "x", "--top", "1", "--incumbent", "a b"], "confirm x --top=1 '--incumbent=a b'"),
        (["resume", "x", "--trials=64", "--hours", "8"], "resume x --trials=64 --hours=8.0"),
    ],
)
def test_a_command_with_the_address_of_a_job_server_runs_there_and_gives_its_exit_code(
    words: list[str], command: str, server: list[tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _run(monkeypatch, tmp_path, *words, "--address", ADDRESS, "--python", "/opt/my env/bin/python") == 7
    ((name, line),) = server
    assert name == "x"
    assert line.replace(" --address auto", "") == (
        f"{SHELL}exec '/opt/my env/bin/python' -P -m search {command} --results {HOME}/results"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("option", "is_quiet"), [("--verbose", False), ("--quiet", True)])
def test_the_verbosity_is_that_of_the_head_and_of_this_terminal(
    option: str, is_quiet: bool, server: list[tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        assert _run(monkeypatch, tmp_path, "confirm", "x", option, "--address", ADDRESS) == 7
        assert f"-m search confirm x {option} --address auto" in server[0][1]
        assert console.err.quiet == is_quiet
        (tmp_path / "c.yaml").write_text("name: x\ndata: {files: [/on/the/head/binance_X_5m.parquet]}\n")
        assert _run(monkeypatch, tmp_path, "launch", "c.yaml", option, "--detach") == 0
        assert f"--address auto {option} --results" in server[1][1]
    finally:
        console.set_verbosity(verbose=False, quiet=False)


def test_launch_sends_the_file_and_prints_how_to_attach(
    server: list[tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.yaml").write_text("name: x\ndata: {files: [/on/the/head/binance_X_5m.parquet]}\n")
    assert _run(monkeypatch, tmp_path, "launch", "c.yaml", "--detach", "--remote-results", "/r r/results") == 0
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
    assert _run(monkeypatch, tmp_path, "launch", "c.yaml") == 0
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
    assert _run(monkeypatch, tmp_path, *words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert server == []


def test_the_error_of_a_head_without_the_campaign_is_shown(
    server: list[tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = "Running entrypoint\nerror: There is no campaign 'x' in /r. Start one with: preset-search run.\n"
    monkeypatch.setattr("search.remote.job_log.wait_for_output", lambda *args: (2, log))
    assert _run(monkeypatch, tmp_path, "fetch-results", "x") == 2
    assert "The head did not return the results of x: There is no campaign 'x' in /r" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_help_of_a_dispatched_command_shows_its_own_options_and_those_of_the_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(monkeypatch, tmp_path, "confirm", "--help") == 0
    output = capsys.readouterr().out
    for option in ("--top", "--incumbent", "--address", "--python", "--remote-results", "--detach"):
        assert option in output


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("next: preset-search resume x --results '/home/me/a b'", "next: preset-search resume x --address http://h"),
        ("Stopped. next: preset-search resume x", "Stopped. next: preset-search resume x --address http://h"),
        ("then: preset-search export x --as x --results /home/me", "then: preset-search export x --as x"),
        ("wrote /home/me/x/trials.parquet", "wrote /home/me/x/trials.parquet"),
    ],
)
def test_commands_that_the_head_proposes_are_shown_as_they_work_on_this_machine(
    printed: str, shown: str, server: list[tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def follow(client: object, job: str, show: Callable[[str], None], say: object) -> int:
        show(printed)
        return 0

    monkeypatch.setattr("search.remote.job_log.follow_job", follow)
    assert _run(monkeypatch, tmp_path, "status", "x", "--address", "http://h") == 0
    assert capsys.readouterr().out.splitlines() == [shown]
