"""A sampler that runs, and the routers and replicas that it asks, on a clock that passes at once."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

from modelroute.controller.asking.client import Answer, Pods, UnansweredError
from modelroute.controller.asking.sampler import Sampler
from modelroute.controller.watching.cache import Key
from modelroute.planning.asking import RESTING_SECONDS, Asking, Replica
from tests.fakes.clock import InstantLoop

CHAT = Key("team-a", "chat")
NEWEST = "0123456789ab"


class FakePods(Pods):
    """Answers as routers and replicas do, and notes when it was asked for what. ``runs`` is what routers run."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, str]] = []
        self.runs: str | None = NEWEST
        self.waiting = 0
        self.takes = 0.0
        self.at_once = self._running = 0
        self.broken = False
        self.hang = "none"  # those whose address begins so

    async def get(self, url: str, timeout: float) -> Answer:  # noqa: ASYNC109
        self.asked.append((asyncio.get_running_loop().time(), url))
        self._running += 1
        self.at_once = max(self.at_once, self._running)
        hangs = url.startswith(f"http://{self.hang}")
        await asyncio.sleep(timeout if hangs else self.takes)
        self._running -= 1
        if self.broken:
            raise RuntimeError("a bug")
        if self.runs is None or hangs:
            raise UnansweredError("no connection within 1 s")
        if url.endswith("/metrics"):
            return Answer(200, f"vllm:num_requests_running 0\nvllm:num_requests_waiting {self.waiting}".encode(), 0.0)
        status = {"namespace": None, "name": None, "revision": self.runs, "generation": 3}
        return Answer(200, json.dumps(status).encode(), 0.0)

    def gaps(self) -> list[float]:
        times = [time for time, _ in self.asked]
        return [round(after - before, 3) for before, after in pairwise(times)]


class World:
    """A sampler that runs, and what it found worth a look."""

    def __init__(self) -> None:
        self.pods = FakePods()
        self.again: list[Key] = []
        self.sampler = Sampler(self.pods, self.again.append, lambda: asyncio.get_running_loop().time())

    def during(self, script: Callable[[], Awaitable[Any]]) -> None:
        async def main() -> None:
            running = asyncio.create_task(self.sampler.run())
            await script()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

        with asyncio.Runner(loop_factory=InstantLoop) as runner:
            runner.run(main())


def asking(routers: int = 1, revision: str = NEWEST, interval: float = RESTING_SECONDS, replicas: int = 0) -> Asking:
    return Asking(
        revision,
        tuple((f"r{n}", f"10.0.9.{n}:8001") for n in range(routers)),
        tuple(Replica(f"p{n}", "small", f"10.0.0.{n}:8000") for n in range(replicas)),
        interval=interval,
    )


def follow(world: World, seconds: float, asked: Asking) -> None:
    async def script() -> None:
        world.sampler.follow(CHAT, asked)
        await asyncio.sleep(seconds)

    world.during(script)
