"""Makes requests of bytes: parses, judges heads before bodies come, holds sizes to their limits.

Owned by ``http1``, one per connection. Knows neither time nor sockets. After what is not clean HTTP it is deaf, and
after a request that closes the connection it takes no other.
"""

from typing import Protocol

import httptools

from modelroute.router.http.framing import Limits, bad_request, head_too_large, judge, overloaded
from modelroute.router.http.plain import Recall, plain_request
from modelroute.router.http.request import Request
from modelroute.router.http.room import Room
from modelroute.router.surface.openai import Refusal, too_large

_BLANK = b"\r\n"
_FRAME_BYTES = 16
"""Bytes of framing for each byte of a chunked body that are let pass: one to a chunk takes six."""

_SMALL_DIGITS = 5
"""A length of so many digits finds room when it comes."""
_FRAMING = (b"content-length", b"transfer-encoding")


class Taker(Protocol):
    """Who takes the requests that were read."""

    def begun(self) -> None:
        """The first byte of a request has come."""

    def admit(self, request: Request) -> Refusal | None:
        """Whether a request is to be refused for its head."""

    def invite(self, request: Request) -> None:
        """The client waits for a word before it sends the body."""

    def take(self, request: Request) -> None:
        """A request came whole, or is refused."""


class Reader:
    """The requests of one connection."""

    __slots__ = (
        "_around", "_ended", "_head_bytes", "_last", "_limits", "_parser", "_recall", "_room", "_taker", "_upgrade",
        "deaf", "in_head", "partial",
    )  # fmt: skip

    def __init__(self, taker: Taker, limits: Limits, room: Room) -> None:
        self._taker = taker
        self._limits = limits
        self._room = room
        self._parser = httptools.HttpRequestParser(self)
        self._head_bytes = 0
        self._around = 0  # bytes that are of no request, or of a head that goes on, or frame a body
        self._last = False
        self._upgrade = self._ended = False
        self._recall = Recall()
        self.in_head = False
        self.deaf = False
        self.partial: Request | None = None

    def feed(self, data: bytes) -> None:
        """Take bytes; what comes after a refusal that closes is not looked at."""
        if self.deaf:
            return
        before = self.partial
        if before is None and self._take_plain(data):
            return
        in_head, size = self.in_head or before is None, 0 if before is None else before.size
        self._ended = False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._pass_over(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._spoiled(error)
            return
        partial = self.partial
        if partial is None:
            if before is None and data[:1] in _BLANK:
                self._count_blank(data)
            return
        if partial is before or (before is None and not self._ended):  # all of the data is this request's
            self._watch(partial, len(data), size, was_in_head=in_head)
        refusal = partial.refusal
        if refusal is not None and (refusal.close or partial.expects):
            self.refuse(refusal)

    def _take_plain(self, data: bytes) -> bool:
        """Take a request that is whole and plain past the parser; what is called is what the parser would call."""
        if self._last or self._around:
            return False
        limits, recalled = self._limits, self._recall.again(data)
        plain = recalled or plain_request(data, limits.head)
        if plain is None or len(plain.headers) > limits.fields:
            return False
        request = self.partial = Request()
        self._taker.begun()
        request.method, request.target, request.headers, body = plain
        request.fields = len(request.headers)
        request.keep_alive = True
        if recalled is None:
            request.refusal = judge(request, "1.1", limits)
            if request.refusal is None:
                self._recall.keep(data, plain)
        if request.refusal is None:
            request.refusal = self._admit(request)
        if body:
            self.on_body(body)
        self.on_message_complete()
        return True

    def refuse(self, refusal: Refusal) -> None:
        """Hand over what came of a request as one that is refused, and be deaf."""
        if self.deaf:
            return
        self.deaf = True
        if self._last and self.partial is None:
            return  # bytes behind a request that closes are nobody's
        request = self.partial or Request()
        self.partial = None
        request.refusal = refusal
        request.keep_alive = False
        self._room.release(request)
        self._taker.take(request)

    def _spoiled(self, error: httptools.HttpParserError) -> None:
        """Refuse what cannot be parsed; wherever the bytes were cut, a refusal of the head comes first."""
        told = self.partial.refusal if self.partial is not None else None
        self.refuse(told if told is not None and told.close else bad_request(f"this is not valid HTTP/1.1: {error}"))

    # What the parser does not tell of.

    def _watch(self, request: Request, count: int, size: int, *, was_in_head: bool) -> None:
        """Hold a head, or the framing of a body, to its limit though it goes on and on."""
        if self.in_head:
            self._around += count
            if self._around > self._limits.head:
                request.refusal = head_too_large(self._limits)
        elif not was_in_head:
            self._around += count - (request.size - size)
            if self._around > self._limits.head + _FRAME_BYTES * request.size:
                request.refusal = bad_request("there is far more around the body's chunks than in them")

    def _count_blank(self, data: bytes) -> None:
        self._around += len(data) - len(data.lstrip(_BLANK))
        if self._around > self._limits.head:
            self.refuse(bad_request("there are too many empty lines and no request"))

    def _pass_over(self, rest: bytes) -> None:
        """Pass over a wish to upgrade. The parser would also pass over the body that came with it."""
        request = self.partial
        if request is None:
            self.deaf = True
            return
        self._upgrade = False
        frame = [b"%b: %b\r\n" % (n, request.headers[n]) for n in _FRAMING if n in request.headers]
        self._parser = httptools.HttpRequestParser(_Body(self))
        try:
            self._parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % b"".join(frame))
            if rest:
                self._parser.feed_data(rest)
        except httptools.HttpParserUpgrade:
            self.deaf = True  # of what came behind the request
        except httptools.HttpParserError as error:
            self._spoiled(error)

    # Called by the parser.

    def on_message_begin(self) -> None:
        """A request begins."""
        if self.deaf or self._last:
            return
        self.partial = Request()
        self.in_head = True
        self._head_bytes = self._around = 0
        self._taker.begun()

    def on_url(self, url: bytes) -> None:
        """Take a part of the target."""
        if self.partial is not None:
            self.partial.target += url
            self._count(self.partial, len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; trailers are counted and passed over."""
        request = self.partial
        if request is None:
            return
        self._count(request, len(name) + len(value) + 4)
        if request.refusal is not None:
            return
        if self.in_head:
            request.take(name, value)
        else:
            request.fields += 1
        if request.fields > self._limits.fields:
            request.refusal = head_too_large(self._limits)

    def _count(self, request: Request, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self._limits.head:
            request.refusal = head_too_large(self._limits)

    def on_headers_complete(self) -> None:
        """Judge the head before the body comes."""
        self.in_head = False
        self._around = 0
        request = self.partial
        if request is None:
            return
        parser = self._parser
        version = parser.get_http_version()
        request.method = parser.get_method().decode()
        request.http11 = version == "1.1"
        request.keep_alive = request.http11 and parser.should_keep_alive()
        if parser.should_upgrade():
            request.keep_alive = False
            self._upgrade = request.has_body
        if request.refusal is None:
            request.refusal = judge(request, version, self._limits) or self._admit(request)
        if request.expects:
            self._taker.invite(request)

    def _admit(self, request: Request) -> Refusal | None:
        length = request.headers.get(b"content-length", b"")
        if len(length) > _SMALL_DIGITS and not self._room.fits(int(length)):
            return overloaded("large bodies")
        return self._taker.admit(request)

    def on_body(self, data: bytes) -> None:
        """Take a piece; of a request that is refused nothing is kept."""
        request = self.partial
        if request is None:
            return
        if request.refusal is not None:
            request.size += len(data)
            if request.size > self._limits.body:
                request.refusal = too_large(self._limits.body)
            return
        request.add(data)
        if request.size > self._limits.body:
            request.refusal = too_large(self._limits.body)
        elif not self._room.hold(request, len(data)):
            request.refusal = overloaded("bodies")
        else:
            return
        self._room.release(request)

    def on_message_complete(self) -> None:
        """The request is whole."""
        request = self.partial
        if request is None or self.deaf or self._upgrade:
            return
        self.partial, self._ended = None, True
        if request.refusal is not None and request.refusal.close:
            request.keep_alive = False
            self.deaf = True
            self._room.release(request)
        self._last = not request.keep_alive
        self._taker.take(request)


class _Body:
    """Hears of the body of a request whose head was read before."""

    def __init__(self, reader: Reader) -> None:
        self.on_body = reader.on_body
        self.on_message_complete = reader.on_message_complete
