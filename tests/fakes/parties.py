"""Operators that only lead or follow, beside each other on a loop whose time the tests turn."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from modelroute.controller.kube.calls import ApiError, Call
from modelroute.controller.kube.fencing import Fence
from modelroute.controller.kube.kinds import LEASE, Kind
from modelroute.controller.leading import LEASE_NAME, Leadership, LeaseOptions
from tests.fakes.clock import InstantLoop
from tests.fakes.kube import FakeCluster, KubeObject

DURATION, DEADLINE, EVERY = 10, 7.0, 2.0
TICK = 0.05


class Line(FakeCluster):
    """One operator's connection to an API server that others use too. It may be down, or take for ever."""

    def __init__(self, server: FakeCluster) -> None:
        super().__init__()
        self.server = server
        self.failing: ApiError | None = None
        self.hanging = False

    async def _pass(self) -> None:
        if self.hanging:
            await asyncio.Event().wait()
        if self.failing:
            raise self.failing

    def fail(self, status: int = 0, retry_after: float = 0) -> None:
        self.failing = ApiError(Call("update", LEASE, None, LEASE_NAME), status, "no", retry_after=retry_after)

    async def find(self, kind: Kind, namespace: str | None, name: str) -> KubeObject | None:
        await self._pass()
        return await self.server.find(kind, namespace, name)

    async def create(self, kind: Kind, desired: KubeObject) -> KubeObject:
        await self._pass()
        return await self.server.create(kind, desired)

    async def replace(self, kind: Kind, desired: KubeObject) -> KubeObject:
        await self._pass()
        return await self.server.replace(kind, desired)


class Party:
    """An operator that only leads or follows; ``led`` are the times in which its work ran."""

    def __init__(self, server: FakeCluster, name: str, *, ready: bool = True, heir: bool = False) -> None:
        self.line, self.fence, self.ready = Line(server), Fence(), asyncio.Event()
        self.leadership = Leadership(self.line, self.fence, LeaseOptions("home", DURATION, name))
        self.led: list[list[float]] = []
        self.work: Callable[[], Awaitable[Any]] = asyncio.Event().wait
        if ready:
            self.ready.set()
        self.running = asyncio.create_task(self.leadership.run(self.ready, lambda: heir, self._work))

    async def _work(self) -> None:
        self.led.append([now()])
        try:
            await self.work()
        finally:
            self.led[-1].append(now())

    def works(self) -> bool:
        return bool(self.led) and len(self.led[-1]) == 1

    async def end(self) -> None:
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)


def now() -> float:
    return asyncio.get_running_loop().time()


def pause(seconds: float) -> None:
    """As when the whole process is stopped for so long."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, InstantLoop)
    loop._instant.passed += seconds


def play(script: Callable[[FakeCluster], Awaitable[None]]) -> None:
    async def main() -> None:
        await script(FakeCluster())

    with asyncio.Runner(loop_factory=InstantLoop) as runner:
        runner.run(main())


def spec(server: FakeCluster) -> dict[str, Any]:
    found: dict[str, Any] = server.objects[LEASE.name, LEASE_NAME]["spec"]
    return found


def foreign(server: FakeCluster, **fields: Any) -> None:
    """Someone else's lease."""
    held = {"holderIdentity": "x", "leaseDurationSeconds": DURATION} | fields
    server.keep(LEASE, {"metadata": {"name": LEASE_NAME, "namespace": "home"}, "spec": held})
