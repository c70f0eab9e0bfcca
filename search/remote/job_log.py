"""Follows the output of a job over a connection that may break."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from search.remote.jobs import JobClient, UnreachableError, job_server_errors, without_control_characters

STOPPED_EXIT_CODE = 143
"""Exit code of a job that was stopped from outside, as of a process that was sent SIGTERM."""
SILENCE_SECONDS = 60.0
"""After so long without output the stream is opened anew, in case its connection is dead."""
RETRY_DELAYS = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before each attempt to reach the server again; the last delay is repeated."""
_POLL_SECONDS = 0.5
# Lines that Ray itself writes into the log of a job.
_RAY_LOG_LINE = re.compile(
    r"Running entrypoint for job preset-search\.|\d{4}-\d\d-\d\d [\d:,]+\s+INFO job_manager\.py:"
)


class Transcript:
    r"""Shows each line of a job's log once, however often the log is read from its beginning.

    Example:
        transcript.feed("one\ntw")     # shows "one"
        transcript.rewind()            # the connection broke
        transcript.feed("one\ntwo\n")  # shows "two"
    """

    def __init__(self, show: Callable[[str], None]) -> None:
        """Start with an empty log.

        Args:
            show: called with each whole line that the job itself printed, without its line end.
        """
        self._show = show
        self._taken = 0  # characters of the log that have been taken
        self._position = 0  # where the next chunk begins in the log
        self._unfinished = ""  # the last line, while its end has not come

    def rewind(self) -> None:
        """Expect the next chunk to be the beginning of the log."""
        self._position = 0

    def feed(self, chunk: str) -> None:
        """Take the next chunk of the log, except what was taken before."""
        new = chunk[max(self._taken - self._position, 0) :]
        self._position += len(chunk)
        self._taken = max(self._taken, self._position)
        *lines, self._unfinished = (self._unfinished + new).split("\n")
        for line in lines:
            self._show_line(line)

    def close(self) -> None:
        """Show the last line even if it has no line end."""
        if self._unfinished:
            self._show_line(self._unfinished)
            self._unfinished = ""

    def _show_line(self, line: str) -> None:
        if not _RAY_LOG_LINE.match(line):
            self._show(without_control_characters(line))


def follow_job(
    client: JobClient,
    job: str,
    show: Callable[[str], None],
    notify: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Show what a job prints until the job ends. Ctrl-C leaves the job running.

    Args:
        client: client of the job server.
        job: id of the job.
        show: called with each line that the job prints.
        notify: called with each message about the connection.
        sleep: waits a number of seconds.

    Returns:
        The job's exit code.

    Raises:
        NoSuchJobError: the server does not know the job.
        ConfigError: the server rejects the token or the request.
    """
    transcript = Transcript(show)
    failures = 0
    while True:
        is_complete = False
        if not failures:  # after a failure, a plain request finds out first whether the server is back
            transcript.rewind()
            is_complete = asyncio.run(_stream_log(client, job, transcript))
        try:
            with job_server_errors():
                info = client.get_job_info(job)
            if failures:
                notify("connected again")
            failures = 0
            ended = info.status.is_terminal()
            # A stream may miss the end of the log, and where a proxy forbids streams there is none at all.
            if ended or not is_complete:
                with job_server_errors():
                    log = client.get_job_logs(job)
                transcript.rewind()
                transcript.feed(log)
        except UnreachableError:
            if not failures:
                notify("the connection is lost, but the job continues; reconnecting (Ctrl-C to leave it running)")
            failures += 1
            sleep(RETRY_DELAYS[min(failures, len(RETRY_DELAYS)) - 1])
            continue
        if ended:
            transcript.close()
            return job_exit_code(info, notify)
        sleep(RETRY_DELAYS[0])


async def _stream_log(client: JobClient, job: str, transcript: Transcript) -> bool:
    """Feed a job's log to the transcript as it is printed.

    Returns:
        Whether the stream was read to its end or has been quiet for long; false if it broke.
    """
    stream = client.tail_job_logs(job)
    try:
        while True:
            transcript.feed(await asyncio.wait_for(anext(stream), SILENCE_SECONDS))
    except (StopAsyncIteration, TimeoutError):
        return True
    except Exception:  # aiohttp and Ray raise many; the plain request that follows reports what is wrong
        return False
    finally:
        close = getattr(stream, "aclose", None)
        if close is not None:
            with suppress(Exception):
                await close()


def job_exit_code(info: Any, notify: Callable[[str], None]) -> int:
    """Return the exit code of a job that has ended, as a shell would give it.

    Args:
        info: state of the job, as returned by `JobClient.get_job_info`.
        notify: called with a message where the job was stopped from outside.
    """
    code = info.driver_exit_code
    status = str(info.status.value)
    if code is not None:
        return int(code) if code >= 0 else 128 - int(code)
    if status == "SUCCEEDED":
        return 0
    lines = (info.message or "").strip().splitlines()
    reason = f": {without_control_characters(lines[0])[:300]}" if lines else ""
    notify(f"the job was ended from outside ({status.lower()}{reason})")
    return STOPPED_EXIT_CODE


def wait_for_output(client: JobClient, job: str, notify: Callable[[str], None]) -> tuple[int, str]:
    """Wait for a job to end.

    Args:
        client: client of the job server.
        job: id of the job.
        notify: called with a message where the job was stopped from outside.

    Returns:
        The job's exit code, and everything that it printed.

    Raises:
        ConfigError: the server cannot be reached, or rejects the request.
    """
    while True:
        with job_server_errors():
            info = client.get_job_info(job)
        if info.status.is_terminal():
            with job_server_errors():
                return job_exit_code(info, notify), client.get_job_logs(job)
        time.sleep(_POLL_SECONDS)
