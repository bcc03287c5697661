"""A backend on a real socket that does, request by request, what a script says. Used by the dataplane's tests."""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self

OPENER = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
DONE = b"data: [DONE]\n\n"


@dataclass
class Received:
    """A request as the backend saw it."""

    line: str
    headers: dict[str, str]
    body: bytes
    connection: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def path(self) -> str:
        return self.line.split(" ")[1]


@dataclass
class Wire:
    """What a script may do on the connection that the request came by."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    def raw(self, data: bytes) -> None:
        self.writer.write(data)

    def head(self, status: int = 200, **headers: str) -> None:
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        self.raw(f"HTTP/1.1 {status} Any\r\n{lines}\r\n".encode())

    def stream(self) -> None:
        self.head(content_type="text/event-stream", transfer_encoding="chunked")

    def chunk(self, data: bytes) -> None:
        self.raw(b"%x\r\n%b\r\n" % (len(data), data))

    def end(self) -> None:
        self.raw(b"0\r\n\r\n")

    def reset(self) -> None:
        self.writer.transport.abort()

    async def gone(self) -> None:
        """Until the router has closed the connection."""
        while await self.reader.read(65536):
            pass
        self.closed.set()


Script = Callable[[Received, Wire], Awaitable[None]]


class Upstream:
    """The backend. Scripts are used up one a request; the last one stays."""

    def __init__(self, *scripts: Script) -> None:
        self.scripts = list(scripts) or [answers()]
        self.received: list[Received] = []
        self.connections = 0
        self.open: set[asyncio.StreamWriter] = set()
        self.arrived = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.host, self.port = "127.0.0.1", 0

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.deafen()
        for writer in list(self.open):
            writer.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def listen(self, tls: ssl.SSLContext | None = None) -> None:
        self._server = await asyncio.start_server(self._serve, self.host, self.port, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]

    def deafen(self) -> None:
        """Refuse connections from now on; those that are open stay."""
        if self._server is not None:
            self._server.close()
            self._server = None

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    async def seen(self, count: int) -> None:
        """Until so many requests have come."""
        async with self.arrived:
            await self.arrived.wait_for(lambda: len(self.received) >= count)

    async def left(self) -> None:
        """Until the router has closed all its connections."""
        async with self.arrived:
            await self.arrived.wait_for(lambda: not self.open)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        number = self.connections
        self.open.add(writer)
        try:
            while True:
                request = await _read(reader, number)
                async with self.arrived:
                    self.received.append(request)
                    self.arrived.notify_all()
                script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
                await script(request, Wire(reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self.open.discard(writer)
            writer.close()
            async with self.arrived:
                self.arrived.notify_all()
            self._tasks.discard(task)


async def _read(reader: asyncio.StreamReader, number: int) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *rest = head.rstrip("\r\n").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in rest)}
    return Received(line, headers, await reader.readexactly(int(headers.get("content-length", "0"))), number)


# Scripts.


def answers(body: Any = None, status: int = 200, **headers: str) -> Script:
    """A whole JSON answer; bytes are sent as they are."""
    content = (
        {"id": "1", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 5}} if body is None else body
    )
    data = content if isinstance(content, bytes) else json.dumps(content).encode()

    async def script(_: Received, wire: Wire) -> None:
        wire.head(status, **{"content_type": "application/json", "content_length": str(len(data)), **headers})
        wire.raw(data)

    return script


def text(content: str) -> bytes:
    """An event that carries text."""
    delta = {"choices": [{"index": 0, "delta": {"content": content}, "finish_reason": None}]}
    return b"data: " + json.dumps(delta, separators=(",", ":")).encode() + b"\n\n"


def streams(*events: bytes) -> Script:
    """A streamed answer, all at once."""

    async def script(_: Received, wire: Wire) -> None:
        wire.stream()
        for event in events or (OPENER, text("a"), text("b"), DONE):
            wire.chunk(event)
        wire.end()

    return script


def sends(data: bytes, *, then_close: bool = False) -> Script:
    """Just these bytes."""

    async def script(_: Received, wire: Wire) -> None:
        wire.raw(data)
        if then_close:
            await wire.writer.drain()
            wire.writer.close()

    return script


async def silent(_: Received, wire: Wire) -> None:
    """Never a byte."""
    await wire.gone()


async def resets(_: Received, wire: Wire) -> None:
    """The connection breaks before an answer begins."""
    wire.reset()


async def closes(_: Received, wire: Wire) -> None:
    """The connection is closed before an answer begins."""
    wire.writer.close()
