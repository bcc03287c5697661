"""The work queue: each key once, never twice at a time, later after an error. Time is a loop's that the tests turn."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable

import pytest

from modelroute.controller.backoff import FIRST_RETRY, LAST_RETRY, backoff
from modelroute.controller.kube.calls import ApiError, Call
from modelroute.controller.kube.kinds import SERVICE
from modelroute.controller.watching.cache import Key
from modelroute.controller.workqueue import LONGEST_HOLD, TROUBLE_SECONDS, WorkQueue
from tests.fakes.clock import InstantLoop

CHAT, CODE = Key("a", "chat"), Key("a", "code")


def during(
    handle: Callable[[Key], Awaitable[float | None]], script: Callable[[WorkQueue], Awaitable[None]], workers: int = 2
) -> None:
    """Run ``script`` beside a queue that calls ``handle``."""

    async def main() -> None:
        queue, ready = WorkQueue(handle), asyncio.Event()
        ready.set()
        running = asyncio.create_task(queue.run(workers, ready))
        await script(queue)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    with asyncio.Runner(loop_factory=InstantLoop) as runner:
        runner.run(main())


class Handler:
    """Notes what was handled and when; ``outcomes`` are returned, or raised, in turn."""

    def __init__(self, *outcomes: float | Exception | None, takes: float = 0) -> None:
        self.calls: list[tuple[float, Key]] = []
        self.at_once = 0
        self._outcomes = list(outcomes)
        self._running = 0
        self._takes = takes

    async def __call__(self, key: Key) -> float | None:
        self._running += 1
        self.at_once = max(self.at_once, self._running)
        self.calls.append((asyncio.get_running_loop().time(), key))
        await asyncio.sleep(self._takes)
        self._running -= 1
        outcome = self._outcomes.pop(0) if self._outcomes else None
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def gaps(self) -> list[float]:
        times = [time for time, _ in self.calls]
        return [after - before for before, after in itertools.pairwise(times)]


def adds(*keys: Key, wait: float = 1000) -> Callable[[WorkQueue], Awaitable[None]]:
    async def script(queue: WorkQueue) -> None:
        for key in keys:
            queue.add(key)
        await asyncio.sleep(wait)

    return script


def test_a_key_that_is_added_often_is_handled_once() -> None:
    handler = Handler()
    during(handler, adds(CHAT, CHAT, CHAT))
    assert len(handler.calls) == 1


def test_o08_other_keys_do_not_wait_for_a_slow_one() -> None:
    handler = Handler(takes=10)
    during(handler, adds(CHAT, CODE))
    assert handler.at_once == 2


def test_one_key_is_never_handled_twice_at_a_time() -> None:
    handler = Handler(takes=10)

    async def script(queue: WorkQueue) -> None:
        for _ in range(3):
            queue.add(CHAT)
            await asyncio.sleep(1)
        await asyncio.sleep(100)

    during(handler, script)
    assert (handler.at_once, handler.gaps()) == (1, [10])


def test_o04_a_burst_of_changes_does_not_make_a_failing_route_ask_often() -> None:
    """Nor does it lengthen the wait after its error."""
    handler = Handler(*[RuntimeError("no")] * 300)

    async def script(queue: WorkQueue) -> None:
        for _ in range(1000):
            queue.add(CHAT)
            await asyncio.sleep(0.01)
        await asyncio.sleep(LAST_RETRY)

    during(handler, script)
    in_burst = [time for time, _ in handler.calls if time <= 10]
    assert 10 <= len(in_burst) <= 10 / FIRST_RETRY + 1
    assert len(handler.calls) > len(in_burst)


def test_nothing_is_handled_before_it_is_ready() -> None:
    handler = Handler()

    async def main() -> None:
        queue = WorkQueue(handler)
        queue.add(CHAT)
        running = asyncio.create_task(queue.run(1, asyncio.Event()))
        await asyncio.sleep(100)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    with asyncio.Runner(loop_factory=InstantLoop) as runner:
        runner.run(main())
    assert handler.calls == []


def test_a_key_is_looked_at_again_when_its_handler_asks_for_it() -> None:
    handler = Handler(10.0, 10.0, None)
    during(handler, adds(CHAT))
    assert handler.gaps() == pytest.approx([10, 10], abs=0.1)


def test_a_key_that_comes_by_itself_is_not_looked_at_once_more() -> None:
    handler = Handler(10.0, None)

    async def script(queue: WorkQueue) -> None:
        queue.add(CHAT)
        await asyncio.sleep(5)
        queue.add(CHAT)
        await asyncio.sleep(100)

    during(handler, script)
    assert handler.gaps() == pytest.approx([5], abs=0.1)


def test_after_an_error_it_is_tried_again_for_ever_and_ever_later() -> None:
    handler = Handler(*[ValueError("x")] * 12)
    during(handler, adds(CHAT))
    gaps = handler.gaps()
    assert len(gaps) == 12
    assert all(backoff(n) / 2 <= gap <= backoff(n) + 0.1 for n, gap in enumerate(gaps, start=1))


def test_a_success_forgets_the_errors() -> None:
    handler = Handler(*[ValueError("x")] * 6, 1.0, ValueError("x"))
    during(handler, adds(CHAT))
    assert handler.gaps()[-1] <= FIRST_RETRY + 0.1


def test_an_error_of_one_key_does_not_hold_up_another() -> None:
    handler = Handler(ValueError("x"))
    during(handler, adds(CHAT, CODE, wait=0.1), workers=1)
    assert [key for _, key in handler.calls] == [CHAT, CODE]


@pytest.mark.parametrize("status", [0, 500, 504])
def test_o04_an_api_server_in_trouble_is_spared_whatever_changes(status: int) -> None:
    """A try may be ten requests."""
    handler = Handler(*[ApiError(Call("patch", SERVICE, "a", "s"), status, "no")] * 300)

    async def script(queue: WorkQueue) -> None:
        for _ in range(6000):
            queue.add(CHAT)
            await asyncio.sleep(0.01)

    during(handler, script)
    assert min(handler.gaps()) >= TROUBLE_SECONDS
    assert max(handler.gaps()) <= LONGEST_HOLD + 0.1


def throttled(seconds: float) -> ApiError:
    return ApiError(Call("patch", SERVICE, "a", "s"), 429, "too many requests", retry_after=seconds)


def test_o04_the_api_server_is_not_asked_before_it_wants_to_be() -> None:
    handler = Handler(throttled(77))
    during(handler, adds(CHAT))
    assert handler.gaps() == pytest.approx([77], abs=0.1)


def test_o04_not_even_when_something_changes() -> None:
    handler = Handler(throttled(77))

    async def script(queue: WorkQueue) -> None:
        for _ in range(100):
            queue.add(CHAT)
            await asyncio.sleep(1)

    during(handler, script)
    assert handler.gaps()[0] == pytest.approx(77, abs=0.1)


def test_o04_a_change_during_the_attempt_waits_too() -> None:
    handler = Handler(throttled(77), takes=10)

    async def script(queue: WorkQueue) -> None:
        queue.add(CHAT)
        await asyncio.sleep(5)
        queue.add(CHAT)
        await asyncio.sleep(200)

    during(handler, script)
    assert handler.gaps()[0] == pytest.approx(87, abs=0.1)


def test_after_an_end_nothing_is_due_any_more() -> None:
    handler = Handler(10.0, throttled(1000))

    async def main() -> None:
        queue, ready = WorkQueue(handler), asyncio.Event()
        ready.set()
        for _ in range(2):
            queue.add(CHAT)
            running = asyncio.create_task(queue.run(1, ready))
            await asyncio.sleep(1)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await asyncio.sleep(100)
        queue.add(CHAT)
        running = asyncio.create_task(queue.run(1, ready))
        await asyncio.sleep(1)
        running.cancel()

    with asyncio.Runner(loop_factory=InstantLoop) as runner:
        runner.run(main())
    assert handler.gaps() == [101, 101]


def test_o08_a_handler_that_hangs_is_given_up() -> None:
    handler = Handler(takes=10_000)
    during(handler, adds(CHAT, wait=300))
    assert len(handler.calls) >= 2


def test_how_long_the_slowest_takes_is_known() -> None:
    ages: list[float] = []

    async def script(queue: WorkQueue) -> None:
        queue.add(CHAT)
        await asyncio.sleep(30)
        queue.add(CODE)
        await asyncio.sleep(30)
        ages.append(queue.longest())

    during(Handler(takes=90), script)
    assert ages == pytest.approx([60], abs=0.1)


def test_o24_of_500_routes_that_change_at_once_each_is_handled_and_none_waits_twice() -> None:
    handler, many = Handler(takes=0.01), [Key("a", f"chat-{number}") for number in range(500)]
    waiting: list[int] = []

    async def script(queue: WorkQueue) -> None:
        for key in many * 3:
            queue.add(key)
        waiting.append(queue._waiting.qsize())
        await asyncio.sleep(60)

    during(handler, script, workers=4)
    assert waiting == [500]
    assert sorted(key for _, key in handler.calls) == sorted(many)
    assert handler.at_once == 4
