"""The output of a job is followed to its end, whatever the connection does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ray.job_submission import JobStatus

from search.remote import job_log
from search.remote.job_log import Transcript, follow_job, job_exit_code
from tests.helpers.job_server import Server, follow

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
    code, shown, messages = follow(Server(log, tails=tails, down=down))
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
    assert follow(HalfOpen("one\ntwo\n", tails=[([], False)] * 2))[1] == ["one", "two"]


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
