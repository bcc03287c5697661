"""The near end of the router benchmark: clients that keep a proxy busy, and what a proxy spent on it meanwhile.

Raw protocols, run by ``router`` on the event loop that also runs the upstream. Every answer is checked: a wrong one
ends the benchmark with BadAnswerError. Never knows which proxy it talks to.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, cast

from benchmarks.upstream import ANSWER, CHUNK_EVERY, CHUNKS, chat_request, chat_requests, message_end

WARM_UP = 0.5
"""Seconds of load before a window is measured."""
PATIENCE = 60
"""Seconds that all streams together may take."""


class BadAnswerError(Exception):
    """What came through a proxy is not what the upstream sent."""


class Window(NamedTuple):
    """A measured stretch of load: work done, CPU of the proxy and of the load itself, and each answer's seconds."""

    work: int
    wall_s: float
    cpu_s: float
    load_cpu_s: float
    seconds: list[float]


class Tally:
    """What clients have got so far, and the first thing that went wrong."""

    def __init__(self) -> None:
        self.answers = 0
        self.seconds: list[float] = []
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._failed.add_done_callback(asyncio.Future.exception)  # an interruption may leave it to nobody

    def fail(self, problem: str) -> None:
        """Keep the first problem, for whoever waits."""
        if not self._failed.done():
            self._failed.set_exception(BadAnswerError(problem))

    async def wait(self, seconds: float, until: asyncio.Event | None = None) -> None:
        """Wait ``seconds``, or less if ``until`` is set earlier. BadAnswerError when something went wrong."""
        event = until or asyncio.Event()
        self._failed.add_done_callback(lambda _: event.set())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), seconds)
        if self._failed.done():
            self._failed.result()


class _Client(asyncio.Protocol):
    """One connection that sends the next of ``requests`` and reads its answer."""

    def __init__(self, requests: Iterator[bytes], tally: Tally) -> None:
        self._requests = requests
        self._tally = tally
        self._transport: asyncio.WriteTransport
        self.finished = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop does not derive from it
        self.ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.finished:
            self._tally.fail(f"the connection was closed before the answer was complete: {exc or 'end of stream'}")

    def ask(self) -> None:
        self._transport.write(next(self._requests))

    def close(self) -> None:
        self.finished = True
        self._transport.close()

    def refuse(self, problem: str, data: bytes) -> None:
        self._tally.fail(f"{problem}: {data[:600]!r}")
        self.close()


class UnaryClient(_Client):
    """Asks again as soon as it is answered, until it is finished."""

    def __init__(self, requests: Iterator[bytes], tally: Tally) -> None:
        super().__init__(requests, tally)
        self._got = b""
        self._asked = 0.0

    def ask(self) -> None:
        """Send the request and note when."""
        self._asked = time.perf_counter()
        super().ask()

    def data_received(self, data: bytes) -> None:
        """Count an answer when all of it is there."""
        data = self._got + data if self._got else data
        if not message_end(data):
            self._got = data
            return
        self._got = b""
        if not (data.startswith(b"HTTP/1.1 200 ") and data.endswith(ANSWER[-100:])):
            self.refuse("not the upstream's answer", data)
            return
        self._tally.seconds.append(time.perf_counter() - self._asked)
        self._tally.answers += 1
        if self.finished:
            self._transport.close()
        else:
            self.ask()


class StreamClient(_Client):
    """Asks once for a streamed answer and counts its events."""

    def __init__(self, requests: Iterator[bytes], tally: Tally, done: Callable[[], None]) -> None:
        super().__init__(requests, tally)
        self._done = done
        self._events = 0
        self._tail = b""

    def data_received(self, data: bytes) -> None:
        """Count the events in it; end with the last."""
        if not self._tail and not data.startswith(b"HTTP/1.1 200 "):
            self.refuse("not a stream", data)
            return
        data = self._tail + data
        self._events += data.count(b"data: ")
        self._tail = data[-5:]  # one byte less than what is counted: an event that is cut in two counts once
        if not self._events or not data.endswith(b"0\r\n\r\n"):
            return
        if self._events < CHUNKS + 1:
            self._tally.fail(f"a stream ended after {self._events} of {CHUNKS + 1} events")
        self._tally.answers += 1
        self.close()
        self._done()


async def unary(
    port: int,
    connections: int,
    seconds: float,
    spent: Callable[[], float],
    requests: Sequence[bytes] = (),
) -> Window:
    """Whole answers over kept connections for ``seconds``; ``spent`` tells the proxy's CPU seconds so far.

    The connections take turns through ``requests``, by default one client's many questions.
    """
    tally = Tally()
    loop = asyncio.get_running_loop()
    turns = itertools.cycle(requests or chat_requests(port))
    clients = [
        (await loop.create_connection(lambda: UnaryClient(turns, tally), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    await tally.wait(WARM_UP)
    first, began, cpu, own = tally.answers, time.perf_counter(), spent(), time.process_time()
    await tally.wait(seconds)
    last, wall = tally.answers, time.perf_counter() - began
    window = Window(last - first, wall, spent() - cpu, time.process_time() - own, tally.seconds[first:last])
    for client in clients:
        client.finished = True
    await tally.wait(0.1)
    for client in clients:
        client.close()
    return window


async def streams(port: int, count: int, spent: Callable[[], float]) -> Window:
    """``count`` streamed answers at the same time; the work counted is chunks, the CPU is all from connect to close."""
    tally = Tally()
    loop = asyncio.get_running_loop()
    requests = itertools.repeat(chat_request(port, stream=True))
    ended = asyncio.Event()
    left = count

    def done() -> None:
        nonlocal left
        left -= 1
        if not left:
            ended.set()

    began, cpu, own = time.perf_counter(), spent(), time.process_time()
    for _ in range(count):
        await loop.create_connection(lambda: StreamClient(requests, tally, done), "127.0.0.1", port)
        await asyncio.sleep(CHUNK_EVERY / 10)  # so that the streams' pieces do not all fall together
    await tally.wait(PATIENCE, ended)
    if left:
        raise BadAnswerError(f"{left} of {count} streams had not ended after {PATIENCE} s")
    return Window(count * CHUNKS, time.perf_counter() - began, spent() - cpu, time.process_time() - own, [])
