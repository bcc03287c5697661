"""Load of marked requests: how many at once or how many a second, and how each of them ended.

Called by ``scale``, ``soak``, and ``faults`` with its parts, on the event loop of the benchmark. Never starts a router
or an upstream.
"""

import asyncio
import itertools
import random
import time
from array import array
from collections import Counter, deque
from collections.abc import Iterator

from benchmarks.marked import Ask, End, Marked

PATIENCE = 60.0
"""Seconds after which a request counts as lost."""
CONNECTING = 64
"""Connections that are opened at the same time."""
MOST = 6000
"""Requests that an open load keeps under way; beyond it a turn is skipped and counted."""
SHAPES = ((5, 20), (20, 20), (40, 10), (10, 50))
"""Pieces of a stream, and the milliseconds between two of them."""
STREAMED = 0.8


def mixed(seed: int = 1, first: int = 1) -> Iterator[Ask]:
    """Requests without end: 80 % streams of several shapes, one in a hundred of which is hung up on half way."""
    chance = random.Random(seed)
    for mark in itertools.count(first):
        stream = chance.random() < STREAMED
        pieces, every_ms = chance.choice(SHAPES) if stream else (1, 20)
        yield Ask(mark, pieces, every_ms, stream, leave=3 if stream and chance.random() < 0.01 else 0)


class Load:
    """Requests to ``port`` and what became of them; ``begun`` has, by mark, the second of each answer's first byte."""

    def __init__(self, port: int, asks: Iterator[Ask], *, delays: bool = False, most: int = MOST) -> None:
        self._port = port
        self._most = most
        self._asks = asks
        self._idle: deque[Marked] = deque()
        self._live: set[Marked] = set()
        self._all: set[Marked] = set()
        self._gate = asyncio.Semaphore(CONNECTING)
        self._tasks: set[asyncio.Task[None]] = set()
        self.ends: Counter[End] = Counter()
        self.statuses: Counter[int] = Counter()
        self.begun: dict[int, float] = {}
        self.delays = array("d") if delays else None
        self.seconds = array("d")  # of whole answers that are not streamed
        self.streamed = array("d")  # of whole streams
        self.refusals: list[tuple[float, float]] = []  # when, and after how many seconds
        self.offered = self.skipped = 0
        self.phase = ""  # set by whoever makes faults; what follows is counted by the phase in which it was asked
        self.refused_in: Counter[str] = Counter()
        self.seconds_in: dict[str, array[float]] = {}
        self._looping = False

    @property
    def live(self) -> int:
        """Requests under way."""
        return len(self._live) + len(self._tasks)

    @property
    def started(self) -> int:
        """Requests under way whose answer has begun."""
        return sum(1 for client in self._live if client.first)

    def ask(self) -> None:
        """Send the next request on an idle connection, or a new one."""
        if self.live >= self._most:
            self.skipped += 1
            return
        self.offered += 1
        ask = next(self._asks)
        while self._idle:
            client = self._idle.pop()
            if client.idle:
                self._send(client, ask)
                return
        task = asyncio.create_task(self._connect(ask))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, ask: Ask) -> None:
        loop = asyncio.get_running_loop()
        async with self._gate:
            try:
                port = self._choose()
                _, client = await loop.create_connection(lambda: Marked(port, self._ended), "127.0.0.1", port)
            except OSError:
                self._unconnected(ask)
                return
        self._all.add(client)
        if self.delays is not None:
            client.delay = self.delays.append
        self._send(client, ask)

    def _choose(self) -> int:
        """The port for a new connection."""
        return self._port

    def _unconnected(self, ask: Ask) -> None:
        """There was nobody to ask."""
        del ask
        self._over(End.LOST)

    def _send(self, client: Marked, ask: Ask) -> None:
        self._live.add(client)
        client.phase = self.phase
        client.send(ask)

    def _ended(self, client: Marked, ask: Ask, end: End) -> None:
        self._live.discard(client)
        self._over(end)
        self.statuses[client.status] += 1
        took = client.last - client.asked
        if client.first:
            self.begun[ask.mark] = client.first
        if end is End.REFUSED:
            self.refusals.append((client.last, took))
            self.refused_in[f"{client.status} in {client.phase}"] += 1
        elif end is End.WHOLE:
            (self.streamed if ask.stream else self.seconds).append(took)
            if not ask.stream:
                self.seconds_in.setdefault(client.phase, array("d")).append(took)
        if client.open:
            self._idle.append(client)
        else:
            self._all.discard(client)

    def _over(self, end: End) -> None:
        self.ends[end] += 1
        if self._looping:
            asyncio.get_running_loop().call_later(0 if end is End.WHOLE else 0.01, self._replace)

    def _replace(self) -> None:
        if self._looping:
            self.ask()

    async def closed(self, seconds: float, at_once: int) -> float:
        """Keep ``at_once`` requests under way for ``seconds``; how many a second ended."""
        self._looping = True
        for _ in range(at_once):
            self.ask()
        await asyncio.sleep(min(1.0, seconds / 3))
        began, before = time.monotonic(), sum(self.ends.values())
        await self._watch(seconds)
        rate = (sum(self.ends.values()) - before) / (time.monotonic() - began)
        self._looping = False
        return rate

    async def opened(self, seconds: float, rate: float) -> None:
        """Begin ``rate`` requests a second for ``seconds``, whatever becomes of them."""
        began = time.monotonic()
        begun = 0
        while (now := time.monotonic() - began) < seconds:
            while begun < now * rate:
                begun += 1
                self.ask()
            self._check()
            await asyncio.sleep(0.005)

    async def _watch(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            await asyncio.sleep(min(0.5, seconds))
            self._check()

    def _check(self) -> None:
        before = time.monotonic() - PATIENCE
        for client in [c for c in self._live if c.asked < before and c.ask and not c.ask.stream]:
            client.give_up()

    async def finish(self, seconds: float = PATIENCE) -> None:
        """Wait until all has ended; what has not is lost. Closes all connections."""
        self._looping = False
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.live:  # noqa: ASYNC110 - what ends here ends in many places
            await asyncio.sleep(0.05)
        for client in list(self._live):
            client.give_up()
        for client in list(self._all):
            client.close()
        await asyncio.sleep(0.1)

    async def abandon(self) -> None:
        """Hang up on everything; nothing is counted."""
        self._looping = False
        for client in list(self._all):
            client.close()
        await asyncio.sleep(0.5)
