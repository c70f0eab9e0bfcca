"""Runs campaigns as jobs of a cluster: Ray's job server runs a command on the head, and hands out its output.

A job belongs to the cluster: it continues whatever happens to the laptop that submitted it. The jobs of a campaign are
named `preset-search.<campaign>.<number>`. The server accepts each name once, so only one job at a time runs a campaign.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import re
import secrets
import shlex
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from core.config import check_name
from core.errors import ConfigError

DEFAULT_ADDRESS = "http://127.0.0.1:8265"
CAMPAIGN_FILE = "campaign.yaml"
"""Name of the campaign's file in the folder that is sent along with its job."""
_JOB_ID = "preset-search.{}.{}"
_CONTROL_CHARACTERS = {code: None for code in (*range(32), *range(127, 160)) if code not in (9, 10)}
# Loggers that report every upload and every end of a stream.
_CHATTY_LOGGERS = (
    "ray.dashboard.modules.job.sdk", "ray.dashboard.modules.dashboard_sdk", "ray._private.runtime_env.packaging",
)  # fmt: skip


class JobClient(Protocol):
    """The methods of `ray.job_submission.JobSubmissionClient` that are used here; see its documentation."""

    def submit_job(self, *, entrypoint: str, submission_id: str, runtime_env: dict[str, Any] | None = None) -> str:
        """Submit a command, and return the job's id."""

    def get_job_info(self, job_id: str) -> Any:
        """Return the state of a job."""

    def get_job_logs(self, job_id: str) -> str:
        """Return everything that a job has printed so far."""

    def tail_job_logs(self, job_id: str) -> AsyncIterator[str]:
        """Stream everything that a job prints, from its beginning to its end."""

    def list_jobs(self) -> list[Any]:
        """Return all jobs."""

    def delete_job(self, job_id: str) -> bool:
        """Remove an ended job from the server's list."""


class UnreachableError(ConfigError):
    """The job server does not answer, but may do so again."""


class NoSuchJobError(ConfigError):
    """The job server does not know the job."""


@dataclass(frozen=True)
class Head:
    """The environment in which commands run on the cluster's head.

    Attributes:
        python: the Python interpreter on the head.
        results: folder of all campaigns on the head; commands run in its parent folder.
    """

    python: str = "python"
    results: str = "~/preset-search/results"

    def __post_init__(self) -> None:
        """Check that the results folder means the same to every job, wherever Ray starts it.

        Raises:
            ConfigError: the folder's path is relative, or not a folder's.
        """
        path = self.results.removeprefix("~")
        if not path.startswith("/") or not path.strip("/") or not path.isprintable():
            raise ConfigError(
                f"--remote-results {self.results!r} is not an absolute path of a folder",
                "Start it with / or ~/: it is a path on the head",
            )

    def entrypoint(self, command: Sequence[str], with_file: bool = False, with_presets: bool = False) -> str:
        """Return the shell command line that runs a command of this program on the head.

        Args:
            command: the command and its arguments; `--results` is added.
            with_file: whether the campaign's file is sent along with the job, and is the command's first argument.
            with_presets: whether presets are sent along with the job.
        """
        results, home = _quoted(self.results.rstrip("/")), _quoted(str(Path(self.results).parent))
        # With -P the installed program runs, even where the folder holds a checkout.
        program = f"{_quoted(self.python)} -P -m search"
        arguments = [shlex.quote(word) for word in command]
        if with_file:
            arguments.insert(1, f'"$uploaded"/{CAMPAIGN_FILE}')
        # Ray starts each job in a folder of its own. All run in one folder instead, so that a path in the campaign's
        # file means the same to each.
        steps = ["uploaded=$PWD", f"mkdir -p {home}", f"cd {home}"]
        if with_presets:
            steps.append(f'{program} install-presets "$uploaded"')
        return " && ".join([*steps, f"exec {program} {' '.join(arguments)} --results {results}"])


def _quoted(path: str) -> str:
    """Quote a path for the shell, which is still to replace a leading `~` by the home folder on the head."""
    if path == "~" or path.startswith("~/"):
        return '"$HOME"' + shlex.quote(path[1:] or "/")
    return shlex.quote(path)


def connect(address: str) -> JobClient:
    """Connect to a cluster's job server.

    Args:
        address: http(s) address of the server.

    Raises:
        ConfigError: the address is not that of a job server or would be sent the token unencrypted, the server cannot
            be reached, rejects the token or runs another version of Ray, or Ray's client is not installed here.
    """
    try:
        parts = urlsplit(address)
        is_valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_valid = False
    if not is_valid or "@" in address:
        raise ConfigError(
            f"--address {address!r} is not the address of a job server", f"Give one like {DEFAULT_ADDRESS}"
        )
    sends_token = os.environ.get("RAY_AUTH_MODE", "").lower() == "token"
    if sends_token and parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        raise ConfigError(
            f"The cluster's token would travel to {parts.hostname} unencrypted",
            f"Open the tunnel with ray dashboard cluster.yaml, and name --address {DEFAULT_ADDRESS}",
        )
    for name in ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"):
        if os.environ.get(name, address) != address:
            raise ConfigError(f"{name} is set, and Ray would use it instead of --address", f"Unset {name}")
    try:
        import ray
        from ray.job_submission import JobSubmissionClient

        for name in _CHATTY_LOGGERS:
            logging.getLogger(name).setLevel(logging.WARNING)
        with job_server_errors(address):
            client = JobSubmissionClient(address)
    except (ImportError, ConfigError) as error:
        if isinstance(error, ImportError) or "ray[default]" in str(error):
            raise ConfigError(
                "The client for job servers is not installed here", "Install it: pip install 'preset-search[cluster]'"
            ) from None
        raise
    # Ray has no public name for the server's version. Without it, the cluster itself rejects another version's client.
    version = getattr(client, "_server_ray_version", None)
    if isinstance(version, str) and version.split(".")[:2] != ray.__version__.split(".")[:2]:
        raise ConfigError(
            f"The cluster runs Ray {version}, but this machine has {ray.__version__}",
            f"Install that version: pip install 'ray[default]=={version}'",
        )
    return client


def _is_loopback(host: str) -> bool:
    """Return whether a host is this machine itself."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def without_control_characters(text: str) -> str:
    """Remove from a cluster's output the characters that would control the terminal."""
    return text.translate(_CONTROL_CHARACTERS)


@contextmanager
def job_server_errors(address: str = "") -> Iterator[None]:
    """Raise whatever goes wrong with a request in the block as an error of one line.

    Args:
        address: address of the server, for the message; empty where the user has just read it.

    Raises:
        UnreachableError: the server does not answer, or a proxy answers in its place.
        NoSuchJobError: the server does not know the job.
        ConfigError: the server requires a token, rejects it, or rejects the request.
    """
    from ray.exceptions import AuthenticationError  # Ray takes seconds to import

    try:
        yield
    except AuthenticationError as error:
        is_missing = "couldn't find" in str(error) or "Missing" in str(error)
        raise ConfigError(
            f"The job server {'requires a token' if is_missing else 'rejects the token'}",
            "Copy ~/.ray/auth_token of the cluster's head to ~/.ray/auth_token here (or name its file in "
            "RAY_AUTH_TOKEN_PATH), chmod 600, and set RAY_AUTH_MODE=token",
        ) from None
    except OSError:  # the errors of `requests` are OSErrors, too
        raise UnreachableError(
            f"No job server answers{address and ' at '}{address}",
            "Open the tunnel: ray dashboard cluster.yaml; or name its --address",
        ) from None
    except (KeyError, ValueError) as error:
        message = f"The server at that address is not a job server of Ray ({error!r})"[:300]
        raise ConfigError(message, "Check the --address") from None
    except RuntimeError as error:
        status = re.search(r"status code (\d{3})", str(error))
        if status and status[1] in ("502", "503", "504"):
            raise UnreachableError("The job server is not up", "Try again in a minute") from None
        if status and status[1] == "404" and "does not exist" in str(error):
            raise NoSuchJobError("The cluster has no such job", "List its jobs: ray job list") from None
        lines = [line for line in str(error).splitlines() if line.strip(" .")]
        reason = without_control_characters(lines[-1])[:300] if lines else repr(error)
        raise ConfigError(
            f"The job server rejects the request: {reason}", "Check that it is a job server of Ray"
        ) from None


@dataclass(frozen=True)
class CampaignJob:
    """A job of a campaign.

    Attributes:
        id: identifier of the job, as the server knows it.
        number: number of the job among the campaign's, counted from 1.
        status: Ray's name of the job's state.
        ended: whether the job has ended, however it did.
    """

    id: str
    number: int
    status: str
    ended: bool


def campaign_jobs(client: JobClient, name: str) -> list[CampaignJob]:
    """Return the jobs that have run or are running a campaign, in the order of their numbers.

    Raises:
        ConfigError: the server cannot be reached, or rejects the request.
    """
    pattern = re.compile(re.escape(_JOB_ID.format(check_name(name, "campaign"), "")) + r"([1-9][0-9]{0,8})")
    with job_server_errors():
        entries = client.list_jobs()
    jobs = [
        CampaignJob(entry.submission_id, int(match[1]), str(entry.status.value), entry.status.is_terminal())
        for entry in entries
        if (match := pattern.fullmatch(entry.submission_id or ""))
    ]
    return sorted(jobs, key=lambda job: job.number)


def newest_job(client: JobClient, name: str) -> CampaignJob:
    """Return the job of a campaign that was submitted last.

    Raises:
        NoSuchJobError: the campaign has no job.
        ConfigError: the server cannot be reached, or rejects the request.
    """
    jobs = campaign_jobs(client, name)
    if not jobs:
        raise NoSuchJobError(
            f"The cluster has no job of campaign {name}", "Start it: preset-search launch campaign.yaml"
        )
    return jobs[-1]


def start_job(client: JobClient, name: str, entrypoint: str, folder: Path | None = None) -> str:
    """Submit a campaign's next job.

    Args:
        client: client of the job server.
        name: name of the campaign.
        entrypoint: command line, as returned by `Head.entrypoint`.
        folder: folder whose files are sent along with the job.

    Returns:
        The id of the job.

    Raises:
        ConfigError: a job of this campaign has not ended, or the server rejects the request.
    """
    jobs = campaign_jobs(client, name)
    not_ended = ConfigError(f"A job of campaign {name} has not ended", f"Watch it: preset-search attach {name}")
    if not all(job.ended for job in jobs):
        raise not_ended
    job_id = _JOB_ID.format(name, jobs[-1].number + 1 if jobs else 1)
    try:
        _submit(client, job_id, entrypoint, folder)
    except ConfigError as error:
        # Someone else has just submitted a job under the same number; the server accepts only one of the two.
        if "already exists" in error.what:
            raise not_ended from None
        raise
    return job_id


def run_job(client: JobClient, name: str, entrypoint: str) -> str:
    """Submit a short command that runs beside the campaign's own job.

    Args:
        client: client of the job server.
        name: name of the campaign.
        entrypoint: command line, as returned by `Head.entrypoint`.

    Returns:
        The id of the job.

    Raises:
        ConfigError: the server cannot be reached, or rejects the request.
    """
    job_id = _JOB_ID.format(check_name(name, "campaign"), f"call-{secrets.token_hex(8)}")
    _submit(client, job_id, entrypoint, None)
    return job_id


def _submit(client: JobClient, job_id: str, entrypoint: str, folder: Path | None) -> None:
    # No variable of this machine's environment is sent, and so no token.
    environment = {"working_dir": str(folder)} if folder else {}
    with job_server_errors():
        client.submit_job(entrypoint=entrypoint, submission_id=job_id, runtime_env=environment)


def delete_job(client: JobClient, job: str) -> None:
    """Remove an ended short command from the server's list; do nothing if that fails."""
    with suppress(ConfigError), job_server_errors():
        client.delete_job(job)
