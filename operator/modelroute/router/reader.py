"""Makes requests of bytes: parses, judges heads before bodies come, holds sizes to their limits.

Owned by ``http1``, one per connection. Knows neither time nor sockets. After what is not clean HTTP it is deaf.
"""

from typing import Protocol

import httptools

from modelroute.router.framing import Limits, bad_request, head_too_large, judge
from modelroute.router.openai import Refusal, too_large
from modelroute.router.request import Request


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

    __slots__ = ("_head_bytes", "_in_head", "_limits", "_parser", "_taker", "deaf", "partial")

    def __init__(self, taker: Taker, limits: Limits) -> None:
        self._taker = taker
        self._limits = limits
        self._parser = httptools.HttpRequestParser(self)
        self._in_head = False
        self._head_bytes = 0
        self.deaf = False
        self.partial: Request | None = None

    def feed(self, data: bytes) -> None:
        """Take bytes; what comes after a refusal that closes is not looked at."""
        if self.deaf:
            return
        was_in_head = self._in_head
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.deaf = True  # never taken up; the request is answered and the connection closed
        except httptools.HttpParserError as error:
            self.refuse(bad_request(f"this is not valid HTTP/1.1: {error}"))
            return
        partial = self.partial
        if partial is None:
            return
        if self._in_head and was_in_head:
            # A header that goes on and on is not told of by the parser before it ends.
            self._head_bytes += len(data)
            if self._head_bytes > self._limits.head:
                partial.refusal = head_too_large(self._limits)
        if partial.refusal is not None and (partial.refusal.close or partial.expects):
            self.refuse(partial.refusal)

    def refuse(self, refusal: Refusal) -> None:
        """Hand over what came of a request as one that is refused, and be deaf."""
        if self.deaf:
            return
        request = self.partial or Request()
        self.partial = None
        request.refusal = refusal
        request.keep_alive = False
        self.deaf = True
        self._taker.take(request)

    def _hand_over(self, request: Request) -> None:
        if request.refusal is not None and request.refusal.close:
            request.keep_alive = False
            self.deaf = True
        self._taker.take(request)

    # Called by the parser.

    def on_message_begin(self) -> None:
        """A request begins."""
        if self.deaf:
            return
        self.partial = Request()
        self._in_head = True
        self._head_bytes = 0
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
        if self._in_head and request.refusal is None:
            request.take(name, value)
            if request.fields > self._limits.fields:
                request.refusal = head_too_large(self._limits)

    def _count(self, request: Request, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self._limits.head:
            request.refusal = head_too_large(self._limits)

    def on_headers_complete(self) -> None:
        """Judge the head before the body comes."""
        self._in_head = False
        request = self.partial
        if request is None:
            return
        parser = self._parser
        version = parser.get_http_version()
        request.method = parser.get_method().decode()
        request.http11 = version == "1.1"
        request.keep_alive = request.http11 and parser.should_keep_alive() and not parser.should_upgrade()
        if request.refusal is None:
            request.refusal = judge(request, version, self._limits) or self._taker.admit(request)
        if request.expects:
            self._taker.invite(request)

    def on_body(self, data: bytes) -> None:
        """Take a piece; of a request that is refused nothing is kept."""
        request = self.partial
        if request is None:
            return
        request.size += len(data)
        if request.size > self._limits.body:
            request.pieces.clear()
            request.refusal = too_large(self._limits.body)
        elif request.refusal is None:
            request.pieces.append(data)

    def on_message_complete(self) -> None:
        """The request is whole."""
        request, self.partial = self.partial, None
        if request is not None and not self.deaf:
            self._hand_over(request)
