"""One answer of a backend on its way to the client: held while it is short, passed on piece by piece when streamed.

Made by ``attempt`` for each answer that begins. An answer that is held has cost the client nothing yet, so another
backend may still take over. Never decides that.
"""

from modelroute.policy.retry import retry_after
from modelroute.router.flow.job import Job
from modelroute.router.http.replies import LAST_CHUNK, as_event, chunk, error_event, framed, status_line, whole
from modelroute.router.http.upstream import Headers
from modelroute.router.replicas.target import Target
from modelroute.router.surface.body import USAGE_KINDS
from modelroute.router.surface.lines import Lines
from modelroute.router.surface.openai import Refusal
from modelroute.router.surface.sse import Meter, tells_failure
from modelroute.router.surface.unasked import Unasked
from modelroute.router.surface.usage import NO_USAGE, Usage, greatest_in
from modelroute.router.surface.whole import Said, may_begin, said_in

HOLD_LIMIT = 262144
"""Bytes of an answer that is not streamed that are held until it is whole; what is longer is passed on as it comes."""

_PASSED = (b"content-type", b"cache-control", b"retry-after")
_LIMITS = tuple(
    b"x-ratelimit-%b-%b" % (what, of) for what in (b"limit", b"remaining", b"reset") for of in (b"requests", b"tokens")
)
_TAIL = 4096
_UNFED, _UNCUT = Meter(), Lines()  # of answers that are no streams of events


class Answer:
    """Status, head and body as they come."""

    __slots__ = (
        "_ask", "_chunked", "_client", "_erring", "_headers", "_held", "_kept", "_lines", "_opened", "_request",
        "_said", "_tail", "_target", "_told", "_unasked", "events", "held_size", "meter", "since", "status",
    )  # fmt: skip

    def __init__(
        self, job: Job, target: Target, status: int, headers: Headers, *, opened: bool = False, since: float = 0.0
    ) -> None:
        """``opened``: the client has a head already, and a comment or more; ``since``: when the backend was asked."""
        self._client, self._request, self._ask = job.client, job.request, job.ask
        self._target = target
        self._opened = opened
        self.since = since
        self._headers = headers
        self._held: list[bytes] = []
        self._tail = b""
        self._chunked = job.request.http11
        self.status = status
        self.held_size = 0
        ask = job.ask
        self.events = status == 200 and headers.get(b"content-type", b"").lower().startswith(b"text/event-stream")
        self.meter = Meter(ask.kind) if self.events else _UNFED
        self._lines = Lines() if self.events else _UNCUT
        self._said: Said | None = None
        self._erring = False  # the present event is called an error
        self._kept = b""
        self._told = NO_USAGE
        wished = self.events and ask.stream and not ask.streams_usage and ask.kind in USAGE_KINDS
        self._unasked = Unasked() if wished else None

    def header(self, name: bytes) -> bytes:
        """The value of a header (lower case); empty when there is none."""
        return self._headers.get(name, b"")

    @property
    def said(self) -> Said:
        """What the whole that is held is: an answer, an error, or nothing that was asked for."""
        if self._said is None:
            self._said = said_in(self._ask.kind, self.held)
        return self._said

    @property
    def may_begin(self) -> bool:
        """Whether what is held of a long answer may be the beginning of a good one."""
        return self.status < 300 and may_begin(self._ask.kind, self.held)

    @property
    def error_headers(self) -> bytes:
        """The header lines that go with the backend's error: those about waiting."""
        return self._lines_of((b"retry-after",))

    def _lines_of(self, names: tuple[bytes, ...]) -> bytes:
        """The backend's header lines that clients may see. Its rate limits are nobody's who has a key of ours."""
        headers, found = self._headers, b""
        for name in names if self._request.identity is not None else names + _LIMITS:
            value = headers.get(name)
            if value is not None and (name != b"retry-after" or retry_after(value, 0.0) is not None):
                found += b"%b: %b\r\n" % (name, value)
        return self._target.without_key(found)

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
        body = self._target.without_key(self.held)
        close = self._client.closes()
        if self._opened:
            self._client.write(framed(self._request, as_event(body)) + (LAST_CHUNK if self._chunked else b""))
        else:
            self._client.write(whole(self._request, self.status, self._lines_of(_PASSED) + own, body, close=close))
        return self.said.usage

    def begin(self, own: bytes, data: bytes) -> None:
        """Send the head, if the client has none yet, and ``data`` behind it."""
        if self._opened:
            self.more(data)
            return
        frame = b"transfer-encoding: chunked\r\n" if self._chunked else b""
        close = b"connection: close\r\n\r\n" if self._client.closes() else b"\r\n"
        head = b"".join((status_line(self.status), self._lines_of(_PASSED), own, frame, close))
        shown = self._watch(data)
        self._client.write(head + chunk(shown) if self._chunked and shown else head + shown)

    def more(self, data: bytes) -> None:
        """Send the next piece."""
        if shown := self._watch(data):
            self._client.write(chunk(shown) if self._chunked else shown)

    def _watch(self, data: bytes) -> bytes:
        """Count what passes by; returns what of it the client gets."""
        if self.events:
            return self._watch_lines(self._lines.feed(data))
        data = self._target.without_key(self._kept + data)
        cut = max(0, len(data) - self._target.longest_key + 1)  # the beginning of a key may be there
        data, self._kept = data[:cut], data[cut:]
        if not self._tail:
            self._told = greatest_in(data[:_TAIL])
        self._tail = (self._tail + data)[-_TAIL:]
        return data

    def _watch_lines(self, data: bytes) -> bytes:
        data = self._target.without_key(data)
        if self._erring or b"error" in data:
            data = b"".join(map(self._scrubbed, data.splitlines(keepends=True)))
        self.meter.feed(data)
        return data if self._unasked is None else self._unasked.feed(data)

    def _scrubbed(self, line: bytes) -> bytes:
        if line.startswith(b"event:"):
            self._erring = line[6:].strip() == b"error"
        elif not line.strip():
            self._erring = False
        if not line.startswith(b"data:") or not (self._erring or tells_failure(line)):
            return line
        self.meter.fail()
        return self._target.scrubbed(line)

    def is_complete(self) -> bool:
        """Whether a stream may end here: it has said that it is done, be it in a line that has no end."""
        rest, fresh = self._lines.rest(), self.meter.fresh_line
        shown = self._watch_lines(rest) if rest else b""
        if not self.meter.ended:
            self.meter.fresh_line = fresh  # half a line is of no use to anybody
        elif shown:
            self._client.write(framed(self._request, shown))
        return self.meter.ended

    def end(self) -> Usage:
        """Send the end of what has begun; returns the tokens that it told of or that were counted."""
        if self._kept:
            self._client.write(framed(self._request, self._kept))
        if self._chunked:
            self._client.write(LAST_CHUNK)
        return self.usage()

    def usage(self) -> Usage:
        """The tokens so far."""
        if not self.events:
            told = self._told.then(greatest_in(self._tail))
            # A pattern is not sure enough to give a prompt for nothing.
            return told._replace(prompt=told.prompt or None)
        told = self.meter.usage
        return told if told.completion is not None else told._replace(completion=self.meter.texts)

    def break_off(self, refusal: Refusal) -> None:
        """Tell the client that no more comes: by an event where it reads events, else by an end that is not clean."""
        if not self.events:
            self._client.cut()
            return
        event = error_event(refusal, self._ask.dialect, fresh_line=self.meter.fresh_line)
        self._client.write(chunk(event) + LAST_CHUNK if self._chunked else event)
