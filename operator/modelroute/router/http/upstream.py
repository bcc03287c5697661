"""One connection to a backend: writes a request, parses the answer, tells the attempt that owns it what comes.

Made by ``dial``, kept by ``endpoints``, used by ``attempt``. Never waits and never decides; after whatever is not clean
HTTP it closes, and it never serves another request then.
"""

import asyncio
import select
from typing import Protocol, cast

import httptools

from modelroute.router.http.plain import plain_answer

HEAD_LIMIT = 65536
"""Bytes of a head, and of what stands around a body without a byte of it in between."""
Headers = dict[bytes, bytes]
"""Of a field that came twice the first."""
_FRAMES = (b"content-length", b"transfer-encoding")


class Asker(Protocol):
    """Who asked, and hears of the answer, in this order: head, data, then end or lost, once."""

    def on_head(self, status: int, headers: Headers) -> None:
        """The answer's head is there; names of headers are in lower case."""

    def on_data(self, data: bytes, *, last: bool) -> None:
        """A piece of the body; ``last`` when nothing but ``on_end`` comes after it."""

    def on_end(self) -> None:
        """The answer came whole. The connection no longer belongs to the asker."""

    def on_lost(self, problem: str, *, malformed: bool) -> None:
        """There will be no more: the connection was lost, or what came was ``malformed``."""


class Home(Protocol):
    """Where a connection waits between two requests."""

    idle: "list[Upstream]"

    def give_back(self, connection: "Upstream", now: float) -> None:
        """Keep it for the next request, or close it."""


class Upstream(asyncio.Protocol):
    """A connection, idle or owned by one asker."""

    __slots__ = (
        "_around", "_asker", "_complete", "_dirty", "_head_done", "_head_size", "_headers", "_home", "_keep", "_loop",
        "_parser", "_paused", "_pieces", "_poll", "_problem", "_received", "_skip", "_status", "_told", "_transport",
        "_until_close", "address", "idle_since",
    )  # fmt: skip

    def __init__(self, home: Home, loop: asyncio.AbstractEventLoop) -> None:
        self._home = home
        self.idle_since = 0.0
        self.address = ""  # that ``dial`` has connected to
        self._paused = False
        self._poll: select.poll | None = None
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._asker: Asker | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._begin()

    def _begin(self) -> None:
        self._headers: Headers = {}
        self._pieces: list[bytes] = []
        self._problem = ""  # why what came is no answer, though the parser took it
        self._status = self._received = self._head_size = self._around = 0
        self._told = self._head_done = self._complete = self._dirty = self._skip = self._keep = self._until_close = (
            False
        )

    # Called by the asker.

    def ask(self, asker: Asker, head: bytes, body: bytes) -> None:
        """Send a request; ``asker`` hears of the answer."""
        self._begin()
        self._asker = asker
        if self._paused:
            self.resume()
        if self._transport is None or self._transport.is_closing():
            self._loop.call_soon(self._lose, "it was closed")
        elif len(body) < HEAD_LIMIT:
            self._transport.write(head + body)
        else:
            self._transport.writelines((head, body))

    def is_quiet(self) -> bool:
        """Whether nothing has come since the last answer, be it the end; what has come may not have been read yet."""
        if self._transport is None or self._transport.is_closing():
            return False
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self._transport.get_extra_info("socket"), select.POLLIN)
        return not self._poll.poll(0)

    @property
    def silent(self) -> bool:
        """Whether not one byte of an answer has come."""
        return self._received == 0

    def pause(self) -> None:
        """Read no more until ``resume``: the client is slower than the backend."""
        if self._transport is not None and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        self._paused = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self) -> None:
        """Give the connection up at once; nobody hears of it any more."""
        self._asker = None
        if self._transport is not None:
            self._transport.abort()

    # Called by the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Parse and pass on; bytes that nobody asked for close the connection."""
        if self._asker is None:
            self.close()
            return
        if not self._received and (plain := plain_answer(data)) is not None:
            self._received = len(data)
            self._status, self._headers, body = plain
            self._head_done = self._keep = self._complete = True
            self._judge()
            if body:
                self._pieces.append(body)
            self._pass_on()
            return
        self._received += len(data)
        self._around += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._complete:
                self._lose(f"its answer is not valid HTTP: {error}", malformed=True)
                return
            self._dirty = True
        if self._around > HEAD_LIMIT + (len(data) if self._head_done else 0):
            self._problem = "there is too much around its answer's body, or in its head"
        if self._head_done or self._problem:
            self._pass_on()

    def _pass_on(self) -> None:
        asker = self._asker
        if asker is None:
            return
        if self._problem:
            self._lose(self._problem, malformed=True)
            return
        if not self._told:
            self._told = True
            asker.on_head(self._status, self._headers)
        if self._pieces and self._asker is asker:
            data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
            self._pieces.clear()
            asker.on_data(data, last=self._complete)
        if self._complete and self._asker is asker:
            self._end(asker)

    def _end(self, asker: Asker) -> None:
        self._asker = None
        unsent = self._transport is not None and self._transport.get_write_buffer_size()
        if self._dirty or not self._keep or unsent:  # what it has not read yet would come before the next request
            self.close()
        else:
            if self._paused:
                self.resume()
            self._home.give_back(self, self._loop.time())
        asker.on_end()

    def eof_received(self) -> None:
        """The end of an answer that has no length, else a loss, of which ``connection_lost`` tells."""
        asker = self._asker
        if asker is not None and self._head_done and self._until_close:
            self._complete = True
            self._end(asker)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the asker, or leave the idle ones."""
        self._transport = None
        if self._asker is not None:
            self._lose("it closed the connection" if exc is None else f"the connection broke: {exc}")
        elif self in self._home.idle:
            self._home.idle.remove(self)

    def _lose(self, problem: str, *, malformed: bool = False) -> None:
        asker = self._asker
        self.close()
        if asker is not None:
            asker.on_lost(problem, malformed=malformed)

    # Called by the parser.

    def on_message_begin(self) -> None:
        """A second answer to one request is dropped, with the connection."""
        self._skip = self._dirty = self._complete

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; trailers are passed over."""
        if self._head_done:
            return
        name = name.lower()
        self._head_size += len(name) + len(value) + 4
        if name in self._headers and name in _FRAMES:
            self._problem = f"its answer has more than one {name.decode()}"
        self._headers.setdefault(name, value)

    def on_headers_complete(self) -> None:
        """Take the status; heads below 200 only announce the real one."""
        if self._skip:
            return
        status = self._parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            self._headers.clear()
            return
        self._head_done = True
        self._status = status
        self._keep = self._parser.should_keep_alive()
        coding = self._headers.get(b"transfer-encoding")
        self._until_close = status not in {204, 304} and coding is None and b"content-length" not in self._headers
        version = self._parser.get_http_version()
        if version not in {"1.0", "1.1"} or (coding is not None and (version == "1.0" or coding.lower() != b"chunked")):
            self._problem = "its answer is framed in a way that HTTP/1.1 does not know"
        self._judge()

    def _judge(self) -> None:
        """Find fault with a head that is well formed."""
        if not 200 <= self._status < 600:
            self._problem = f"{self._status} is not the status of an answer"
        elif self._head_size > HEAD_LIMIT:
            self._problem = "the head of its answer is too large"
        elif self._headers.get(b"content-encoding", b"identity").lower() != b"identity":
            self._problem = "its answer is packed, though it was asked not to be"

    def on_body(self, data: bytes) -> None:
        """Keep a piece until all that was read is parsed."""
        self._around = 0
        if not self._skip:
            self._pieces.append(data)

    def on_message_complete(self) -> None:
        """The end, unless it was only an announcement."""
        self._complete = self._head_done
