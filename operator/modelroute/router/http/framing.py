"""What requests are held to before anybody looks at what they ask for: sizes, times, and the framing of HTTP.

Used by ``http1``. Pure.
"""

import re

from msgspec import Struct

from modelroute.router.http.request import Request
from modelroute.router.surface.openai import Refusal, too_large

SMALL_BODY = 65536
"""Bytes up to which a body still finds room when large ones are refused."""
NEXT_REQUEST_SECONDS = 0.2
"""In which a client that was answered without being told that the router ends may have asked again."""
MOST_UNREAD = 65536
"""Bytes that are kept of a client that asks on while many of its requests wait; what comes behind is not answered."""

_HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+;=%-]+|\[[0-9A-Za-z:.%]+\])(?::[0-9]{0,5})?")
_TRY_AGAIN = (("retry-after", "1"),)


class Limits(Struct, frozen=True):
    """What clients are held to; sizes in bytes, times in seconds, and for a port as a whole.

    A request's head has ``head_time``. Its body has ``stall`` more and a second for each ``rate`` bytes that came, as
    Apache's mod_reqtimeout has it; head and body together never have more than ``read``.
    """

    body: int = 16 * 2**20
    head: int = 32 * 2**10
    fields: int = 100
    head_time: float = 10.0
    stall: float = 20.0
    rate: float = 2048.0
    read: float = 300.0  # for a request to come whole
    idle: float = 75.0  # between two requests
    write: float = 60.0  # for the client to take something of what waits for it
    take: float = 256.0  # bytes a second that it takes at least of what waits for it
    connections: int = 20_000  # of a port
    held: int = 256 * 2**20  # of bodies in memory, of all connections of a port


def read_until(limits: Limits, request: Request, *, in_head: bool) -> float:
    """Seconds from a request's beginning by which more of it must have come."""
    if in_head:
        return min(limits.head_time, limits.read)
    return min(limits.head_time + limits.stall + request.size / limits.rate, limits.read)


def head_too_large(limits: Limits) -> Refusal:
    """The answer to a head past its limits."""
    message = f"the request's head is larger than {limits.head // 2**10} KiB or has more than {limits.fields} fields"
    return Refusal(431, message, "request_head_too_large", close=True)


def bad_request(problem: str, status: int = 400) -> Refusal:
    """The answer to what is not HTTP as it should be."""
    return Refusal(status, problem, "bad_request", close=True)


def overloaded(what: str) -> Refusal:
    """The answer when this port has no room for more of ``what``."""
    message = f"the router has no room for more {what} at the moment; try again"
    return Refusal(503, message, "overloaded", type="overloaded_error", headers=_TRY_AGAIN, close=True)


def judge(request: Request, version: str, limits: Limits) -> Refusal | None:
    """What the parser lets through and a router between two parties must not."""
    headers = request.headers
    if version not in {"1.0", "1.1"}:
        return bad_request(f"HTTP/{version} is not spoken here; use HTTP/1.1", 505)
    if request.twice:
        return bad_request(f"the request has more than one {request.twice.decode()}; send exactly one")
    host = headers.get(b"host")
    if host is None:
        if request.http11:
            return bad_request("the request has no Host; HTTP/1.1 needs exactly one")
    elif not _HOST.fullmatch(host):
        return bad_request("the request's Host is not the name of one")
    if b"#" in request.target:
        return bad_request("the request target has a fragment, which is for clients alone")
    coding = headers.get(b"transfer-encoding")
    if coding is not None and (coding.lower() != b"chunked" or not request.http11):
        return bad_request("the only Transfer-Encoding taken is chunked, in HTTP/1.1")
    return _judge_body(request, limits)


def _judge_body(request: Request, limits: Limits) -> Refusal | None:
    headers = request.headers
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        return Refusal(415, "a Content-Encoding is not taken; send the body as it is", "unsupported_encoding")
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or len(length) > 18 or int(length) > limits.body:
        return too_large(limits.body)
    if request.expects and headers[b"expect"].lower() != b"100-continue":
        return Refusal(417, "the only Expect taken is 100-continue", "bad_request", close=True)
    return None
