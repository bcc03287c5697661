"""Connections: bytes in, answers out, one request after the other, and a stop that waits as uvicorn's does.

`server` makes a Connection per client and hands it the application, a coroutine function from a Request to an Answer or
a Stream. A client that goes away cancels what runs for it. Nothing here knows what is served.
"""

import asyncio
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import cast

from vllm_standin.wire import BadRequestError, Parser, Request

_READ_AHEAD = 256 * 1024


@dataclass(slots=True)
class Answer:
    """A whole answer."""

    status: int
    body: bytes = b""
    content_type: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Stream:
    """A 200 whose server-sent events come one by one; `close` is called whatever becomes of them."""

    events: AsyncGenerator[bytes, None]
    close: Callable[[], None]


App = Callable[[Request], Awaitable[Answer | Stream]]


class Connections:
    """The open connections of one server, which ends those that are idle for `keep_alive` seconds after an answer."""

    def __init__(self, keep_alive: float) -> None:
        self.keep_alive = keep_alive
        self.closing = False
        self._open: set[Connection] = set()
        self._none_open = asyncio.Event()
        self._none_open.set()

    def add(self, connection: "Connection") -> None:
        """Count one in."""
        self._open.add(connection)
        self._none_open.clear()

    def remove(self, connection: "Connection") -> None:
        """Count one out."""
        self._open.discard(connection)
        if not self._open:
            self._none_open.set()

    async def shut(self) -> None:
        """Close idle connections and wait for the others, however long their clients stay."""
        self.closing = True
        for connection in list(self._open):
            connection.close_if_idle()
        await self._none_open.wait()


class Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, app: App, connections: Connections) -> None:
        self._app = app
        self._connections = connections
        self._parser = Parser()
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """End, and end what runs for this client."""
        self._connections.remove(self)
        self._stop_timer()
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        """Wait with streamed events until the client has read some."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Go on with streamed events."""
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        """Begin the next request, or keep it until the one before is answered."""
        self._stop_timer()
        self._parser.feed(data)
        if self._task is None:
            self._next()
        elif self._parser.buffered() > _READ_AHEAD:
            self._transport.pause_reading()

    def close_if_idle(self) -> None:
        """Close unless a request is being answered."""
        if self._task is None:
            self._transport.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _next(self) -> None:
        try:
            request = self._parser.next()
        except BadRequestError as error:
            headers = {"content-type": "text/plain; charset=utf-8", "connection": "close"}
            self._transport.write(_head(error.status, headers) + str(error).encode())
            self._transport.close()
            return
        if request is not None:
            self._task = asyncio.get_running_loop().create_task(self._serve(request))
        elif self._parser.wants_continue():
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    async def _serve(self, request: Request) -> None:
        keep = False
        try:
            reply = await self._app(request)
            keep = request.keep_alive and not self._connections.closing
            if isinstance(reply, Stream):
                await self._stream(reply, request, keep=keep)
            else:
                self._answer(reply, request, keep=keep)
        except Exception:  # noqa: BLE001 - a connection is an edge: one that fails is closed, the others go on
            traceback.print_exc()
            keep = False
        finally:
            self._task = None
        if keep and not self._connections.closing:
            self._transport.resume_reading()
            self._timer = asyncio.get_running_loop().call_later(self._connections.keep_alive, self.close_if_idle)
            self._next()
        else:
            self._transport.close()

    def _answer(self, reply: Answer, request: Request, *, keep: bool) -> None:
        headers = {"content-length": str(len(reply.body)), **reply.headers}
        if reply.content_type is not None:
            headers["content-type"] = reply.content_type
        if not keep:
            headers["connection"] = "close"
        head = _head(reply.status, headers)
        self._transport.write(head if request.method == "HEAD" else head + reply.body)

    async def _stream(self, reply: Stream, request: Request, *, keep: bool) -> None:
        try:
            headers = {"content-type": "text/event-stream; charset=utf-8"}
            if request.chunks_allowed:
                headers["transfer-encoding"] = "chunked"
            if not keep:
                headers["connection"] = "close"
            self._transport.write(_head(200, headers))
            async with aclosing(reply.events) as events:
                async for event in events:
                    await self._writable.wait()
                    self._transport.write(b"%x\r\n%b\r\n" % (len(event), event) if request.chunks_allowed else event)
            if request.chunks_allowed:
                self._transport.write(b"0\r\n\r\n")
        finally:
            reply.close()


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", f"date: {formatdate(usegmt=True)}"]
    lines += ["server: vllm-standin", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
