from __future__ import annotations

import asyncio

import pytest

from search.engine import barrier
from search.engine.barrier import StartBarrier, with_start_barrier


def test_nobody_passes_before_all_have_come() -> None:
    async def come() -> list[int]:
        here, passed = StartBarrier(3), []

        async def one(number: int) -> None:
            await here.wait()
            passed.append(number)

        first = [asyncio.create_task(one(number)) for number in (1, 2)]
        await asyncio.sleep(0.2)
        assert passed == []
        await asyncio.gather(*first, asyncio.create_task(one(3)))
        await one(4)  # who comes later finds it open
        return sorted(passed)

    assert asyncio.run(asyncio.wait_for(come(), 10)) == [1, 2, 3, 4]


def test_who_is_there_passes_when_nobody_else_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(barrier, "QUIET_SECONDS", 0.1)
    asyncio.run(asyncio.wait_for(StartBarrier(99).wait(), 10))


def test_few_processes_need_no_gate() -> None:
    assert with_start_barrier(int, 2) is int
