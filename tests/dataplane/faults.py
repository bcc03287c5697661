"""What the tests of faults share: backends that fail in their ways, and that nothing is left over afterwards."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from modelroute.router.replicas.gate import Gate
from modelroute.snapshot.types import Health, Retry
from tests.dataplane.conftest import Plane
from tests.fakes.client import Client, Reply, chat, http
from tests.fakes.upstream import DONE, OPENER, Received, Script, Wire, answers, text

UNWATCHED = Health(consecutive_failures=1000, window_requests=10_000, path="")
"""Nothing takes a replica out, and nothing probes it."""
QUICK = Retry(min_wait=0.001, max_wait=0.01)
FAILS = answers({"error": {"message": "no"}}, 500)
DRAINS = answers({"error": {"message": "cannot schedule new futures after shutdown", "code": 500}}, 500)
"""What a vLLM that ends answers, while its health check still says yes."""


async def nobody() -> str:
    """An address where nobody listens, nor comes to: its port stays taken until the tests end."""
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    host, port = taken.getsockname()
    taken.detach()
    return f"{host}:{port}"


def blackhole(plane: Plane) -> str:
    """An address where connections are never accepted: somebody listens, and the one place of the queue is taken."""
    full = socket.socket()
    plane.defer(full.close)
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    plane.defer(socket.create_connection(full.getsockname()).close)
    return f"127.0.0.1:{full.getsockname()[1]}"


async def until(holds: Callable[[], bool]) -> None:
    """Until something of the router's inside is so; the test's own patience bounds it."""
    while not holds():  # noqa: ASYNC110 # nothing tells of it
        await asyncio.sleep(0.002)


async def at_rest(plane: Plane) -> None:
    """Nothing is left over: no slot, no place, nobody who waits, nothing of the budget, no timer."""
    assert plane.router is not None
    live = plane.router.live
    assert live.route is not None

    def left() -> dict[str, Any]:
        """What is not as it was before the first request."""
        assert live.route is not None
        found: dict[str, Any] = {"live": live.budget.live, "retrying": live.budget.retrying}
        for gate in live._gates.values():
            found |= {f"{gate.name} in flight": gate.in_flight, f"{gate.name} waiting": gate.waiting}
            found |= {f"{gate.name} asleep": len(gate.sleepers)}
        for endpoint in live.endpoints._by_place.values():
            found[endpoint.name] = endpoint.in_flight
        return {name: count for name, count in found.items() if count}

    try:
        await asyncio.wait_for(until(lambda: not left()), 5)
    except TimeoutError:
        raise AssertionError(f"left over: {left()}") from None


def gate(plane: Plane, name: str = "small") -> Gate:
    assert plane.router is not None
    return plane.router.live._gates[name]


def thaw(gate: Gate) -> None:
    """The time for which a backend is left alone is over."""
    assert gate._thaw is not None
    gate._thaw.cancel()
    gate._thawed()


def patience_ends(gate: Gate) -> None:
    """Those in line have waited for as long as they may."""
    gate._turn_away("late")


def asked_long_ago(gate: Gate) -> None:
    """The first request that met no replica came an hour ago."""
    gate._begun -= 3600
    gate._refresh()


def ejected(plane: Plane, name: str = "small") -> list[bool]:
    """Which replicas of a backend are out, in their order."""
    assert plane.router is not None
    assert plane.router.live.route is not None
    return [e.vitals.ejected for e in plane.router.live.route.targets[name].endpoints]


async def asking(plane: Plane, content: str = "hi", headers: dict[str, str] | None = None, **fields: Any) -> Client:
    """A client that has sent a request and reads nothing yet."""
    client = await plane.connect()
    client.send(http("POST", "/v1/chat/completions", chat(content=content, **fields), **(headers or {})))
    return client


async def many(plane: Plane, count: int, **fields: Any) -> list[Reply]:
    """The answers to so many requests at once."""
    return await asyncio.gather(*(plane.chat(**fields) for _ in range(count)))


class Held:
    """A backend that answers when it is let; ``most`` is how many it has had at once."""

    def __init__(self, script: Script | None = None) -> None:
        self.go = asyncio.Event()
        self.now = self.most = 0
        self._script = script or answers()

    async def __call__(self, received: Received, wire: Wire) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        leaving = asyncio.ensure_future(wire.gone())
        going = asyncio.ensure_future(self.go.wait())
        try:
            await asyncio.wait((leaving, going), return_when=asyncio.FIRST_COMPLETED)
        finally:
            going.cancel()
            leaving.cancel()
            await asyncio.gather(leaving, going, return_exceptions=True)
            self.now -= 1
        if self.go.is_set():
            await self._script(received, wire)


def begins(then: Script, *events: bytes) -> Script:
    """A stream that begins and goes on by ``then``."""

    async def script(received: Received, wire: Wire) -> None:
        wire.stream()
        for event in events or (OPENER, text("a")):
            wire.chunk(event)
        await wire.writer.drain()
        await then(received, wire)

    return script


def after(seconds: float, script: Script) -> Script:
    """The same, but slow."""

    async def slow(received: Received, wire: Wire) -> None:
        await asyncio.sleep(seconds)
        await script(received, wire)

    return slow


async def finishes(_: Received, wire: Wire) -> None:
    """A stream's last piece and its end."""
    wire.chunk(text("z") + DONE)
    wire.end()
