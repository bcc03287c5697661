"""A clock that is set is noticed, and what waits for a point in time is looked at anew. Time is a loop's that turns."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from modelroute.controller.clockwatch import watch
from modelroute.controller.watching.cache import Key
from modelroute.controller.workqueue import WorkQueue
from tests.fakes.clock import InstantLoop


def jumps(clock: Callable[[float], float], seconds: float) -> list[float]:
    """When the loop's time it was each time that a jump was told, of a clock that is a function of it."""
    told: list[float] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        watching = asyncio.create_task(watch(lambda: clock(loop.time()), lambda: told.append(loop.time())))
        await asyncio.sleep(seconds)
        watching.cancel()

    with asyncio.Runner(loop_factory=InstantLoop) as runner:
        runner.run(main())
    return told


def test_a_clock_that_goes_as_time_goes_is_no_news() -> None:
    assert jumps(lambda time: 1e9 + time, 1000) == []


@pytest.mark.parametrize("by", [3600, -3600, 2.5])
def test_r30_a_jump_is_told_once_and_within_a_second(by: float) -> None:
    found = jumps(lambda time: 1e9 + time + (by if time > 100.5 else 0), 200)
    assert found == [pytest.approx(101, abs=0.01)]


def test_a_clock_that_is_brought_in_line_slowly_is_no_jump() -> None:
    assert jumps(lambda time: 1e9 + 1.0005 * time, 2000) == []


def hastened(handle: Callable[[Key], Awaitable[float | None]], after: float) -> None:
    """A queue with one key that is told of a jump so many seconds after that came, and ends ten seconds later."""

    async def main() -> None:
        queue, ready = WorkQueue(handle), asyncio.Event()
        ready.set()
        running = asyncio.create_task(queue.run(1, ready))
        queue.add(Key("a", "chat"))
        await asyncio.sleep(after)
        queue.hasten()
        await asyncio.sleep(10)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    with asyncio.Runner(loop_factory=InstantLoop) as runner:
        runner.run(main())


def test_r30_what_waits_for_a_point_in_time_is_handled_at_once() -> None:
    handled: list[float] = []

    async def handle(_: Key) -> float:
        handled.append(asyncio.get_running_loop().time())
        return 3600.0

    hastened(handle, after=10)
    assert handled == [pytest.approx(0, abs=0.1), pytest.approx(10, abs=0.1)]


def test_r30_one_that_is_being_handled_is_handled_again() -> None:
    handled: list[float] = []

    async def handle(_: Key) -> None:
        handled.append(asyncio.get_running_loop().time())
        await asyncio.sleep(5)

    hastened(handle, after=1)
    assert handled == [pytest.approx(0, abs=0.1), pytest.approx(5, abs=0.1)]
