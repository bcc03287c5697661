"""What is written passes the fence, or is not written."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from modelroute.controller.kube.fencing import Fence, FenceClosedError
from tests.fakes.clock import InstantLoop


def play(script: Callable[[Fence], Awaitable[None]]) -> None:
    async def main() -> None:
        await script(Fence())

    with asyncio.Runner(loop_factory=InstantLoop) as runner:
        runner.run(main())


def pause(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, InstantLoop)
    loop._instant.passed += seconds


async def write(fence: Fence, *waits: float) -> int:
    """How many steps a write took that waits so often."""
    done = 0
    async with fence.passing():
        for wait in waits:
            await asyncio.sleep(wait)
            done += 1
    return done


def test_it_is_closed_at_first() -> None:
    async def script(fence: Fence) -> None:
        with pytest.raises(FenceClosedError):
            await write(fence)

    play(script)


def test_it_is_open_until_then() -> None:
    async def script(fence: Fence) -> None:
        fence.extend(5)
        assert await write(fence, 4) == 1
        await asyncio.sleep(1)
        with pytest.raises(FenceClosedError):
            await write(fence)

    play(script)


def test_a_write_that_takes_longer_is_given_up() -> None:
    async def script(fence: Fence) -> None:
        fence.extend(5)
        with pytest.raises(FenceClosedError):
            await write(fence, 6)
        assert asyncio.get_running_loop().time() == pytest.approx(5, abs=0.1)

    play(script)


def test_a_write_goes_on_while_the_end_is_put_off() -> None:
    async def script(fence: Fence) -> None:
        fence.extend(5)
        writing = asyncio.create_task(write(fence, 8))
        await asyncio.sleep(4)
        fence.extend(20)
        assert await writing == 1

    play(script)


def test_a_write_on_its_way_is_given_up_when_the_fence_closes() -> None:
    async def script(fence: Fence) -> None:
        fence.extend(100)
        writing = asyncio.create_task(write(fence, 50))
        await asyncio.sleep(4)
        fence.close()
        with pytest.raises(FenceClosedError):
            await writing
        assert asyncio.get_running_loop().time() == pytest.approx(4, abs=0.1)

    play(script)


def test_o06_a_write_that_was_paused_on_its_way_takes_no_further_step() -> None:
    """Not even when what it waits for has come before the process looks at its clock."""
    steps: list[str] = []

    async def send(fence: Fence, connected: asyncio.Future[None]) -> None:
        async with fence.passing():
            await connected
            steps.append("sent")

    async def script(fence: Fence) -> None:
        fence.extend(5)
        loop = asyncio.get_running_loop()
        connected = loop.create_future()
        writing = asyncio.create_task(send(fence, connected))
        await asyncio.sleep(1)
        loop.call_later(59, connected.set_result, None)
        pause(60)
        with pytest.raises(FenceClosedError):
            await writing

    play(script)
    assert steps == []


def test_a_timeout_of_the_write_itself_stays_one() -> None:
    async def script(fence: Fence) -> None:
        fence.extend(5)
        with pytest.raises(TimeoutError):
            async with fence.passing(), asyncio.timeout(1):
                await asyncio.sleep(2)

    play(script)
