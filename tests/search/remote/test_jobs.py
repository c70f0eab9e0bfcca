"""Campaigns run as jobs of a simulated server in memory."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from ray.exceptions import AuthenticationError
from ray.job_submission import JobStatus

from core.errors import ConfigError
from search.remote import jobs
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
from tests.helpers.job_server import Server, follow


def _job(job_id: str | None, status: JobStatus) -> Any:
    return SimpleNamespace(submission_id=job_id, status=status)


def test_a_wrong_token_is_an_error() -> None:
    class Locked(Server):
        def get_job_info(self, job_id: str) -> Any:
            raise AuthenticationError("Forbidden: Invalid authentication token")

    with pytest.raises(ConfigError, match="rejects the token"):
        follow(Locked("", tails=[([], True)]))


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


@pytest.mark.parametrize(
    ("address", "mode", "refused"),
    [
        ("http://head.example:8265", "token", True),
        ("http://10.0.0.1:8265", "TOKEN", True),
        ("http://127.0.0.1.example:8265", "token", True),
        ("https://head.example", "token", False),
        ("http://127.0.0.1:8265", "token", False),
        ("http://localhost:8265", "token", False),
        ("http://[::1]:8265", "token", False),
        ("http://10.0.0.1:8265", "disabled", False),
    ],
)
def test_the_token_is_sent_unencrypted_to_this_machine_alone(
    address: str, mode: str, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", mode)
    monkeypatch.setattr("ray.job_submission.JobSubmissionClient", sent.append)
    with pytest.raises(ConfigError, match="would travel to") if refused else nullcontext():
        connect(address)
    assert sent == ([] if refused else [address])


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
