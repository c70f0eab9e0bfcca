"""Campaigns run as jobs of a simulated server in memory."""

from __future__ import annotations

import re
import subprocess
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from ray.exceptions import AuthenticationError
from ray.job_submission import JobStatus

from core.errors import ConfigError
from search.remote import job_log, jobs
from search.remote.job_log import Transcript, follow_job, job_exit_code
from search.remote.jobs import (
    Head,
    NoSuchJobError,
    UnreachableError,
    campaign_jobs,
    connect,
    job_server_errors,
    newest_job,
    start_job,
)


@dataclass
class Server:
    """A job server with one job.

    Attributes:
        log: everything that the job prints.
        status: how the job ends.
        code: exit code of the job.
        tails: for each stream of the log, where its chunks are cut, and whether it breaks at the last cut. The job ends
            when all are used.
        down: for each request of the job's state, whether the server is down.
        submitted: arguments of each submission.
        listed: jobs that the server lists.
    """

    log: str = ""
    status: JobStatus = JobStatus.SUCCEEDED
    code: int | None = 0
    tails: list[tuple[list[int], bool]] = field(default_factory=list)
    down: list[bool] = field(default_factory=list)
    submitted: list[dict[str, Any]] = field(default_factory=list)
    listed: list[Any] = field(default_factory=list)

    def submit_job(self, **submission: Any) -> str:
        if submission["submission_id"] in [earlier["submission_id"] for earlier in self.submitted]:
            raise RuntimeError(
                f"Request failed with status code 400: Traceback\nValueError: Job with submission_id "
                f"{submission['submission_id']} already exists. Please use a different submission_id.\n."
            )
        self.submitted.append(submission)
        return str(submission["submission_id"])

    def get_job_info(self, job_id: str) -> Any:
        if self.down and self.down.pop(0):
            raise requests.ConnectionError("gone")
        ended = not self.tails
        status = self.status if ended else JobStatus.RUNNING
        return SimpleNamespace(status=status, driver_exit_code=self.code if ended else None, message="\x1b[2Jwhy\nmore")

    def get_job_logs(self, job_id: str) -> str:
        return self.log

    async def tail_job_logs(self, job_id: str) -> AsyncIterator[str]:
        cuts, breaks = self.tails.pop(0) if self.tails else ([len(self.log)], False)
        last = 0
        for cut in cuts:
            yield self.log[last:cut]
            last = cut
        if breaks:
            raise RuntimeError("WebSocket connection closed unexpectedly with close code 1006")

    def list_jobs(self) -> list[Any]:
        return self.listed

    def delete_job(self, job_id: str) -> bool:
        return True


def _job(job_id: str | None, status: JobStatus) -> Any:
    return SimpleNamespace(submission_id=job_id, status=status)


def _follow(server: Server) -> tuple[int, list[str], list[str]]:
    lines: list[str] = []
    messages: list[str] = []
    code = follow_job(server, "job", lines.append, messages.append, sleep=lambda _: None)
    return code, lines, messages


LINES = st.lists(st.text(alphabet="abcé \t", max_size=8), max_size=12)


@given(LINES, st.booleans(), st.data())
@settings(max_examples=200, deadline=None)
def test_no_line_is_lost_or_repeated_however_often_the_stream_breaks(
    lines: list[str], open_end: bool, draw: st.DataObject
) -> None:
    log = "".join(line + "\n" for line in lines) + ("end" if open_end else "")
    places = st.lists(st.integers(0, len(log)), max_size=4).map(sorted)
    tails = draw.draw(st.lists(st.tuples(places, st.booleans()), max_size=5))
    down = draw.draw(st.lists(st.booleans(), max_size=6))
    code, shown, messages = _follow(Server(log, tails=tails, down=down))
    assert shown == [*lines, *(["end"] if open_end else [])]
    assert code == 0
    assert messages.count("connected again") <= sum("lost" in message for message in messages)


def test_a_lost_connection_is_reported_once_and_so_is_its_return() -> None:
    waited: list[float] = []
    messages: list[str] = []
    server = Server("one\ntwo\n", tails=[([4], True), ([2], True)], down=[True] * 7)
    follow_job(server, "job", lambda _: None, messages.append, sleep=waited.append)
    assert [message.split()[0] for message in messages] == ["the", "connected"]
    assert "the job continues" in messages[0]
    assert waited[:7] == [1.0, 2.0, 5.0, 10.0, 30.0, 30.0, 30.0]


def test_where_streams_are_forbidden_the_log_is_requested_again_and_again() -> None:
    class Proxy(Server):
        async def tail_job_logs(self, job_id: str) -> AsyncIterator[str]:
            if self.tails:
                self.tails.pop()
            raise RuntimeError("403, message='Invalid response status'")
            yield ""

    lines: list[str] = []
    messages: list[str] = []
    shown_at_waits: list[int] = []
    server = Proxy("one\ntwo\n", tails=[([], True)] * 3)

    def count_lines(_: float) -> None:
        shown_at_waits.append(len(lines))

    assert follow_job(server, "job", lines.append, messages.append, sleep=count_lines) == 0
    assert (lines, messages) == (["one", "two"], [])
    assert shown_at_waits == [2, 2]  # not only when the job has ended


def test_a_stream_that_is_quiet_for_long_is_opened_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    class HalfOpen(Server):
        """A server whose first stream stays open and silent."""

        async def tail_job_logs(self, job_id: str) -> AsyncIterator[str]:
            yield "one\n"
            if self.tails:
                self.tails.pop()
                await asyncio.sleep(60)
            yield "two\n"

    monkeypatch.setattr(job_log, "SILENCE_SECONDS", 0.05)
    assert _follow(HalfOpen("one\ntwo\n", tails=[([], False)] * 2))[1] == ["one", "two"]


def test_a_wrong_token_is_an_error() -> None:
    class Locked(Server):
        def get_job_info(self, job_id: str) -> Any:
            raise AuthenticationError("Forbidden: Invalid authentication token")

    with pytest.raises(ConfigError, match="rejects the token"):
        _follow(Locked("", tails=[([], True)]))


def test_rays_own_lines_and_control_characters_are_not_shown() -> None:
    shown: list[str] = []
    transcript = Transcript(shown.append)
    transcript.feed("2026-11-22 17:33:06,691\tINFO job_manager.py:581 -- Runtime env is setting up.\nreal\n")
    transcript.feed("Running entrypoint for job preset-search.x.1: a && b\n\x1b]0;title\x07\x1b[31mred\x9b2J\tend\r\n")
    assert shown == ["real", "]0;title[31mred2J\tend"]


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (JobStatus.SUCCEEDED, 0, 0), (JobStatus.FAILED, 2, 2), (JobStatus.FAILED, 130, 130),
        (JobStatus.FAILED, -9, 137),
        (JobStatus.SUCCEEDED, None, 0), (JobStatus.STOPPED, None, 143), (JobStatus.FAILED, None, 143),
    ],
)  # fmt: skip
def test_the_exit_code_is_the_jobs(status: JobStatus, code: int | None, expected: int) -> None:
    messages: list[str] = []
    info = SimpleNamespace(status=status, driver_exit_code=code, message="\x1b[2Jwhy\nmore")
    assert job_exit_code(info, messages.append) == expected
    assert messages == ([] if expected != 143 else [f"the job was ended from outside ({status.value.lower()}: [2Jwhy)"])


def test_a_campaign_has_one_job_at_a_time_and_the_next_gets_the_next_number() -> None:
    server = Server(listed=[_job("preset-search.x.1", JobStatus.RUNNING)])
    with pytest.raises(ConfigError, match="A job of campaign x has not ended"):
        start_job(server, "x", "true")
    server.listed = [
        _job("preset-search.x.10", JobStatus.FAILED), _job("preset-search.x.2", JobStatus.STOPPED),
        _job("preset-search.x.call-12", JobStatus.RUNNING), _job("preset-search.xx.30", JobStatus.RUNNING),
        _job("preset-searchxxx40", JobStatus.RUNNING), _job(None, JobStatus.RUNNING), _job("other", JobStatus.PENDING),
    ]  # fmt: skip
    assert [job.number for job in campaign_jobs(server, "x")] == [2, 10]
    assert newest_job(server, "x").id == "preset-search.x.10"
    assert start_job(server, "x", "true") == "preset-search.x.11"


def test_of_two_simultaneous_launches_one_is_refused() -> None:
    server = Server()
    assert start_job(server, "x", "true") == "preset-search.x.1"
    with pytest.raises(ConfigError, match="A job of campaign x has not ended"):
        start_job(server, "x", "true")


def test_a_campaign_without_jobs_says_how_to_start_it() -> None:
    with pytest.raises(NoSuchJobError, match=r"no job of campaign x\. Start it: preset-search launch"):
        newest_job(Server(), "x")


def test_nothing_of_this_machines_environment_is_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret-token")
    server = Server()
    start_job(server, "x", Head().entrypoint(["run"], with_file=True), tmp_path)
    assert server.submitted[0].keys() == {"entrypoint", "submission_id", "runtime_env"}
    assert server.submitted[0]["runtime_env"] == {"working_dir": str(tmp_path)}
    assert "secret-token" not in str(server.submitted)


FAILURES: list[tuple[Exception, type[ConfigError], str]] = [
    (requests.ConnectionError("x"), UnreachableError, "No job server answers at http://a. Open the tunnel"),
    (ConnectionError("Failed to connect"), UnreachableError, "or name its --address"),
    (requests.HTTPError("500"), UnreachableError, "No job server answers"),
    (
        AuthenticationError("Unauthorized: Missing authentication token"),
        ConfigError,
        "requires a token. Copy ~/.ray/auth_",
    ),
    (AuthenticationError("Ray couldn't find an authentication token"), ConfigError, "requires a token"),
    (AuthenticationError("Forbidden: Invalid authentication token"), ConfigError, "rejects the token"),
    (RuntimeError("Request failed with status code 404: Job x does not exist."), NoSuchJobError, "no such job"),
    (RuntimeError("Request failed with status code 503: proxy."), UnreachableError, "not up"),
    (
        RuntimeError("Request failed with status code 400: Traceback\nValueError: bad\n."),
        ConfigError,
        "ValueError: bad",
    ),
    (RuntimeError("Ray version 1.8 is running on the cluster. Please"), ConfigError, "Ray version 1.8"),
    (KeyError("ray_version"), ConfigError, "not a job server of Ray"),
]


@pytest.mark.parametrize(("error", "kind", "message"), FAILURES)
def test_each_failure_is_an_error_of_one_line(error: Exception, kind: type[ConfigError], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)) as caught, job_server_errors("http://a"):
        raise error
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("address", ["ftp://x", "http://", "http://u:p@x", "http://x:99999", "x:8265", ""])
def test_an_address_that_is_not_a_job_servers_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="is not the address of a job server"):
        connect(address)


def test_an_address_that_ray_would_replace_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "http://other:8265")
    with pytest.raises(ConfigError, match="RAY_ADDRESS is set"):
        connect("http://127.0.0.1:8265")


def _client_factory(change: Callable[[Any], None]) -> Callable[[str], Any]:
    def make(address: str) -> Any:
        client = SimpleNamespace(_server_ray_version="2.60.9")
        change(client)
        return client

    return make


def test_another_version_of_ray_and_a_missing_part_of_it_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    address = "ray.job_submission.JobSubmissionClient"
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(address, _client_factory(lambda client: None))
    connect("http://127.0.0.1:1")
    monkeypatch.setattr(address, _client_factory(lambda client: setattr(client, "_server_ray_version", "2.9.1")))
    with pytest.raises(
        ConfigError, match=r"The cluster runs Ray 2\.9\.1.*Install that version: pip install 'ray\[default\]==2\.9\.1'"
    ):
        connect("http://127.0.0.1:1")

    def without_dashboard(client: Any) -> None:
        raise RuntimeError("The Ray jobs CLI & SDK require the ray[default] installation: `pip install 'ray[default]'`")

    monkeypatch.setattr(address, _client_factory(without_dashboard))
    with pytest.raises(ConfigError, match=r"pip install 'preset-search\[cluster\]'"):
        connect("http://127.0.0.1:1")


@pytest.mark.parametrize("folder", ["results", "", "/", "~", "~/", "~other/results", "s3://bucket/results", "/a\nb"])
def test_a_results_folder_that_depends_on_the_job_is_refused(folder: str) -> None:
    with pytest.raises(ConfigError, match="is not an absolute path of a folder"):
        Head(results=folder)


HOSTILE = ["a b", "$(touch evil)", "`touch evil`", "a;touch evil", "a'b", 'a"b', "-x", "a\\b", "é", "*", "~"]


@pytest.mark.parametrize("word", HOSTILE)
def test_the_shell_passes_each_word_on_unchanged(word: str, tmp_path: Path) -> None:
    program = tmp_path / "bin dir" / "it's python"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\npwd; for each in "$@"; do printf "<%s>\\n" "$each"; done\n')
    program.chmod(0o755)
    head = Head(f"~/{program.relative_to(tmp_path)}", f"~/my {word}/results")
    job_folder = tmp_path / "upload"
    job_folder.mkdir()
    done = subprocess.run(
        head.entrypoint(["run", word], with_file=True), shell=True, cwd=job_folder, capture_output=True, text=True,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}, check=True,
    )  # fmt: skip
    home = tmp_path / f"my {word}"
    words = ["-P", "-m", "search", "run", f"{job_folder}/campaign.yaml", word, "--results", f"{home}/results"]
    assert done.stdout.splitlines() == [str(home), *(f"<{word}>" for word in words)]
    assert not list(tmp_path.rglob("evil"))


def test_a_short_command_has_an_id_apart_from_the_campaigns_jobs() -> None:
    server = Server()
    assert jobs.run_job(server, "x", "true") != jobs.run_job(server, "x", "true")
    assert campaign_jobs(Server(listed=[_job(server.submitted[0]["submission_id"], JobStatus.RUNNING)]), "x") == []
    with pytest.raises(ConfigError, match="cannot be the name"):
        jobs.run_job(server, "x.1;y", "true")
