"""Bytes of answers to clients: heads, whole replies, chunks, error events.

Called by ``service``, ``answer`` and ``delivery``. Never writes them anywhere.
"""

from http import HTTPStatus

from modelroute.router.http.request import Request
from modelroute.router.surface.openai import Dialect, Refusal, error_body

_LINES = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in HTTPStatus}
JSON = b"content-type: application/json\r\n"
LAST_CHUNK = b"0\r\n\r\n"
_EVENTS = b"content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
_WAITING = b": waiting for a replica\n\n"


def status_line(status: int) -> bytes:
    """The first line of an answer."""
    return _LINES.get(status) or b"HTTP/1.1 %d Status\r\n" % status


def route_headers(request: Request, backend: str, reason: str, attempts: int) -> bytes:
    """The headers that every answer carries: the request's id, who answered and why."""
    return (
        b"x-request-id: %b\r\nx-modelroute-backend: %b\r\nx-modelroute-reason: %b\r\nx-modelroute-attempts: %d\r\n"
        % (
            request.request_id,
            backend.encode(),
            reason.encode(),
            attempts,
        )
    )


def whole(request: Request, status: int, headers: bytes, body: bytes, *, close: bool) -> bytes:
    """A complete answer; ``headers`` are lines that each end in CRLF. A HEAD request gets the head alone."""
    end = b"connection: close\r\n\r\n" if close else b"\r\n"
    shown = b"" if request.method == "HEAD" else body
    return b"".join((status_line(status), headers, b"content-length: %d\r\n" % len(body), end, shown))


def refused(refusal: Refusal, dialect: Dialect = "openai") -> tuple[bytes, bytes]:
    """Header lines and body of an error."""
    lines = b"".join(f"{name}: {value}\r\n".encode() for name, value in refusal.headers)
    return JSON + lines, error_body(refusal, dialect)


def chunk(data: bytes) -> bytes:
    """``data``, not empty, as one chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def error_event(refusal: Refusal, dialect: Dialect = "openai", *, fresh_line: bool = True) -> bytes:
    """The server-sent event that tells of an error after an answer has begun."""
    name = b"event: error\n" if dialect == "anthropic" else b""
    return b"%b%bdata: %b\n\n" % (b"" if fresh_line else b"\n\n", name, error_body(refusal, dialect))


def opened_stream(request: Request, own: bytes, *, close: bool) -> bytes:
    """The head of a stream that has to wait for its backend, with our ``own`` header lines, and a first comment."""
    frame = b"transfer-encoding: chunked\r\n" if request.http11 else b""
    end = b"connection: close\r\n\r\n" if close else b"\r\n"
    return b"".join((status_line(200), _EVENTS, own, frame, end, still_waiting(request)))


def still_waiting(request: Request) -> bytes:
    """A comment in a stream that waits, so that nothing on the way takes it for dead."""
    return framed(request, _WAITING)


def refused_stream(request: Request, refusal: Refusal, dialect: Dialect) -> bytes:
    """An error as the whole rest of a stream that was opened while it waited."""
    return framed(request, error_event(refusal, dialect)) + (LAST_CHUNK if request.http11 else b"")


def framed(request: Request, data: bytes) -> bytes:
    """``data``, not empty, as a piece of a body without a length."""
    return chunk(data) if request.http11 else data


def as_event(body: bytes) -> bytes:
    """A whole answer as the only event of a stream, which was opened before anybody knew that it would be none."""
    return b"data: %b\n\ndata: [DONE]\n\n" % b"\ndata: ".join(body.splitlines() or [b""])
