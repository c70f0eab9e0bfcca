"""Campaigns as jobs of a cluster: Ray's job server runs a command on the head, and hands out what it printed.

A job belongs to the cluster: it goes on whatever becomes of the laptop that asked for it. A campaign's jobs are named
`preset-search.<campaign>.<number>`, and the server takes a name once: so one campaign is run by one job at a time.
"""

from __future__ import annotations

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
_ID = "preset-search.{}.{}"
_CONTROL = {code: None for code in (*range(32), *range(127, 160)) if code not in (9, 10)}
# Loggers that tell of every upload and every end of a stream.
_TELLERS = (
    "ray.dashboard.modules.job.sdk", "ray.dashboard.modules.dashboard_sdk", "ray._private.runtime_env.packaging",
)  # fmt: skip


class Client(Protocol):
    """What is used of `ray.job_submission.JobSubmissionClient`, whose documentation holds."""

    def submit_job(self, *, entrypoint: str, submission_id: str, runtime_env: dict[str, Any] | None = None) -> str:
        """Run a command."""

    def get_job_info(self, job_id: str) -> Any:
        """How a job is."""

    def get_job_logs(self, job_id: str) -> str:
        """All that it printed so far."""

    def tail_job_logs(self, job_id: str) -> AsyncIterator[str]:
        """The same from the beginning, and what comes, until it ends."""

    def list_jobs(self) -> list[Any]:
        """All jobs."""

    def delete_job(self, job_id: str) -> bool:
        """Take an ended one off the list."""


class UnreachableError(ConfigError):
    """The job server does not answer; it may again."""


class NoSuchJobError(ConfigError):
    """The job server knows no such job."""


@dataclass(frozen=True)
class Head:
    """How commands are run on the cluster's head.

    Attributes:
        python: the interpreter there.
        results: folder of all campaigns there; commands run in the folder that holds it.
    """

    python: str = "python"
    results: str = "~/preset-search/results"

    def __post_init__(self) -> None:
        """Refuse a folder that would be another one for each job.

        Raises:
            ConfigError: it is relative, or no folder's name.
        """
        plain = self.results.removeprefix("~")
        if not plain.startswith("/") or not plain.strip("/") or not plain.isprintable():
            raise ConfigError(
                f"--remote-results {self.results!r} is no folder on the head", "Begin it with / or ~/, as seen there"
            )

    def entrypoint(self, command: Sequence[str], with_file: bool = False, with_presets: bool = False) -> str:
        """The shell line that runs a command of this program on the head.

        Args:
            command: its arguments; `--results` is added.
            with_file: whether the campaign's file travels with the job, and is the command's first argument.
            with_presets: whether presets do.
        """
        results, home = _quoted(self.results.rstrip("/")), _quoted(str(Path(self.results).parent))
        # -P: what is installed runs, even where the folder holds a checkout.
        program = f"{_quoted(self.python)} -P -m search"
        arguments = [shlex.quote(word) for word in command]
        if with_file:
            arguments.insert(1, f'"$travelled"/{CAMPAIGN_FILE}')
        # Paths in the campaign's file mean the same to each job: they run in one folder, not in the one that Ray made.
        steps = ["travelled=$PWD", f"mkdir -p {home}", f"cd {home}"]
        if with_presets:
            steps.append(f'{program} take-presets "$travelled"')
        return " && ".join([*steps, f"exec {program} {' '.join(arguments)} --results {results}"])


def _quoted(path: str) -> str:
    """A path for the shell, which makes `~` out to be its own home."""
    if path == "~" or path.startswith("~/"):
        return '"$HOME"' + shlex.quote(path[1:] or "/")
    return shlex.quote(path)


def connect(address: str) -> Client:
    """A client of a cluster's job server.

    Raises:
        ConfigError: the address is none, the server cannot be reached, wants another token or runs another Ray, or what
            is needed is not installed here.
    """
    try:
        named = urlsplit(address)
        usable = named.scheme in ("http", "https") and bool(named.hostname) and (named.port or 1) > 0
    except ValueError:
        usable = False
    if not usable or "@" in address:
        raise ConfigError(f"--address {address!r} is no job server's", f"Give one like {DEFAULT_ADDRESS}")
    for name in ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"):
        if os.environ.get(name, address) != address:
            raise ConfigError(f"{name} is set, and Ray takes it for the --address", f"Unset {name}")
    try:
        import ray
        from ray.job_submission import JobSubmissionClient

        for teller in _TELLERS:
            logging.getLogger(teller).setLevel(logging.WARNING)
        with job_server_errors(address):
            client = JobSubmissionClient(address)
    except (ImportError, ConfigError) as error:
        if isinstance(error, ImportError) or "ray[default]" in str(error):
            raise ConfigError(
                "What talks to job servers is not installed here", "Install it: pip install 'preset-search[cluster]'"
            ) from None
        raise
    # Ray has no public name for it. Without it, the cluster itself refuses a program of another Ray.
    there = getattr(client, "_server_ray_version", None)
    if isinstance(there, str) and there.split(".")[:2] != ray.__version__.split(".")[:2]:
        raise ConfigError(
            f"The cluster runs Ray {there}, this machine has {ray.__version__}", f"pip install 'ray[default]=={there}'"
        )
    return client


def without_control_characters(line: str) -> str:
    """What a cluster says, without what a terminal would obey."""
    return line.translate(_CONTROL)


@contextmanager
def job_server_errors(address: str = "") -> Iterator[None]:
    """Say in one line what went wrong with a request; with the address, where it is asked the first time.

    Raises:
        UnreachableError: the server does not answer, or something before it does.
        NoSuchJobError: it knows no such job.
        ConfigError: it wants another token, or refuses.
    """
    from ray.exceptions import AuthenticationError  # Ray takes seconds to import

    try:
        yield
    except AuthenticationError as error:
        lost = "couldn't find" in str(error) or "Missing" in str(error)
        raise ConfigError(
            f"The job server {'wants a token' if lost else 'refuses the token'}",
            "Copy ~/.ray/auth_token of the cluster's head to ~/.ray/auth_token here (or name its file in "
            "RAY_AUTH_TOKEN_PATH), chmod 600, and set RAY_AUTH_MODE=token",
        ) from None
    except OSError:  # of what `requests` raises, too
        raise UnreachableError(
            f"No job server answers{address and ' at '}{address}",
            "Open the tunnel: ray dashboard cluster.yaml; or name its --address",
        ) from None
    except (KeyError, ValueError) as error:
        raise ConfigError(f"What answers is no job server of Ray's ({error!r})"[:300], "Check the --address") from None
    except RuntimeError as error:
        code = re.search(r"status code (\d{3})", str(error))
        if code and code[1] in ("502", "503", "504"):
            raise UnreachableError("The job server is not up", "Try again in a minute") from None
        if code and code[1] == "404" and "does not exist" in str(error):
            raise NoSuchJobError("The cluster has no such job", "See what there is: ray job list") from None
        said = [line for line in str(error).splitlines() if line.strip(" .")]
        raise ConfigError(
            f"The job server refuses: {without_control_characters(said[-1])[:300] if said else repr(error)}",
            "Is it Ray's?",
        ) from None


@dataclass(frozen=True)
class CampaignJob:
    """One job of a campaign; `number` counts from 1."""

    id: str
    number: int
    status: str
    ended: bool


def campaign_jobs(client: Client, name: str) -> list[CampaignJob]:
    """The jobs that ran or run a campaign, in their order.

    Raises:
        ConfigError: the server cannot be asked.
    """
    pattern = re.compile(re.escape(_ID.format(check_name(name, "campaign"), "")) + r"([1-9][0-9]{0,8})")
    with job_server_errors():
        jobs = client.list_jobs()
    found = [(job, pattern.fullmatch(job.submission_id or "")) for job in jobs]
    made = [
        CampaignJob(job.submission_id, int(match[1]), str(job.status.value), job.status.is_terminal())
        for job, match in found
        if match
    ]
    return sorted(made, key=lambda job: job.number)


def newest_job(client: Client, name: str) -> CampaignJob:
    """The last job of a campaign.

    Raises:
        NoSuchJobError: it has none.
        ConfigError: the server cannot be asked.
    """
    jobs = campaign_jobs(client, name)
    if not jobs:
        raise NoSuchJobError(
            f"The cluster has no job of campaign {name}", "Start it: preset-search launch campaign.yaml"
        )
    return jobs[-1]


def start_job(client: Client, name: str, entrypoint: str, folder: Path | None = None) -> str:
    """Run a campaign's next job; returns its id.

    Args:
        client: of the job server.
        name: the campaign's.
        entrypoint: as `Head.entrypoint` makes it.
        folder: files that travel with the job.

    Raises:
        ConfigError: a job of this campaign has not ended, or the server refuses.
    """
    jobs = campaign_jobs(client, name)
    going = [job for job in jobs if not job.ended]
    taken = ConfigError(f"A job of campaign {name} has not ended", f"See it: preset-search attach {name}")
    if going:
        raise taken
    made = _ID.format(name, jobs[-1].number + 1 if jobs else 1)
    try:
        _submit(client, made, entrypoint, folder)
    except ConfigError as error:
        # Whoever was quicker has the number; of two submissions the server takes one.
        if "already exists" in error.what:
            raise taken from None
        raise
    return made


def run_job(client: Client, name: str, entrypoint: str) -> str:
    """Run a short command beside the campaign's own job; returns the id.

    Raises:
        ConfigError: the server refuses.
    """
    made = _ID.format(check_name(name, "campaign"), f"call-{secrets.token_hex(8)}")
    _submit(client, made, entrypoint, None)
    return made


def _submit(client: Client, made: str, entrypoint: str, folder: Path | None) -> None:
    # Nothing of this machine's environment travels: no variables, so no token.
    environment = {"working_dir": str(folder)} if folder else {}
    with job_server_errors():
        client.submit_job(entrypoint=entrypoint, submission_id=made, runtime_env=environment)


def delete_job(client: Client, job: str) -> None:
    """Take an ended short command off the server's list, if that can be done."""
    with suppress(ConfigError), job_server_errors():
        client.delete_job(job)
