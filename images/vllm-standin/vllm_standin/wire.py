"""HTTP/1.1 requests out of bytes, however they are cut: keep-alive, pipelining, chunked bodies.

`web` feeds one parser per connection. It knows no socket and never writes; what it cannot read is a BadRequestError,
after which the connection cannot be used again.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote

MAX_HEAD = 64 * 1024
MAX_BODY = 64 * 1024 * 1024
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEX = re.compile(rb"[0-9A-Fa-f]{1,8}")


class BadRequestError(Exception):
    """Bytes that are no request; `status` is what to answer before closing."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(slots=True)
class Request:
    """One request, read whole. Header names are in lower case; a repeated header is joined with commas."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    keep_alive: bool
    chunks_allowed: bool


class Parser:
    """Turns what a connection received into requests."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._request: Request | None = None
        self._length: int | None = None
        self._body = bytearray()
        self._in_trailers = False

    def feed(self, data: bytes) -> None:
        """Take received bytes in."""
        self._buffer += data

    def buffered(self) -> int:
        """How many bytes wait to be read as requests."""
        return len(self._buffer)

    def wants_continue(self) -> bool:
        """Whether a client waits for `100 Continue` before it sends its body; true once per request."""
        waiting = self._request is not None and self._request.headers.pop("expect", "").lower() == "100-continue"
        return waiting and not self._buffer

    def next(self) -> Request | None:
        """The next whole request, or None until more is fed. Raises BadRequestError."""
        if self._request is None and not self._read_head():
            return None
        complete = self._read_chunks() if self._length is None else self._read_counted(self._length)
        if not complete or self._request is None:
            return None
        request, self._request = self._request, None
        request.body, self._body = bytes(self._body), bytearray()
        return request

    def _read_head(self) -> bool:
        while self._buffer.startswith(b"\r\n"):
            del self._buffer[:2]
        end = self._buffer.find(b"\r\n\r\n")
        if end > MAX_HEAD or (end < 0 and len(self._buffer) > MAX_HEAD):
            raise BadRequestError(431, f"the request's head is longer than {MAX_HEAD} bytes")
        if end < 0:
            return False
        first, *lines = bytes(self._buffer[:end]).split(b"\r\n")
        del self._buffer[: end + 4]
        headers = _headers(lines)
        self._length = _body_length(headers)
        self._request = _request(first, headers)
        return True

    def _read_counted(self, length: int) -> bool:
        if len(self._buffer) < length:
            return False
        self._body = self._buffer[:length]
        del self._buffer[:length]
        return True

    def _read_chunks(self) -> bool:
        while not self._in_trailers:
            end = self._buffer.find(b"\r\n")
            if end < 0 and len(self._buffer) > MAX_HEAD:
                raise BadRequestError(400, "a chunk's size line has no end")
            if end < 0:
                return False
            digits = bytes(self._buffer[:end]).split(b";")[0].strip()
            if not _HEX.fullmatch(digits):
                raise BadRequestError(400, "a chunk's size is not a hexadecimal number")
            size = int(digits, 16)
            if len(self._body) + size > MAX_BODY:
                raise BadRequestError(413, f"the request's body is longer than {MAX_BODY} bytes")
            if size and len(self._buffer) < end + 2 + size + 2:
                return False
            self._take_chunk(end + 2, size)
        return self._read_trailers()

    def _take_chunk(self, start: int, size: int) -> None:
        if size == 0:
            self._in_trailers = True
            del self._buffer[:start]
            return
        if self._buffer[start + size : start + size + 2] != b"\r\n":
            raise BadRequestError(400, "a chunk is longer than its size")
        self._body += self._buffer[start : start + size]
        del self._buffer[: start + size + 2]

    def _read_trailers(self) -> bool:
        while (end := self._buffer.find(b"\r\n")) > 0:
            del self._buffer[: end + 2]
        if end < 0:
            return False
        del self._buffer[:2]
        self._in_trailers = False
        return True


def _headers(lines: list[bytes]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not _TOKEN.fullmatch(name):
            raise BadRequestError(400, "a header line is not `name: value`")
        key, text = name.decode("ascii").lower(), value.decode("latin-1").strip()
        headers[key] = f"{headers[key]},{text}" if key in headers else text
    return headers


def _body_length(headers: dict[str, str]) -> int | None:
    """Bytes of the body, or None for chunks."""
    encoding, length = headers.get("transfer-encoding"), headers.get("content-length", "0")
    if encoding is not None:
        if encoding.lower() != "chunked" or "content-length" in headers:
            raise BadRequestError(400, "the body's length is given in a way that cannot be read")
        return None
    if not re.fullmatch(r"[0-9]{1,12}", length):
        raise BadRequestError(400, "content-length is not a number")
    if int(length) > MAX_BODY:
        raise BadRequestError(413, f"the request's body is longer than {MAX_BODY} bytes")
    return int(length)


def _request(line: bytes, headers: dict[str, str]) -> Request:
    words = line.decode("latin-1").split(" ")
    if len(words) != 3 or words[2] not in {"HTTP/1.0", "HTTP/1.1"} or not words[0].isalpha():
        raise BadRequestError(400, "the first line is not `METHOD /path HTTP/1.1`")
    path, _, query = words[1].partition("?")
    modern = words[2] == "HTTP/1.1"
    connection = headers.get("connection", "").lower()
    keep = "close" not in connection if modern else "keep-alive" in connection
    return Request(words[0], unquote(path), query, headers, b"", keep, modern)
