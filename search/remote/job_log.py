"""What a job prints, followed over a connection that may break."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from search.remote.jobs import Client, UnreachableError, job_server_errors, without_control_characters

STOPPED_JOB = 143
"""Exit code where a job was ended from outside, as of a process told to end."""
QUIET_SECONDS = 60.0
"""After so long without a line, look whether the connection still lives."""
WAITS = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before each attempt to reach the server again; the last one from then on."""
# What Ray itself writes into the log of a job.
_RAYS_LINES = re.compile(r"Running entrypoint for job preset-search\.|\d{4}-\d\d-\d\d [\d:,]+\s+INFO job_manager\.py:")


class Transcript:
    """A job's log, each character taken once however often its stream is begun again."""

    def __init__(self, show: Callable[[str], None]) -> None:
        """Call `show` with each whole line of the job's own, without its end."""
        self._show = show
        self._taken = 0
        self._position = 0
        self._rest = ""

    def rewind(self) -> None:
        """Begin at the start of the log again."""
        self._position = 0

    def feed(self, chunk: str) -> None:
        """Take what comes next; what was taken before is left out."""
        new = chunk[max(self._taken - self._position, 0) :]
        self._position += len(chunk)
        self._taken = max(self._taken, self._position)
        *lines, self._rest = (self._rest + new).split("\n")
        for line in lines:
            self._say(line)

    def close(self) -> None:
        """Take what was left of a line that has no end."""
        if self._rest:
            self._say(self._rest)
            self._rest = ""

    def _say(self, line: str) -> None:
        if not _RAYS_LINES.match(line):
            self._show(without_control_characters(line))


def follow_job(
    client: Client,
    job: str,
    show: Callable[[str], None],
    say: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Show what a job prints until it ends; returns its exit code. Ctrl-C leaves it to itself.

    Args:
        client: of the job server.
        job: its id.
        show: takes each line.
        say: takes what is to be said of the connection.
        sleep: waits so many seconds.

    Raises:
        NoSuchJobError: there is none of that id.
        ConfigError: the server wants another token, or refuses.
    """
    transcript = Transcript(show)
    failures = 0
    while True:
        whole = False
        if not failures:  # otherwise a plain request tells first whether the server is back
            transcript.rewind()
            whole = asyncio.run(_tail(client, job, transcript))
        try:
            with job_server_errors():
                info = client.get_job_info(job)
            if failures:
                say("connected again")
            failures = 0
            ended = info.status.is_terminal()
            # The stream may have missed the end; or it never comes up, where a proxy forbids it.
            if ended or not whole:
                with job_server_errors():
                    log = client.get_job_logs(job)
                transcript.rewind()
                transcript.feed(log)
        except UnreachableError:
            if not failures:
                say("the connection is lost, the job goes on; trying again (Ctrl-C to leave)")
            failures += 1
            sleep(WAITS[min(failures, len(WAITS)) - 1])
            continue
        if ended:
            transcript.close()
            return exit_code(info, say)
        sleep(WAITS[0])


async def _tail(client: Client, job: str, transcript: Transcript) -> bool:
    """Feed a job's log as it comes; returns whether the stream ended as it should, or was quiet for long."""
    stream = client.tail_job_logs(job)
    try:
        while True:
            transcript.feed(await asyncio.wait_for(anext(stream), QUIET_SECONDS))
    except (StopAsyncIteration, TimeoutError):
        return True
    except Exception:  # aiohttp and Ray have many; what it was, the next plain request tells
        return False
    finally:
        close = getattr(stream, "aclose", None)
        if close is not None:
            with suppress(Exception):
                await close()


def exit_code(info: Any, say: Callable[[str], None]) -> int:
    """The exit code of a job that has ended, as a shell would give it."""
    code = info.driver_exit_code
    status = str(info.status.value)
    if code is not None:
        return int(code) if code >= 0 else 128 - int(code)
    if status == "SUCCEEDED":
        return 0
    first = (info.message or "").strip().splitlines()
    told = f": {without_control_characters(first[0])[:300]}" if first else ""
    say(f"the job was ended from outside ({status.lower()}{told})")
    return STOPPED_JOB


def job_output(client: Client, job: str, say: Callable[[str], None]) -> tuple[int, str]:
    """Wait for a job; returns its exit code and all that it printed.

    Raises:
        ConfigError: the server cannot be asked.
    """
    while True:
        with job_server_errors():
            info = client.get_job_info(job)
        if info.status.is_terminal():
            with job_server_errors():
                return exit_code(info, say), client.get_job_logs(job)
        time.sleep(0.5)
