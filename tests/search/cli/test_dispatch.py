"""A command with the address of a job server runs on the head of its cluster."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from core import console
from tests.helpers.commands import run_command

ADDRESS = "http://127.0.0.1:8265"


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
    assert run_command(monkeypatch, tmp_path, *words, "--address", ADDRESS, "--python", "/opt/my env/bin/python") == 7
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
        assert run_command(monkeypatch, tmp_path, "confirm", "x", option, "--address", ADDRESS) == 7
        assert f"-m search confirm x {option} --address auto" in server[0][1]
        assert console.err.quiet == is_quiet
        (tmp_path / "c.yaml").write_text("name: x\ndata: {files: [/on/the/head/binance_X_5m.parquet]}\n")
        assert run_command(monkeypatch, tmp_path, "launch", "c.yaml", option, "--detach") == 0
        assert f"--address auto {option} --results" in server[1][1]
    finally:
        console.set_verbosity(verbose=False, quiet=False)


def test_help_of_a_dispatched_command_shows_its_own_options_and_those_of_the_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(monkeypatch, tmp_path, "confirm", "--help") == 0
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
    assert run_command(monkeypatch, tmp_path, "status", "x", "--address", "http://h") == 0
    assert capsys.readouterr().out.splitlines() == [shown]
