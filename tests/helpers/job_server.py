"""A stand-in for Ray's job server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import requests
from ray.job_submission import JobStatus

from search.remote.job_log import follow_job


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


def follow(server: Server) -> tuple[int, list[str], list[str]]:
    lines: list[str] = []
    messages: list[str] = []
    code = follow_job(server, "job", lines.append, messages.append, sleep=lambda _: None)
    return code, lines, messages
