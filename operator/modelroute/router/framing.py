"""What requests are held to before anybody looks at what they ask for: sizes, times, and the framing of HTTP.

Used by ``http1``. Pure.
"""

from msgspec import Struct

from modelroute.router.openai import Refusal, too_large
from modelroute.router.request import Request


class Limits(Struct, frozen=True):
    """What clients are held to; sizes in bytes, times in seconds."""

    body: int = 16 * 2**20
    head: int = 32 * 2**10
    fields: int = 100
    read: float = 60.0  # for a request to come whole
    idle: float = 75.0  # between two requests
    write: float = 60.0  # for the client to take something of what waits for it


def head_too_large(limits: Limits) -> Refusal:
    """The answer to a head past its limits."""
    message = f"the request's head is larger than {limits.head // 2**10} KiB or has more than {limits.fields} fields"
    return Refusal(431, message, "request_head_too_large", close=True)


def bad_request(problem: str, status: int = 400) -> Refusal:
    """The answer to what is not HTTP as it should be."""
    return Refusal(status, problem, "bad_request", close=True)


def judge(request: Request, version: str, limits: Limits) -> Refusal | None:
    """What the parser lets through and a router between two parties must not."""
    headers = request.headers
    if version not in {"1.0", "1.1"}:
        return bad_request(f"HTTP/{version} is not spoken here; use HTTP/1.1", 505)
    if (request.http11 and b"host" not in headers) or b"," in headers.get(b"host", b""):
        return bad_request("the request needs exactly one Host header")
    coding = headers.get(b"transfer-encoding")
    if coding is not None and (coding.lower() != b"chunked" or not request.http11):
        return bad_request("the only Transfer-Encoding taken is chunked, in HTTP/1.1")
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        return Refusal(415, "a Content-Encoding is not taken; send the body as it is", "unsupported_encoding")
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or len(length) > 18 or int(length) > limits.body:
        return too_large(limits.body)
    return None
