"""Messages that are as plain as nearly all are, read in one stroke: whole, and with nothing that HTTP may twist.

Called by ``reader`` and ``upstream`` before the parser, which costs several times as much for each header. What is not
plain beyond doubt is None and goes the parser's way; the two have to agree on all that is. Pure.
"""

from typing import NamedTuple

_TEXT = bytes(range(0x20, 0x7F)) + b"\t"
_TOKEN = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
_END = b"\r\n\r\n"
_METHODS = (b"POST", b"GET")
# Fields that change how a message is framed, or what follows it.
_TWISTS = frozenset(
    {b"connection", b"expect", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
)
_MOST_BYTES = 262144
_LONGEST_KEPT = 2048


class PlainRequest(NamedTuple):
    """A whole request; header names in lower case, none of them twice."""

    method: str
    target: bytes
    headers: dict[bytes, bytes]
    body: bytes


class Recall:
    """The last plain request of a connection: who is kept asks on with the same head, but for the body's length.

    Comparing two heads costs a tenth of reading one. Never keeps a large head, or a body.
    """

    __slots__ = ("_after", "_before", "_last")

    def __init__(self) -> None:
        self._before = self._after = b""
        self._last: PlainRequest | None = None

    def keep(self, data: bytes, read: PlainRequest) -> None:
        """``data`` was read so, and was found to be without fault."""
        head, length = data[: len(data) - len(read.body)], read.headers.get(b"content-length", b"")
        at = head.find(b": %b\r\n" % length)
        if length and len(head) <= _LONGEST_KEPT and head[:at].lower().endswith(b"\r\ncontent-length"):
            self._before, self._after = head[: at + 2], head[at + 2 + len(length) :]
            self._last = read._replace(body=b"")

    def again(self, data: bytes) -> PlainRequest | None:
        """The request that ``data`` is, if its head is the last one's."""
        last = self._last
        if last is None or not data.startswith(self._before):
            return None
        start = len(self._before)
        end = data.find(b"\r\n", start)
        length, body = data[start:end], end + len(self._after)
        if not data.startswith(self._after, end) or not _is_length(length, len(data) - body):
            return None
        return PlainRequest(last.method, last.target, {**last.headers, b"content-length": length}, data[body:])


class PlainAnswer(NamedTuple):
    """A whole answer with a length; header names in lower case."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


def plain_request(data: bytes, head_limit: int) -> PlainRequest | None:
    """The request that ``data`` is, no more and no less."""
    end = data.find(_END, 0, head_limit)
    if end < 0:
        return None
    head = data[:end]
    lines = head.split(b"\r\n")
    first = lines[0].split(b" ")
    if (
        len(first) != 3
        or b"\t" in lines[0]
        or first[0] not in _METHODS
        or first[1][:1] != b"/"
        or first[2] != b"HTTP/1.1"
    ):
        return None
    headers = _fields(head, lines)
    if headers is None or not _is_framed_plainly(headers):
        return None
    length = headers.get(b"content-length", b"0" if first[0] == b"GET" else b"")
    if not _is_length(length, len(data) - end - 4):
        return None
    return PlainRequest(first[0].decode(), first[1], headers, data[end + 4 :])


def plain_answer(data: bytes) -> PlainAnswer | None:
    """The answer that ``data`` is, no more and no less."""
    end = data.find(_END)
    if end < 0 or len(data) > _MOST_BYTES:
        return None
    head = data[:end]
    lines = head.split(b"\r\n")
    line = lines[0]
    code = line[9:12]
    if line[:9] != b"HTTP/1.1 " or line[12:13] != b" " or not code.isdigit() or not b"200" <= code < b"600":
        return None
    headers = _fields(head, lines)
    if headers is None or code in (b"204", b"304") or not _is_framed_plainly(headers):
        return None
    if not _is_length(headers.get(b"content-length", b""), len(data) - end - 4):
        return None
    return PlainAnswer(int(code), headers, data[end + 4 :])


def _fields(head: bytes, lines: list[bytes]) -> dict[bytes, bytes] | None:
    """The header fields of ``head``, which was split into ``lines``; None unless each is a name, a colon and text.

    None, too, where one comes twice: what that means depends on which it is.
    """
    # Of all that is no text there are only the ends of these lines: no lone CR or LF, no NUL, nothing above ASCII.
    if head.translate(None, _TEXT) != b"\r\n" * (len(lines) - 1):
        return None
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon:
            return None
        headers[name.lower()] = value.strip(b" \t")
    # A name with a blank in or behind it is none, nor is a line that goes on the one before.
    if len(headers) != len(lines) - 1 or b"" in headers or b"".join(headers).translate(None, _TOKEN):
        return None
    return headers


def _is_framed_plainly(headers: dict[bytes, bytes]) -> bool:
    if headers.keys().isdisjoint(_TWISTS):
        return True
    return len(headers.keys() & _TWISTS) == 1 and headers.get(b"connection", b"").lower() == b"keep-alive"


def _is_length(told: bytes, found: int) -> bool:
    return told.isdigit() and len(told) < 10 and int(told) == found
