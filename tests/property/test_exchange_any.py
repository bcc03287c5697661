"""Whatever backends do, whoever leaves and whatever the operator changes: each request ends once, and nothing is left.

On real sockets, since what is conserved is spread over the router's parts. Failures name the seed that shows them.
"""

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest
import uvloop

from modelroute.policy.retry import Budget
from modelroute.router.replicas.gate import Gate
from modelroute.snapshot.types import Backend, ColdStart, Fallback, Health, Limits, Retry
from tests.dataplane.conftest import Plane, backend, times
from tests.dataplane.faults import DRAINS, FAILS, after, at_rest, begins, finishes, nobody
from tests.fakes.client import Client, Reply, chat, http
from tests.fakes.upstream import DONE, Received, Script, Upstream, Wire, answers, closes, resets, sends, silent

ROUNDS, REQUESTS, MOST = 16, 60, 4
KINDS = ("ColdStart", "ConnectFailure", "Timeout", "RateLimited", "Overloaded", "ServerError")
RETRY = Retry(min_wait=0.005, max_wait=0.05, budget_percent=20, budget_floor=3)
FAULTS: tuple[Script, ...] = (
    resets,
    closes,
    silent,
    FAILS,
    DRAINS,
    answers({"error": {}}, 429, retry_after="0.05"),
    answers({"error": {}}, 400),
    sends(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{", then_close=True),
    sends(b"not http\r\n\r\n"),
    begins(resets),
    begins(silent),
    begins(finishes),
    after(0.05, answers()),
    answers(),
    answers(),
)


class Listener(Client):
    """A client that notes the moment from which it has some of its answer."""

    heard = False

    async def head(self) -> Reply:
        reply = await super().head()
        self.heard = True
        return reply


class World:
    """One schedule: its backends, its clients, and what is seen of them."""

    def __init__(self, plane: Plane, seed: int) -> None:
        self.plane = plane
        self.chance = random.Random(seed)
        self.ups: list[Upstream] = []
        self.clients: dict[str, Listener] = {}
        self.ends: Counter[str] = Counter()
        self.broken: list[str] = []  # what must never be; told at the end, since a task that fails may not be heard

    async def script(self, received: Received, wire: Wire) -> None:
        """Any fault. Nobody is asked who has sent an answer, or some of one, already."""
        content = received.json["messages"][0]["content"]
        if self.clients[content].heard:
            self.broken.append(f"{content} was sent again after its client had some of an answer")
        await self.chance.choice(FAULTS)(received, wire)

    def backends(self) -> tuple[Backend, ...]:
        """The route as the operator sees it now: replicas come and go, and so does a backend."""
        chance = self.chance
        quick = times(connect=0.1, first_token_streamed=0.1, first_token_whole=0.1, stream_idle=0.1)
        limited = [u for u in self.ups[:3] if chance.random() < 0.7]
        small = backend(
            "small",
            *limited,
            *([self.gone] if chance.random() < 0.3 else []),
            weight=3,
            timeouts=quick,
            limits=Limits(MOST, 10, max_wait=0.2),
            health=Health(chance.choice((1, 3, 50)), ejection=0.02, max_ejection=0.1, path="", window_requests=1000),
            cold_start=ColdStart(chance.choice(("Hold", "Fallback", "HoldThenFallback", "Reject")), 0.2, 5),
        )
        big = backend("big", self.ups[3], weight=1, timeouts=quick, limits=Limits(MOST, 5, 0.2))
        return (big,) if chance.random() < 0.1 else (small, big)

    async def run(self) -> None:
        self.gone = await nobody()
        self.ups = [await self.plane.upstream(self.script) for _ in range(4)]
        await self.change()
        swaps = asyncio.create_task(self.keep_changing())
        try:
            await asyncio.gather(*(self.request(n) for n in range(REQUESTS)))
        finally:
            swaps.cancel()

    async def change(self) -> None:
        fallbacks = (Fallback("big", KINDS),) if self.chance.random() < 0.5 else ()  # type: ignore[arg-type]
        await self.plane.route(*self.backends(), fallbacks=fallbacks, retry=RETRY)

    async def keep_changing(self) -> None:
        while True:
            await asyncio.sleep(0.03)
            await self.change()

    async def request(self, number: int) -> None:
        """One client's request, read to its end or left at any moment."""
        chance = self.chance
        await asyncio.sleep(chance.random() * 0.4)
        stream, leaves = chance.random() < 0.5, chance.random() < 0.25
        headers = {"x_request_timeout_ms": "150"} if chance.random() < 0.2 else {}
        plain, content = await self.plane.connect(), f"request {number}"
        client = self.clients[content] = Listener(plain.reader, plain.writer)
        body = chat(content=content, stream=stream, user=f"u-{number % 5}")
        client.send(http("POST", "/v1/chat/completions", body, **headers))
        if leaves:
            await asyncio.sleep(chance.random() * 0.1)
            client.close()
            self.ends["left"] += 1
            return
        reply = await asyncio.wait_for(client.reply(), 10)
        assert reply.whole, reply
        assert reply.status in {200, 400, 429, 500, 502, 503, 504}, reply
        if reply.headers["content-type"].startswith("text/event-stream"):
            # It came to its end or it was told: just one of both.
            assert (DONE in reply.body) != (b'data: {"error"' in reply.body), reply.body
        assert await self.silent_after(client)
        self.ends["answered"] += 1

    @staticmethod
    async def silent_after(client: Client) -> bool:
        """Whether nothing more comes: an answer comes once."""
        try:
            return await asyncio.wait_for(client.reader.read(1), 0.05) == b""
        except TimeoutError:
            return True


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_every_request_ends_once_and_nothing_is_left(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, enter, broken = Budget.take, Gate.enter, list[str]()

    def watched_take(budget: Budget, retry: Retry) -> bool:
        allowed = max(retry.budget_floor, budget.live * retry.budget_percent / 100)
        taken = take(budget, retry)
        if taken and budget.retrying >= allowed + 1:
            broken.append(f"{budget.retrying} retries of {budget.live} requests")
        return taken

    def watched_enter(gate: Gate) -> None:
        enter(gate)
        if gate.in_flight > MOST:
            broken.append(f"{gate.in_flight} at once at {gate.name}")

    async def all_of_it() -> None:
        plane = Plane(tmp_path)
        world = World(plane, seed)
        try:
            await world.run()
            await at_rest(plane)
            assert sum(world.ends.values()) == REQUESTS
            assert world.broken + broken == []
        finally:
            await plane.close()

    monkeypatch.setattr(Budget, "take", watched_take)
    monkeypatch.setattr(Gate, "enter", watched_enter)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(all_of_it(), 60))
