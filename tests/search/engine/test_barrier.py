from __future__ import annotations

import asyncio

import pytest

from search.engine import barrier
from search.engine.barrier import StartBarrier, with_start_barrier


def test_the_barrier_opens_when_all_have_arrived() -> None:
    async def arrive_one_by_one() -> list[int]:
        start_barrier, passed = StartBarrier(3), []

        async def arrive(number: int) -> None:
            await start_barrier.wait()
            passed.append(number)

        first = [asyncio.create_task(arrive(number)) for number in (1, 2)]
        await asyncio.sleep(0.2)
        assert passed == []
        await asyncio.gather(*first, asyncio.create_task(arrive(3)))
        await arrive(4)  # later arrivals find it open
        return sorted(passed)

    assert asyncio.run(asyncio.wait_for(arrive_one_by_one(), 10)) == [1, 2, 3, 4]


def test_the_barrier_opens_when_no_other_process_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(barrier, "MAX_ARRIVAL_GAP_SECONDS", 0.1)
    asyncio.run(asyncio.wait_for(StartBarrier(99).wait(), 10))


def test_few_processes_need_no_barrier() -> None:
    assert with_start_barrier(int, 2) is int
