"""The work queue when the lease is lost and got again: nothing of the time before stands in the way."""

import asyncio

from modelroute.controller import metrics
from modelroute.controller.watching.cache import Key
from modelroute.controller.workqueue import WorkQueue
from tests.fakes.clock import InstantLoop

CHAT, CODE = Key("a", "chat"), Key("a", "code")


def test_what_changed_while_it_was_handled_at_an_end_is_handled_after_it() -> None:
    handled: list[Key] = []

    async def handle(key: Key) -> None:
        handled.append(key)
        await asyncio.sleep(10)

    async def main() -> None:
        queue, ready = WorkQueue(handle), asyncio.Event()
        ready.set()
        for _ in range(2):
            running = asyncio.create_task(queue.run(1, ready))
            queue.add(CHAT)
            queue.add(CODE)
            await asyncio.sleep(1)
            queue.add(CHAT)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            assert metrics.QUEUED._value.get() == 0

    with asyncio.Runner(loop_factory=InstantLoop) as runner:
        runner.run(main())
    assert handled == [CHAT, CHAT]
