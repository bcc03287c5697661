"""Bytes of answers to clients: heads, whole replies, chunks, error events.

Called by the services and by ``exchange``. Never writes them anywhere.
"""

from http import HTTPStatus

from modelroute.router.openai import Refusal, error_body
from modelroute.router.request import Request

_LINES = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in HTTPStatus}
JSON = b"content-type: application/json\r\n"
LAST_CHUNK = b"0\r\n\r\n"


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


def refused(refusal: Refusal) -> tuple[bytes, bytes]:
    """Header lines and body of an error."""
    lines = b"".join(f"{name}: {value}\r\n".encode() for name, value in refusal.headers)
    return JSON + lines, error_body(refusal.message, refusal.type, refusal.param, refusal.code)


def chunk(data: bytes) -> bytes:
    """``data``, not empty, as one chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def error_event(refusal: Refusal, *, fresh_line: bool) -> bytes:
    """The server-sent event that tells of an error after an answer has begun."""
    body = error_body(refusal.message, refusal.type, refusal.param, refusal.code)
    return b"%bdata: %b\n\n" % (b"" if fresh_line else b"\n\n", body)
