"""One answer of a backend on its way to the client: held while it is short, passed on piece by piece when streamed.

Made by ``attempt`` for each answer that begins. An answer that is held has cost the client nothing yet, so another
backend may still take over. Never decides that.
"""

from modelroute.router.http.http1 import ClientConnection
from modelroute.router.http.replies import LAST_CHUNK, as_event, chunk, error_event, framed, status_line, whole
from modelroute.router.http.request import Request
from modelroute.router.http.upstream import Headers
from modelroute.router.surface.body import USAGE_KINDS, Ask
from modelroute.router.surface.openai import Kind, Refusal, is_json
from modelroute.router.surface.sse import Meter, Usage, usage_in
from modelroute.router.surface.unasked import Unasked

HOLD_LIMIT = 262144
"""Bytes of an answer that is not streamed that are held until it is whole; what is longer is passed on as it comes."""

_PASSED = {b"content-type", b"content-encoding", b"cache-control", b"retry-after"}
_PASSED_PREFIX = b"x-ratelimit-"
_TAIL = 4096
_FREE_FORM = frozenset({Kind.TRANSCRIPTIONS, Kind.TRANSLATIONS})  # text and subtitles, too


def passed_on(headers: Headers, *, error: bool = False) -> bytes:
    """The header lines of an answer that clients may see; of an ``error``, whose body is ours, those about waiting."""
    passed = {b"retry-after"} if error else _PASSED
    return b"".join(
        b"%b: %b\r\n" % (name, value) for name, value in headers if name in passed or name.startswith(_PASSED_PREFIX)
    )


class Answer:
    """Status, head and body as they come."""

    __slots__ = (
        "_ask", "_chunked", "_client", "_headers", "_held", "_opened", "_request", "_tail", "_told", "_unasked",
        "events", "held_size", "meter", "status",
    )  # fmt: skip

    def __init__(
        self,
        client: ClientConnection,
        request: Request,
        ask: Ask,
        status: int,
        headers: Headers,
        *,
        opened: bool = False,
    ) -> None:
        self._client = client
        self._request = request
        self._ask = ask
        self._opened = opened  # the client has a head already, and a comment or more
        self._headers = headers
        self._held: list[bytes] = []
        self._tail = b""
        self._chunked = request.http11
        self.status = status
        self.held_size = 0
        kind = next((value for name, value in headers if name == b"content-type"), b"")
        self.events = status == 200 and kind.lower().startswith(b"text/event-stream")
        self.meter = Meter(ask.kind)
        self._told = Usage()
        wished = self.events and ask.stream and not ask.streams_usage and ask.kind in USAGE_KINDS
        self._unasked = Unasked() if wished else None

    def header(self, name: bytes) -> bytes:
        """The value of a header (lower case); empty when there is none."""
        return next((value for found, value in self._headers if found == name), b"")

    @property
    def is_valid(self) -> bool:
        """Whether what is held is what was asked for: JSON, but of audio and of what is packed."""
        if self._ask.kind in _FREE_FORM or self.header(b"content-encoding"):
            return bool(self.held_size)
        return is_json(self.held)

    @property
    def error_headers(self) -> bytes:
        """The header lines that go with the backend's error."""
        return passed_on(self._headers, error=True)

    @property
    def held(self) -> bytes:
        """What is held of the body."""
        return self._held[0] if len(self._held) == 1 else b"".join(self._held)

    def hold(self, data: bytes) -> None:
        """Keep a piece."""
        self._held.append(data)
        self.held_size += len(data)

    def send_whole(self, own: bytes) -> Usage:
        """Send the answer that is held, with our ``own`` header lines."""
        body = self.held
        close = self._client.closing
        if self._opened:
            self._client.write(framed(self._request, as_event(body)) + (LAST_CHUNK if self._chunked else b""))
            return usage_in(body)
        self._client.write(whole(self._request, self.status, passed_on(self._headers) + own, body, close=close))
        return usage_in(body)

    def begin(self, own: bytes, data: bytes) -> None:
        """Send the head, if the client has none yet, and ``data`` behind it."""
        if self._opened:
            self.more(data)
            return
        frame = b"transfer-encoding: chunked\r\n" if self._chunked else b""
        close = b"connection: close\r\n\r\n" if self._client.closing else b"\r\n"
        head = b"".join((status_line(self.status), passed_on(self._headers), own, frame, close))
        shown = self._watch(data)
        self._client.write(head + chunk(shown) if self._chunked and shown else head + shown)

    def more(self, data: bytes) -> None:
        """Send the next piece."""
        if shown := self._watch(data):
            self._client.write(chunk(shown) if self._chunked else shown)

    def _watch(self, data: bytes) -> bytes:
        """Count what passes by; returns what of it the client gets."""
        if self.events:
            self.meter.feed(data)
            return data if self._unasked is None else self._unasked.feed(data)
        if not self._tail:
            self._told = usage_in(data[:_TAIL])
        self._tail = (self._tail + data)[-_TAIL:]
        return data

    def end(self) -> Usage:
        """Send the end of what has begun; returns the tokens that it told of or that were counted."""
        rest = self._unasked.rest() if self._unasked is not None else b""
        if self._chunked:
            self._client.write(chunk(rest) + LAST_CHUNK if rest else LAST_CHUNK)
        elif rest:
            self._client.write(rest)
        return self.usage()

    def usage(self) -> Usage:
        """The tokens so far."""
        if not self.events:
            return self._told.then(usage_in(self._tail))
        told = self.meter.usage
        return told if told.completion is not None else told._replace(completion=self.meter.texts)

    def break_off(self, refusal: Refusal) -> None:
        """Tell the client that no more comes: by an event where it reads events, else by an end that is not clean."""
        if not self.events:
            self._client.cut()
            return
        event = error_event(refusal, self._ask.dialect, fresh_line=self.meter.fresh_line)
        self._client.write(chunk(event) + LAST_CHUNK if self._chunked else event)
