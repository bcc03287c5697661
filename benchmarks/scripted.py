"""An upstream that misbehaves as it is told: a process of its own, since it is killed in the course of a run.

``python -m benchmarks.scripted PORT LOG`` listens on loopback, takes "MODE" lines on standard input and ends with it.
Each request names its mark and the shape of its answer (``shaped``), so that a client can tell its own answer. Each
arrival is written to LOG at once (``arrivals`` reads it). Started by ``upstreams``; ``faulty`` has the same in its
own process. Never looks at who asks.
"""

import argparse
import asyncio
import os
import re
import struct
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, cast

import uvloop

from benchmarks.upstream import message_end

SLOWER = 10
"""How many times slower than asked for a slow upstream is."""
BEFORE = 3
"""Pieces of a stream that come before it goes wrong."""

_SHAPE = re.compile(rb'"bench": ?"(\d+) (\d+) (\d+)"')
_STREAM = re.compile(rb'"stream": ?true')
_USAGE = re.compile(rb'"include_usage": ?true')
_ARRIVAL = struct.Struct("<Qd")
SSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_PIECE = (
    b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1704067200,"model":"upstream-model",'
    b'"choices":[{"index":0,"delta":{"content":" m%010d %06d %019d"},"finish_reason":null}]}\n\n'
)
_FRAME = b"%x\r\n" % len(_PIECE % (0, 0, 0))
_PIECE_FRAMED = _FRAME + _PIECE + b"\r\n"
_USED = b'"usage":{"prompt_tokens":20,"completion_tokens":20,"total_tokens":40}'
_WHOLE = (
    b'{"id":"chatcmpl-bench","object":"chat.completion","created":1704067200,"model":"upstream-model","choices":'
    b'[{"index":0,"message":{"role":"assistant","content":" m%010d %06d %019d"},"finish_reason":"stop"}],'
    + _USED
    + b"}"
)
_USAGE_PIECE = b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","choices":[],' + _USED + b"}\n\n"


def shaped(mark: int, pieces: int, every_ms: int, *, stream: bool) -> bytes:
    """The body of a chat request that asks for an answer of ``pieces``, one each ``every_ms``, all with ``mark``."""
    return (
        b'{"model":"chat","messages":[{"role":"user","content":"Question %d: what is a router?"}],"bench":"%d %d %d"%s}'
    ) % (mark, mark, pieces, every_ms, b',"stream":true' if stream else b"")


def arrivals(log: Path) -> list[tuple[int, float]]:
    """The marks that came, each with its monotonic second, in order."""
    data = log.read_bytes() if log.exists() else b""
    return list(_ARRIVAL.iter_unpack(data[: len(data) // _ARRIVAL.size * _ARRIVAL.size]))


class Wish(NamedTuple):
    """What a request asks for."""

    mark: int
    pieces: int
    every: float
    stream: bool
    usage: bool


Mode = Callable[["Scripted", Wish], None]
"""A way to answer."""


class World:
    """What all connections of one upstream share; ``modes`` are the ways that it knows, by default MODES."""

    def __init__(self, log: Path, modes: Mapping[str, Mode] | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        self.mode = "well"
        self.modes = MODES if modes is None else modes
        self.connections: set[Scripted] = set()
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def arrived(self, mark: int) -> None:
        """Write it down where a kill cannot lose it."""
        os.write(self._log, _ARRIVAL.pack(mark, time.monotonic()))

    def close(self) -> None:
        """Close the log."""
        os.close(self._log)


class Scripted(asyncio.Protocol):
    """One connection."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._got = b""
        self.mark = 0  # of the latest request
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what answers are written to."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop does not derive from it
        self.world.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        del exc
        self.world.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        """Answer, in the mode that is in force, when a request is there."""
        self._got += data
        end = message_end(self._got)
        if not end:
            return
        asked, self._got = self._got[:end], self._got[end:]
        shape = _SHAPE.search(asked)
        if shape is None:
            status = b"500 no" if self.world.mode == "error" else b"200 OK"
            self.transport.write(b"HTTP/1.1 %s\r\ncontent-length: 0\r\n\r\n" % status)
            return
        mark, pieces, every_ms = map(int, shape.groups())
        ask = Wish(mark, pieces, every_ms / 1000, bool(_STREAM.search(asked)), bool(_USAGE.search(asked)))
        self.mark = mark
        self.world.arrived(mark)
        self.world.modes[self.world.mode](self, ask)

    def well(self, ask: Wish, slower: int = 1) -> None:
        """Answer as asked."""
        if ask.stream:
            self.transport.write(SSE)
            end = (framed(_USAGE_PIECE) if ask.usage else b"") + framed(b"data: [DONE]\n\n") + b"0\r\n\r\n"
            self.stream(ask._replace(every=ask.every * slower), ask.pieces, lambda: self.transport.write(end))
        elif slower > 1:
            self.world.loop.call_later(ask.every * slower, self.whole, ask)
        else:
            self.whole(ask)

    def stream(self, ask: Wish, until: int, then: Callable[[], None], number: int = 0) -> None:
        """Write the pieces up to ``until``, and do ``then``."""
        if self.transport.is_closing():
            return
        if number == until:
            then()
            return
        self.transport.write(_PIECE_FRAMED % (ask.mark, number, time.monotonic_ns()))
        self.world.loop.call_later(ask.every, self.stream, ask, until, then, number + 1)

    def whole(self, ask: Wish, cut: int = 0) -> None:
        """One piece of JSON, but for the last ``cut`` bytes of it."""
        body = _WHOLE % (ask.mark, 0, time.monotonic_ns())
        self.json(b"200 OK", body, b"", cut)

    def json(self, status: bytes, body: bytes, headers: bytes = b"", cut: int = 0) -> None:
        """An answer of known length."""
        head = b"HTTP/1.1 %s\r\ncontent-type: application/json\r\n%scontent-length: %d\r\n\r\n"
        self.transport.write(head % (status, headers, len(body)) + body[: len(body) - cut])


def framed(event: bytes) -> bytes:
    """An event as one chunk."""
    return b"%x\r\n%s\r\n" % (len(event), event)


def _slow(connection: Scripted, ask: Wish) -> None:
    connection.well(ask, SLOWER)


def _reset(connection: Scripted, ask: Wish) -> None:
    del ask
    connection.transport.abort()


def _cut(connection: Scripted, ask: Wish) -> None:
    """End in the midst of an answer."""
    if ask.stream:
        connection.transport.write(SSE)
        connection.stream(ask, min(BEFORE, ask.pieces), connection.transport.close)
    else:
        connection.whole(ask, cut=20)
        connection.transport.close()


def _hang(connection: Scripted, ask: Wish) -> None:
    """Begin, and then say nothing more."""
    if ask.stream:
        connection.transport.write(SSE)
        connection.stream(ask, min(BEFORE, ask.pieces), lambda: None)


def _stall(connection: Scripted, ask: Wish) -> None:
    """Say nothing at all."""


def _error(connection: Scripted, ask: Wish) -> None:
    del ask
    connection.json(b"500 Internal Server Error", b'{"error":{"message":"boom","type":"internal","code":500}}')


def _limited(connection: Scripted, ask: Wish) -> None:
    del ask
    body = b'{"error":{"message":"slow down","type":"rate_limit","code":429}}'
    connection.json(b"429 Too Many Requests", body, b"retry-after: 1\r\n")


def _undone(connection: Scripted, ask: Wish) -> None:
    """A stream that ends in order, but without its last event."""
    if ask.stream:
        connection.transport.write(SSE)
        connection.stream(ask, ask.pieces, lambda: connection.transport.write(b"0\r\n\r\n"))
    else:
        connection.whole(ask)


MODES: dict[str, Mode] = {
    "well": Scripted.well,
    "slow": _slow,
    "reset": _reset,
    "cut": _cut,
    "hang": _hang,
    "stall": _stall,
    "error": _error,
    "limited": _limited,
    "undone": _undone,
    "refuse": _reset,
}


async def serve(port: int, log: Path) -> None:
    """Listen until standard input ends; in mode "refuse" nobody listens."""
    loop = asyncio.get_running_loop()
    world = World(log)

    async def listen() -> asyncio.Server:
        return await loop.create_server(lambda: Scripted(world), "127.0.0.1", port, backlog=4096)

    server: asyncio.Server | None = await listen()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        world.mode = line.decode().strip()
        if world.mode == "refuse" and server is not None:
            server.close()
            for connection in list(world.connections):
                connection.transport.abort()
            server = None
        elif world.mode != "refuse" and server is None:
            server = await listen()


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("log", type=Path)
    args = parser.parse_args()
    uvloop.run(serve(args.port, args.log))


if __name__ == "__main__":
    main()
