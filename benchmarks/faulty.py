"""Upstreams on the benchmark's own event loop that fail in one way and note when, by the clock that its clients go by.

Used by ``costs`` and ``hangups``, with a client that keeps what it saw. They are not killed and bear no load: for that
there are processes of their own (``upstreams``).
"""

import asyncio
import contextlib
import os
import socket
import struct
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.marked import Ask, End, Marked
from benchmarks.proxies import free_port
from benchmarks.scripted import BEFORE, MODES, SSE, Mode, Scripted, Wish, World, framed

PATIENCE_S = 30.0
"""What a client waits for an answer."""
_AT_ONCE = struct.pack("ii", 1, 0)
_SAID = b'{"error":{"message":"boom","type":"internal","code":500}}'


class Watched(Scripted):
    """A connection whose end is noted."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Note for the latest request when its client's side was seen to be gone."""
        super().connection_lost(exc)
        if isinstance(self.world, Faulty):
            self.world.closed[self.mark] = time.monotonic()


class Faulty(World):
    """One upstream. Monotonic seconds by mark: when a request came, failed by what it was told, and was closed."""

    def __init__(self) -> None:
        super().__init__(Path(os.devnull), {**MODES, **SPOILED})
        self.port = free_port()
        self.came: dict[int, float] = {}
        self.closed: dict[int, float] = {}
        self.failed: dict[int, float] = {}

    @property
    def endpoint(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self.port}"

    def arrived(self, mark: int) -> None:
        """Note it."""
        self.came[mark] = time.monotonic()


def _note(connection: Scripted) -> None:
    """It fails now."""
    if isinstance(connection.world, Faulty):
        connection.world.failed[connection.mark] = time.monotonic()


def _rst(connection: Scripted) -> None:
    """End it by a reset."""
    _note(connection)
    sock: socket.socket = connection.transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    connection.transport.abort()


def _reset(connection: Scripted, wish: Wish) -> None:
    del wish
    _rst(connection)


def _reset_midway(connection: Scripted, wish: Wish) -> None:
    connection.transport.write(SSE)
    connection.stream(wish, BEFORE, lambda: _rst(connection))


def _hang_midway(connection: Scripted, wish: Wish) -> None:
    connection.transport.write(SSE)
    connection.stream(wish, BEFORE, lambda: _note(connection))


def _undone(connection: Scripted, wish: Wish) -> None:
    def end() -> None:
        _note(connection)
        connection.transport.write(b"0\r\n\r\n")

    connection.transport.write(SSE)
    connection.stream(wish, wish.pieces, end)


def _error_in_json(connection: Scripted, wish: Wish) -> None:
    del wish
    connection.json(b"200 OK", _SAID)


def _error_first(connection: Scripted, wish: Wish) -> None:
    del wish
    connection.transport.write(SSE + framed(b"data: " + _SAID + b"\n\n") + b"0\r\n\r\n")


def _error_midway(connection: Scripted, wish: Wish) -> None:
    def end() -> None:
        _note(connection)
        connection.transport.write(framed(b"data: " + _SAID + b"\n\n") + b"0\r\n\r\n")

    connection.transport.write(SSE)
    connection.stream(wish, BEFORE, end)


def _truncated(connection: Scripted, wish: Wish) -> None:
    connection.whole(wish, cut=20)
    connection.transport.close()


def _two_lengths(connection: Scripted, wish: Wish) -> None:
    del wish
    connection.json(b"200 OK", b"2\r\n{}\r\n0\r\n\r\n", b"transfer-encoding: chunked\r\n")


SPOILED: dict[str, Mode] = {
    "reset": _reset,
    "reset midway": _reset_midway,
    "hang midway": _hang_midway,
    "undone": _undone,
    "error in JSON": _error_in_json,
    "error first": _error_first,
    "error midway": _error_midway,
    "truncated": _truncated,
    "two lengths": _two_lengths,
}
"""Further modes; one of a name that ``scripted`` has, too, takes its place."""


@contextlib.asynccontextmanager
async def upstream(mode: str = "well") -> AsyncIterator[Faulty]:
    """An upstream that does as ``mode`` says."""
    made = Faulty()
    made.mode = mode
    server = await made.loop.create_server(lambda: Watched(made), "127.0.0.1", made.port, backlog=1024)
    try:
        yield made
    finally:
        server.close()
        for connection in list(made.connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # their ends are told
        made.close()


@contextlib.contextmanager
def black_hole() -> Iterator[str]:
    """host:port of a socket that listens, and whose line is so full that the kernel answers no further connect."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            filling = stack.enter_context(socket.socket())
            filling.settimeout(0)
            filling.connect_ex(listening.getsockname())
        yield f"127.0.0.1:{listening.getsockname()[1]}"


class Seen(NamedTuple):
    """What a client saw of one answer; monotonic seconds, ``first`` 0 where nothing of an answer came."""

    end: End
    status: int
    retry_after: bool
    asked: float
    first: float
    last: float

    def __str__(self) -> str:
        return f"refused {self.status}" if self.end is End.REFUSED else self.end.value


class Once(Marked):
    """A connection for one request."""

    def __init__(self, port: int) -> None:
        self._over: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        self._retry_after = False
        super().__init__(port, self._ended_once)

    def _ended_once(self, client: Marked, ask: Ask, end: End) -> None:
        del client, ask
        if not self._over.done():
            self._over.set_result(end)

    def on_header(self, name: bytes, value: bytes) -> None:
        """See whether it says when to come again."""
        del value
        self._retry_after = self._retry_after or name.lower() == b"retry-after"

    def hang_up(self, *, by_reset: bool) -> float:
        """Go; returns the moment."""
        if by_reset:
            sock: socket.socket = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        now = time.monotonic()
        self._transport.abort()
        return now

    async def seen(self) -> Seen:
        """Wait for the end of what was asked; what takes too long is lost."""
        done, _ = await asyncio.wait([self._over], timeout=PATIENCE_S)
        if not done:
            self.give_up()
        self.close()
        return Seen(await self._over, self.status, self._retry_after, self.asked, self.first, self.last)


async def connected(port: int) -> Once:
    """A client of ``port``."""
    return (await asyncio.get_running_loop().create_connection(lambda: Once(port), "127.0.0.1", port))[1]


async def once(port: int, ask: Ask) -> Seen:
    """Ask on a new connection, and wait for what comes of it."""
    client = await connected(port)
    client.send(ask)
    return await client.seen()
