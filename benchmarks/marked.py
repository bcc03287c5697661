"""Clients that can tell their own answer from any other: every piece carries the mark of its request and its number.

Called by ``load`` and ``faulty``. An answer ends in exactly one of ``ENDS``. Never knows what the upstreams were told.
"""

import asyncio
import enum
import re
import time
from collections.abc import Callable
from typing import NamedTuple, cast

import httptools

from benchmarks.routes import key
from benchmarks.scripted import shaped


class End(enum.Enum):
    """How a request can end, as its client sees it."""

    WHOLE = "whole"
    REFUSED = "refused"  # an error status with an OpenAI error body, before anything of an answer
    TOLD = "cut, with an error event"
    SILENT = "cut without an error event"
    LOST = "lost"  # no answer at all: the connection was closed or nothing came
    WRONG = "wrong"  # another's mark, a piece missing or double, an error without a body that says so
    LEFT = "hung up"  # by the client itself


class Ask(NamedTuple):
    """A request: its ``mark`` is no other's; ``leave`` hangs up after so many pieces (0: never)."""

    mark: int
    pieces: int
    every_ms: int
    stream: bool
    leave: int = 0


_PIECE = re.compile(rb"m(\d{10}) (\d{6}) (\d{19})")


class Marked(asyncio.Protocol):
    """One kept connection; ``idle`` when the next request may be asked."""

    def __init__(self, port: int, ended: "Callable[[Marked, Ask, End], None]", client: int = 0) -> None:
        self._head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {key(client)}\r\nx-user: user-{client}\r\nContent-Length: "
        ).encode()
        self._ended = ended
        self._ask: Ask | None = None
        self._transport: asyncio.WriteTransport
        self.delay: Callable[[float], None] | None = None  # told the seconds that each piece was on its way
        self.open = False
        self.asked = self.first = self.last = 0.0  # monotonic seconds; first: of the answer's first piece, 0: none yet
        self.status = 0
        self.phase = ""
        self.clean = False  # whether the answer came to its end, as HTTP has it

    @property
    def idle(self) -> bool:
        """Whether it is connected and waits for nothing."""
        return self.open and self._ask is None

    @property
    def ask(self) -> Ask | None:
        """What it waits for."""
        return self._ask

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be ready."""
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop does not derive from it
        self.open = True

    def send(self, ask: Ask) -> None:
        """Ask; the end is told to ``ended``, once."""
        self._ask = ask
        body = shaped(ask.mark, ask.pieces, ask.every_ms, stream=ask.stream)
        self._parser = httptools.HttpResponseParser(self)
        self._tail = b""
        self._next = self.status = 0
        self._done = self._error = self._wrong = self.clean = False
        self.first = 0.0
        self.asked = time.monotonic()
        self._transport.write(b"%b%d\r\n\r\n%b" % (self._head, len(body), body))

    def data_received(self, data: bytes) -> None:
        """Take in what came."""
        if self._ask is None:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._end(End.WRONG)

    def on_headers_complete(self) -> None:
        """See what kind of answer it is."""
        self.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        """Check each whole event in it."""
        ask = self._ask
        if ask is None:
            return
        data = self._tail + body if self._tail else body
        if ask.stream and self.status == 200:
            end = data.rfind(b"\n\n") + 2
            if end < 2:
                self._tail = data
                return
            data, self._tail = data[:end], data[end:]
        else:
            self._tail, data = data, b""
        self._check(ask, data)
        if ask.leave and self._next >= ask.leave:
            self._end(End.LEFT)

    def _check(self, ask: Ask, data: bytes) -> None:
        for piece in _PIECE.finditer(data):
            if int(piece[1]) != ask.mark or int(piece[2]) != self._next:
                self._wrong = True
            self._next += 1
            if not self.first:
                self.first = time.monotonic()
            if self.delay is not None:
                self.delay((time.monotonic_ns() - int(piece[3])) / 1e9)
        if b'"error"' in data:
            self._error = True
        if b"data: [DONE]" in data:
            self._done = True

    def on_message_complete(self) -> None:
        """The answer is over, as HTTP has it."""
        ask = self._ask
        if ask is None:
            return
        self.clean = True
        rest, self._tail = self._tail, b""
        self._check(ask, rest)
        if not self._parser.should_keep_alive():
            self.close()
        self._end(self._judged(ask))

    def _judged(self, ask: Ask) -> End:
        if self._wrong:
            return End.WRONG
        if self.status != 200:
            return End.REFUSED if self._error and self.status >= 400 else End.WRONG
        if self._error:
            return End.TOLD
        if ask.stream and not self._done:
            return End.SILENT
        return End.WHOLE if self._next == (ask.pieces if ask.stream else 1) else End.WRONG

    def connection_lost(self, exc: Exception | None) -> None:
        """Whatever was asked ends now."""
        del exc
        self.open = False
        if self._ask is not None:
            begun = self.status == 200
            self._end(End.TOLD if self._error and begun else End.SILENT if begun else End.LOST)

    def give_up(self) -> None:
        """Nothing came for too long."""
        if self._ask is not None:
            self._end(End.LOST)

    def close(self) -> None:
        """Close the connection."""
        self.open = False
        self._transport.close()

    def _end(self, end: End) -> None:
        ask, self._ask = self._ask, None
        self.last = time.monotonic()
        if end is not End.WHOLE and end is not End.REFUSED:
            self.close()
        if ask is not None:
            self._ended(self, ask, end)
