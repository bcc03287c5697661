"""The stand-in's engine: slots, queue, sleep, and what stopping does to requests."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.fakes.clock import InstantLoop
from vllm_standin.engine import Engine, Flight
from vllm_standin.errors import ApiError
from vllm_standin.settings import parse


def engine(*flags: str) -> Engine:
    return Engine(parse(["serve", "m", *flags], {})[0])


async def admitted(of: Engine, tokens: int = 2) -> Flight:
    return await of.admit(10, ["x"] * tokens, "stop")


async def read(flight: Flight) -> int:
    """Read a whole answer and give the slot back."""
    try:
        return len([token async for token in flight.tokens()])
    finally:
        flight.close()


async def settled(condition: Callable[[], bool]) -> None:
    """Let the loop turn until the condition holds; the test's own time limit ends a wait that never does."""
    while not condition():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0)


def counts(of: Engine) -> tuple[float, float]:
    return of.gauges()["num_requests_running"], of.gauges()["num_requests_waiting"]


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(20):
            await test()

    asyncio.run(limited())


def test_requests_beyond_the_slots_wait_and_then_get_theirs() -> None:
    async def test() -> None:
        of = engine("--max-num-seqs", "1")
        first, second = await admitted(of), await admitted(of)
        tokens = first.tokens()
        await anext(tokens)
        waiting = asyncio.create_task(read(second))
        await settled(lambda: counts(of) == (1, 1))
        first.close()
        assert await waiting == 2
        assert counts(of) == (0, 0)

    run(test)


def test_a_request_given_up_while_waiting_leaves_the_queue_and_counts_as_aborted() -> None:
    async def test() -> None:
        of = engine("--max-num-seqs", "1")
        held = await admitted(of)
        await anext(held.tokens())
        waiting = asyncio.create_task(read(await admitted(of)))
        await settled(lambda: counts(of) == (1, 1))
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert counts(of) == (1, 0)
        assert of.metrics.finished["abort"] == 1

    run(test)


def test_closing_twice_counts_once() -> None:
    async def test() -> None:
        of = engine()
        flight = await admitted(of)
        await read(flight)
        flight.close()
        assert dict(of.metrics.finished) == {"stop": 1}

    run(test)


def test_a_sleeping_engine_lets_requests_hang_uncounted_until_it_wakes() -> None:
    async def test() -> None:
        of = engine()
        of.sleep(1)
        asleep, gone = asyncio.create_task(admitted(of)), asyncio.create_task(admitted(of))
        await asyncio.wait([asleep, gone], timeout=0.05)
        assert (asleep.done(), counts(of), of.in_flight()) == (False, (0, 0), 2)
        gone.cancel()
        await asyncio.wait([gone])
        await of.wake()
        assert await read(await asleep) == 2
        assert of.in_flight() == 0

    run(test)


def test_the_cache_fills_with_prompts_and_answers() -> None:
    async def test() -> None:
        of = engine("--num-gpu-blocks-override", "4", "--block-size", "8")
        flight = await admitted(of, tokens=30)
        tokens = flight.tokens()
        await anext(tokens)
        assert of.gauges()["kv_cache_usage_perc"] == 0.5
        async for _ in tokens:
            pass
        assert of.gauges()["kv_cache_usage_perc"] == 1.0
        flight.close()
        assert of.gauges()["kv_cache_usage_perc"] == 0.0

    run(test)


def test_a_drain_ends_when_the_last_request_does() -> None:
    async def test() -> None:
        of = engine()
        flight = await admitted(of)
        drain = asyncio.create_task(of.drain(3600))
        await asyncio.sleep(0)
        with pytest.raises(ApiError):
            await admitted(of)
        assert await read(flight) == 2
        await drain

    run(test)


def test_a_killed_engine_says_nothing_more() -> None:
    async def test() -> None:
        of = engine()
        flight = await admitted(of)
        tokens = flight.tokens()
        await anext(tokens)
        of.kill()
        rest = asyncio.ensure_future(anext(tokens))
        await asyncio.wait([rest], timeout=0.05)
        assert not rest.done()
        rest.cancel()
        flight.close()
        assert of.metrics.finished["abort"] == 1

    run(test)


def test_the_first_answer_after_the_start_takes_longer_and_the_second_does_not() -> None:
    of = engine("--standin-first-request", "2s")
    assert [of.settling(), of.settling()] == [2.0, 0.0]


def test_an_answer_is_held_up_while_the_engine_settles() -> None:
    async def twice() -> list[float]:
        of, loop = engine("--standin-first-request", "2s"), asyncio.get_running_loop()
        took = []
        for _ in range(2):
            began = loop.time()
            await read(await admitted(of))
            took.append(round(loop.time() - began, 1))
        return took

    with asyncio.Runner(loop_factory=InstantLoop) as runner:
        assert runner.run(twice()) == [2.0, 0.0]


def test_waking_takes_its_time_and_being_awake_none() -> None:
    async def twice() -> list[float]:
        of, loop = engine("--standin-wake-up", "3s"), asyncio.get_running_loop()
        of.sleep(1)
        took = []
        for _ in range(2):
            began = loop.time()
            await of.wake()
            took.append(round(loop.time() - began, 1))
        return took

    with asyncio.Runner(loop_factory=InstantLoop) as runner:
        assert runner.run(twice()) == [3.0, 0.0]


def test_one_that_sleeps_may_be_sent_to_sleep_again() -> None:
    async def test() -> None:
        of = engine()
        of.sleep(1)
        of.sleep(1)
        await of.wake()
        assert await read(await admitted(of)) == 2

    run(test)
