"""A thousand clients that send their requests a byte a second: what the others notice, and how long they hold on (R22).

Half of them never end their head, half never their body. Called by ``faults``. Never reads more of an answer than its
status.
"""

import asyncio
import itertools
import time
from collections import Counter
from pathlib import Path
from typing import cast

from benchmarks import machine
from benchmarks.load import Load, mixed
from benchmarks.marked import Ask
from benchmarks.parts import RATE, pool, shown
from benchmarks.proxies import ours
from benchmarks.routes import key
from benchmarks.upstreams import upstreams
from benchmarks.verdict import Row

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: router\r\nAuthorization: Bearer %b\r\n" % key().encode()
STARTS = {
    "heads": HEAD + b"X-Slow: ",
    "bodies": HEAD + b'Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n{"model":"chat',
}
"""What a slow client sends at once; of the rest, a byte a second."""
DEADLINES = {"heads": 12.0, "bodies": 33.0}
"""Seconds after which the router has ended them: 10 for a head, 30 with a body, and some for the look at the clock."""
TURNS = 20
"""Parts in which all clients send their byte, spread over a second."""


class Slow(asyncio.Protocol):
    """One slow client."""

    def __init__(self, crowd: "Crowd", kind: str) -> None:
        self._crowd = crowd
        self.kind = kind
        self.began = time.monotonic()
        self.status = "closed without a word"
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop does not derive from it
        self._transport.write(STARTS[self.kind])

    def data_received(self, data: bytes) -> None:
        """Note the status, and go."""
        self.status = data[9:12].decode("latin-1")
        self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the crowd."""
        del exc
        self._crowd.left(self)

    def drip(self) -> None:
        """Send a byte."""
        if not self._transport.is_closing():
            self._transport.write(b"x")

    def close(self) -> None:
        """Go."""
        self._transport.close()


class Crowd:
    """So many slow clients of ``port``; who is sent away is replaced."""

    def __init__(self, port: int, count: int) -> None:
        self._port, self._count = port, count
        self._kinds = itertools.cycle(STARTS)
        self._clients: dict[Slow, None] = {}
        self.ends: dict[str, Counter[str]] = {kind: Counter() for kind in STARTS}
        self.longest = dict.fromkeys(STARTS, 0.0)
        self._looks: list[int] = []
        self._leaving = False

    def left(self, client: Slow) -> None:
        """A client is gone."""
        self._clients.pop(client, None)
        if not self._leaving:
            self.ends[client.kind][client.status] += 1
            self._lived(client)

    def _lived(self, client: Slow) -> None:
        self.longest[client.kind] = max(self.longest[client.kind], time.monotonic() - client.began)

    @property
    def mean(self) -> float:
        """How many were there on average, from the first time on that all were."""
        return sum(self._looks) / max(1, len(self._looks))

    async def run(self) -> None:
        """Be slow until cancelled."""
        for turn in itertools.count():
            await self._fill()
            for client in list(self._clients)[turn % TURNS :: TURNS]:
                client.drip()
            self._looks.append(len(self._clients))
            await asyncio.sleep(1 / TURNS)

    async def _fill(self) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(self._count - len(self._clients)):
            _, client = await loop.create_connection(lambda: Slow(self, next(self._kinds)), "127.0.0.1", self._port)
            self._clients[client] = None

    def go(self) -> None:
        """All leave."""
        self._leaving = True
        for client in list(self._clients):
            self._lived(client)
            client.close()


async def _others(port: int, seconds: float, first: int) -> tuple[Load, Load]:
    """Usual load, half of it mixed and half of it whole answers, whose times are compared."""
    usual = Load(port, mixed(22, first))
    whole = Load(port, (Ask(mark, 1, 20, stream=False) for mark in itertools.count(first + 1_000_000)))
    await asyncio.gather(usual.opened(seconds, RATE / 2), whole.opened(seconds, RATE / 2))
    await asyncio.gather(usual.finish(), whole.finish())
    return usual, whole


async def crowded(directory: Path, core: int, clients: int, seconds: float) -> list[Row]:
    """R22: usual load for ``seconds`` beside so many slow clients, and as long without, half before, half after."""
    async with (
        upstreams(directory, "one", "two", "spare") as made,
        ours(directory, pool(made[:2], made[2]), core) as router,
    ):
        before = await _others(router.port, seconds / 2, 1)
        crowd = Crowd(router.port, clients)
        running = asyncio.create_task(crowd.run())
        await asyncio.sleep(1)
        beside = await _others(router.port, seconds, 10_000_000)
        running.cancel()
        crowd.go()
        await asyncio.sleep(1)
        after = await _others(router.port, seconds / 2, 20_000_000)
    alone = machine.percentile([*before[1].seconds, *after[1].seconds], 0.99) * 1e3
    late = machine.percentile(beside[1].seconds, 0.99) * 1e3
    note = f"{late:.1f} / {alone:.1f} ms"
    rows = [
        Row("R22 slow clients at once, on average", round(crowd.mean), "", clients * 0.9, least=True),
        Row("R22 p99 of whole answers, beside them / without", late / alone, "", 2, note=note),
    ]
    for kind, longest in crowd.longest.items():
        note = ", ".join(f"{count} x {end}" for end, count in crowd.ends[kind].most_common())
        rows.append(Row(f"R22 slow {kind}: longest", longest, "s", DEADLINES[kind], note=note or "none was ended"))
    return [*rows, *shown("R22 others, mixed", beside[0]), *shown("R22 others, whole", beside[1])[:-1]]
