"""A client's connection: its requests one after the other, what is written to it, and how slow it may be.

Made per connection by ``app``. Knows nothing of models and never parses a byte: ``reader`` knows HTTP. Who answers is a
``Service``.
"""

import asyncio
import logging
from typing import Protocol, cast

from modelroute.router.http.framing import NEXT_REQUEST_SECONDS, Limits, overloaded, read_until
from modelroute.router.http.reader import Reader
from modelroute.router.http.request import Request, Running
from modelroute.router.http.room import Room
from modelroute.router.http.turns import Turns
from modelroute.router.surface.openai import Refusal, timed_out

log = logging.getLogger(__name__)

_HIGH_WATER = 8192
"""Bytes that wait for a client before its backend waits too. One read of a backend, at most 250,000 bytes, can come on
top: together less than 256 KiB."""
_LINGER_SECONDS = 2.0
_IDLE_ENOUGH_SECONDS = 1.0


class Service(Protocol):
    """Who answers the requests of one port."""

    limits: Limits
    room: Room
    draining: bool
    clients: "set[ClientConnection]"

    def joined(self, client: "ClientConnection") -> None:
        """A client has connected."""

    def left(self, client: "ClientConnection") -> None:
        """A client's connection is closed."""

    def admit(self, request: Request) -> Refusal | None:
        """Whether the request is to be refused for its head."""

    def serve(self, client: "ClientConnection", request: Request) -> None:
        """Answer by ``client.write`` and then ``client.finish``, now or later."""


class ClientConnection(asyncio.Protocol):
    """One connection of a client."""

    __slots__ = (
        "_full", "_loop", "_paused_at", "_reader", "_service", "_serving", "_since", "_timer", "_transport", "_turns",
        "_waited", "running",
    )  # fmt: skip

    def __init__(self, service: Service, loop: asyncio.AbstractEventLoop) -> None:
        self._service = service
        self._loop = loop
        self._reader = Reader(self, service.limits, service.room)
        self._full = False
        self._transport: asyncio.Transport | None = None
        self._serving: Request | None = None
        self._turns = Turns(service.room)
        self._since = loop.time()
        self._paused_at: float | None = None
        self._waited = 0
        self._timer: asyncio.TimerHandle | None = None
        self.running: Running | None = None

    # Called by services and exchanges.

    def closes(self) -> bool:
        """Whether the connection closes after the answer that is being given: asked for its head, which has to say."""
        if self._serving is None:
            return True
        self._serving.keep_alive &= not self._service.draining
        return not self._serving.keep_alive

    @property
    def paused(self) -> bool:
        """Whether the client does not take what was written."""
        return self._paused_at is not None

    @property
    def waiting(self) -> int:
        """Bytes that wait for the client to take them."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def write(self, data: bytes) -> None:
        """Send bytes of the answer that is being given."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def finish(self) -> None:
        """The answer is complete: on to the next request, or close."""
        served = self._serving
        if served is not None:
            self._service.room.release(served)
        self.running = self._serving = None
        self._since = self._loop.time()
        if served is None or not served.keep_alive:
            self._leave()
        elif self._turns:
            self._loop.call_soon(self._advance)
        elif self._service.draining:  # its head had told the client that it may ask again
            self._loop.call_later(NEXT_REQUEST_SECONDS, self.retire)

    def cut(self) -> None:
        """End the connection at once; an answer that is under way is seen not to be whole."""
        if self._transport is not None:
            self._transport.abort()

    def retire(self, idle: float = 0.0) -> None:
        """Close, after so many ``idle`` seconds, unless a request is read or answered; then it closes afterwards."""
        busy = self._serving is not None or self._turns or self._reader.partial is not None
        if not busy and self._transport is not None and self._loop.time() >= self._since + idle:
            self._transport.close()

    def shut(self) -> None:
        """Tell the client that the router ends, and close."""
        if self.running is not None:
            self.running.shut()
        else:
            self.cut()

    # Called by the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_HIGH_WATER)
        if not self._service.room.enter():
            self._turn_away()
            return
        self._service.joined(self)
        self._timer = self._loop.call_later(self._tick, self._check)

    def _turn_away(self) -> None:
        """Tell a client for which there is no room so, when it has asked; make room for the next ones."""
        self._full = True
        room, now = self._service.room, self._loop.time()
        for client in list(self._service.clients) if room.may_sweep(now) else ():
            client.retire(idle=_IDLE_ENOUGH_SECONDS)
        if not room.turn_away():
            self.cut()
        self._timer = self._loop.call_later(_LINGER_SECONDS, self.cut)

    def data_received(self, data: bytes) -> None:
        """Read on."""
        if self._full:
            self._reader.refuse(overloaded("connections"))
        elif not self._turns.full:
            self._reader.feed(data)
        # It is taken off the socket all the same, or nobody would see that the client has left.
        elif not self._reader.deaf and not self._turns.put_off(data):
            self._go_deaf()

    def eof_received(self) -> None:
        """Take a client that ends its side for gone: one that was killed looks the same, and its slot is dear."""
        if self.running is not None:
            self.cut()

    def pause_writing(self) -> None:
        """Let the backend wait."""
        self._paused_at = self._loop.time()
        self._waited = self.waiting
        if self.running is not None:
            self.running.pause()

    def resume_writing(self) -> None:
        """Let the backend go on."""
        self._paused_at = None
        if self.running is not None:
            self.running.resume()
        else:
            self._advance()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Tell whoever is answering."""
        self._transport = None
        self._turns.drop_all()
        self._go_deaf()
        if self._serving is not None:
            self._service.room.release(self._serving)
        if self._timer is not None:
            self._timer.cancel()
        if self._full:
            self._service.room.turned_away()
        else:
            self._service.room.leave()
            self._service.left(self)
        running, self.running = self.running, None
        if running is not None:
            running.client_gone()

    # Called by the reader.

    def begun(self) -> None:
        """The time for the request to come whole begins."""
        self._since = self._loop.time()

    def admit(self, request: Request) -> Refusal | None:
        """See ``Service``."""
        return self._service.admit(request)

    def invite(self, request: Request) -> None:
        """Ask for the body, unless it is of no use or other answers come first."""
        if request.refusal is not None:
            request.keep_alive = False  # whether a body comes is not known now
        elif self._serving is None and not self._turns:
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def take(self, request: Request) -> None:
        """Serve it when those before it are answered."""
        if self._serving is None and not self._turns and not self.paused:
            self._serve(request)
            return
        self._turns.add(request)

    # Turns.

    def _serve(self, request: Request) -> None:
        self._serving = request
        try:
            request.identify()
            self._service.serve(self, request)
        # The edge of a connection: a request that breaks the router's own code must cost nobody else anything.
        except Exception:
            log.exception("unexpected")
            request.drop()
            self.cut()

    def _advance(self) -> None:
        if self._serving is not None or not self._turns or self._transport is None or self.paused:
            return
        self._serve(self._turns.next())
        if self._turns.unread and not self._turns.full:
            data, self._turns.unread = self._turns.unread, b""
            self._since = self._loop.time()
            self._reader.feed(data)

    def _go_deaf(self) -> None:
        """Read no more; what was being read is nobody's."""
        self._reader.deaf = True
        partial, self._reader.partial = self._reader.partial, None
        if partial is not None:
            self._turns.drop(partial)

    def _leave(self) -> None:
        """Close; a client that is still sending gets the time to read the answer before it meets a reset."""
        if self._transport is None:
            return
        self._turns.drop_all()
        if self._reader.deaf and not self._transport.is_closing():
            if self._transport.can_write_eof():
                self._transport.write_eof()
            self._loop.call_later(_LINGER_SECONDS, self.cut)
        else:
            self._reader.deaf = True
            self._transport.close()

    # Deadlines: one timer per connection, which looks often enough to miss none.

    @property
    def _tick(self) -> float:
        limits = self._service.limits
        return min(limits.head_time, limits.stall, limits.read, limits.idle, limits.write)

    def _check(self) -> None:
        limits, now, reader, wait = self._service.limits, self._loop.time(), self._reader, self._tick
        if self._paused_at is not None:
            wait = self._paused_at + limits.write - now
            if wait <= 0:
                wait = self._still_taking(now)
        elif reader.partial is not None and not self._turns.full:  # what is put off is not late
            allowed = read_until(limits, reader.partial, in_head=reader.in_head)
            wait = self._since + allowed - now
            if wait <= 0:
                what = "head" if reader.in_head else "body"
                reader.refuse(timed_out(408, f"the request's {what} did not come whole within {allowed:.3g} s"))
        elif self._serving is None:
            wait = self._since + limits.idle - now
            if wait <= 0:
                self.cut()
        if self._transport is not None:
            self._timer = self._loop.call_later(max(min(wait, self._tick), 0.001), self._check)

    def _still_taking(self, now: float) -> float:
        """Give a client that took enough since the last look more time, and cut one that did not."""
        limits, left = self._service.limits, self.waiting
        if left > self._waited - max(1.0, limits.take * limits.write):
            self.cut()
        self._paused_at, self._waited = now, left
        return limits.write
