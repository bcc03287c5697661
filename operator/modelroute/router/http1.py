"""The client's side of HTTP/1.1: reads requests, in order, and writes what a service answers.

Made per connection by ``app``. Knows limits, deadlines and framing; knows nothing of models. After anything that is not
clean HTTP the connection is closed.
"""

import asyncio
from collections import deque
from typing import Protocol, cast

import httptools

from modelroute.router.framing import Limits, bad_request, head_too_large, judge
from modelroute.router.openai import Refusal, timed_out, too_large
from modelroute.router.request import Request

_HIGH_WATER = 65536
_MOST_TURNS = 8
_LINGER_SECONDS = 2.0


class Running(Protocol):
    """A request that is being answered."""

    def client_gone(self) -> None:
        """The client has left; nobody waits for the answer."""

    def pause(self) -> None:
        """The client does not take what was written."""

    def resume(self) -> None:
        """The client takes more again."""

    def shut(self) -> None:
        """The router ends; tell the client what can still be told."""


class Service(Protocol):
    """Who answers the requests of one port."""

    limits: Limits
    draining: bool

    def joined(self, client: "ClientConnection") -> None:
        """A client has connected."""

    def left(self, client: "ClientConnection") -> None:
        """A client's connection is closed."""

    def admit(self, request: Request) -> Refusal | None:
        """Whether the request is to be refused for its head."""

    def serve(self, client: "ClientConnection", request: Request) -> None:
        """Answer by ``client.write`` and then ``client.finish``, now or later."""


class ClientConnection(asyncio.Protocol):
    """One connection of a client; one request after the other."""

    __slots__ = (
        "_deaf", "_head_bytes", "_in_head", "_loop", "_parser", "_partial", "_paused_at", "_service", "_serving",
        "_since", "_timer", "_transport", "_turns", "_waiting", "running",
    )  # fmt: skip

    def __init__(self, service: Service, loop: asyncio.AbstractEventLoop) -> None:
        self._service = service
        self._loop = loop
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._partial: Request | None = None
        self._serving: Request | None = None
        self._turns: deque[Request] = deque()
        self._deaf = False
        self._in_head = False
        self._head_bytes = 0
        self._since = loop.time()
        self._paused_at: float | None = None
        self._waiting = 0
        self._timer: asyncio.TimerHandle | None = None
        self.running: Running | None = None

    # Called by services and exchanges.

    @property
    def closing(self) -> bool:
        """Whether the connection closes after the answer that is being given."""
        return self._service.draining or self._serving is None or not self._serving.keep_alive

    @property
    def paused(self) -> bool:
        """Whether the client does not take what was written."""
        return self._paused_at is not None

    def write(self, data: bytes) -> None:
        """Send bytes of the answer that is being given."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def finish(self) -> None:
        """The answer is complete: on to the next request, or close."""
        closing = self.closing
        self.running = self._serving = None
        self._since = self._loop.time()
        if closing:
            self._leave()
        elif self._turns:
            self._loop.call_soon(self._advance)

    def cut(self) -> None:
        """End the connection so that the client sees that the answer is not whole."""
        self.running = None
        if self._transport is not None:
            self._transport.abort()

    def retire(self) -> None:
        """Close unless a request is being read or answered; those close when they are done."""
        if self._serving is None and self._partial is None and self._transport is not None:
            self._transport.close()

    def shut(self) -> None:
        """Tell the client that the router ends, and close."""
        if self.running is not None:
            self.running.shut()
        elif self._transport is not None:
            self._transport.abort()

    # Called by the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_HIGH_WATER)
        self._service.joined(self)
        limits = self._service.limits
        self._timer = self._loop.call_later(min(limits.read, limits.idle, limits.write), self._check)

    def data_received(self, data: bytes) -> None:
        """Parse; what comes after a refusal or a close is not looked at."""
        if self._deaf:
            return
        was_in_head = self._in_head
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._deaf = True  # never taken up; the request before it is answered and the connection closed
        except httptools.HttpParserError as error:
            self._refuse(bad_request(f"this is not valid HTTP/1.1: {error}"))
            return
        if self._in_head and was_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > self._service.limits.head:
                self._refuse(head_too_large(self._service.limits))
        partial = self._partial
        if partial is not None and partial.refusal is not None and partial.refusal.close:
            self._refuse(partial.refusal)

    def pause_writing(self) -> None:
        """Let the backend wait."""
        self._paused_at = self._loop.time()
        self._waiting = self._transport.get_write_buffer_size() if self._transport is not None else 0
        if self.running is not None:
            self.running.pause()

    def resume_writing(self) -> None:
        """Let the backend go on."""
        self._paused_at = None
        if self.running is not None:
            self.running.resume()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Tell whoever is answering."""
        self._transport = None
        self._deaf = True
        self._turns.clear()
        if self._timer is not None:
            self._timer.cancel()
        self._service.left(self)
        running, self.running = self.running, None
        if running is not None:
            running.client_gone()

    # Called by the parser.

    def on_message_begin(self) -> None:
        """A request begins."""
        if self._deaf:
            return
        self._partial = Request()
        self._in_head = True
        self._head_bytes = 0
        self._since = self._loop.time()

    def on_url(self, url: bytes) -> None:
        """Take a part of the target."""
        if self._partial is not None:
            self._partial.target += url
            self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; trailers are counted and passed over."""
        if self._partial is not None:
            self._count(len(name) + len(value) + 4)
            if self._in_head and self._partial.refusal is None:
                self._partial.take(name, value)
                if self._partial.fields > self._service.limits.fields:
                    self._partial.refusal = head_too_large(self._service.limits)

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self._service.limits.head and self._partial is not None:
            self._partial.refusal = head_too_large(self._service.limits)

    def on_headers_complete(self) -> None:
        """Judge the head before the body comes."""
        self._in_head = False
        request = self._partial
        if request is None:
            return
        request.method = self._parser.get_method().decode()
        version = self._parser.get_http_version()
        request.http11 = version == "1.1"
        request.keep_alive = request.http11 and self._parser.should_keep_alive() and not self._parser.should_upgrade()
        if request.refusal is None:
            request.refusal = judge(request, version, self._service.limits) or self._service.admit(request)
        expected = request.headers.get(b"expect")
        if expected is None or self._serving is not None or self._turns:
            return
        if request.refusal is None:
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        else:
            request.keep_alive = False

    def on_body(self, data: bytes) -> None:
        """Take a piece; of a request that is refused nothing is kept."""
        request = self._partial
        if request is None:
            return
        request.size += len(data)
        if request.size > self._service.limits.body:
            request.pieces.clear()
            request.refusal = too_large(self._service.limits.body)
        elif request.refusal is None:
            request.pieces.append(data)

    def on_message_complete(self) -> None:
        """The request is whole: its turn comes when those before it are answered."""
        request, self._partial = self._partial, None
        if request is None or self._deaf:
            return
        self._since = self._loop.time()
        if request.refusal is not None and request.refusal.close:
            request.keep_alive = False
            self._deaf = True
        self._deliver(request)

    # Turns.

    def _deliver(self, request: Request) -> None:
        if self._serving is None and not self._turns:
            self._serve(request)
            return
        self._turns.append(request)
        if len(self._turns) == _MOST_TURNS and self._transport is not None:
            self._transport.pause_reading()

    def _serve(self, request: Request) -> None:
        self._serving = request
        request.identify()
        self._service.serve(self, request)

    def _advance(self) -> None:
        if self._serving is not None or not self._turns or self._transport is None:
            return
        if len(self._turns) == _MOST_TURNS:
            self._transport.resume_reading()
        self._serve(self._turns.popleft())

    def _refuse(self, refusal: Refusal) -> None:
        """Answer in turn and read no more."""
        request = self._partial or Request()
        request.refusal, request.keep_alive = refusal, False
        self._partial = None
        self._deaf = True
        self._deliver(request)

    def _leave(self) -> None:
        """Close; a client that is still sending gets the time to read the answer before it meets a reset."""
        if self._transport is None:
            return
        self._turns.clear()
        if self._deaf and self._transport.can_write_eof():
            self._transport.write_eof()
            self._loop.call_later(_LINGER_SECONDS, self.cut)
        else:
            self._deaf = True
            self._transport.close()

    def _check(self) -> None:
        """The one timer of a connection: whether the client is too slow to send, to take, or to come again."""
        limits, now = self._service.limits, self._loop.time()
        wait = min(limits.read, limits.idle, limits.write)
        if self._paused_at is not None:
            wait = self._paused_at + limits.write - now
            if wait <= 0:
                wait = self._still_taking(now)
        elif self._partial is not None:
            wait = self._since + limits.read - now
            if wait <= 0:
                self._refuse(timed_out(408, f"the request did not come whole within {limits.read:g} s"))
        elif self._serving is None:
            wait = self._since + limits.idle - now
            if wait <= 0 and self._transport is not None:
                self._transport.abort()
        self._timer = self._loop.call_later(max(wait, 0.001), self._check)

    def _still_taking(self, now: float) -> float:
        """Give a client that took something since the last look more time, and cut one that did not."""
        left = self._transport.get_write_buffer_size() if self._transport is not None else 0
        if left >= self._waiting and self._transport is not None:
            self._transport.abort()
        self._paused_at, self._waiting = now, left
        return self._service.limits.write
