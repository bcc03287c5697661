"""One request of a client, as it has been read so far.

Filled by ``reader``, read by the services. Never refuses itself and never writes to its client.
"""

import itertools
import re
import secrets
from typing import Protocol

from modelroute.router.clients.clients import FREE, Identity, Lease
from modelroute.router.surface.openai import Kind, Refusal

_ONCE = frozenset(
    (
        *(b"authorization", b"content-encoding", b"content-length", b"content-type", b"expect", b"host"),
        *(b"transfer-encoding", b"x-api-key", b"x-request-timeout-ms"),
    )
)  # fmt: skip
_SPACE = 0x20
_SMALL_PIECE = 4096
_GATHERED = 65536
_SANE_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_PROCESS = secrets.token_hex(6)
_numbers = itertools.count(1)


class Request:
    """Head and body. Header names are in lower case; a header that came twice has its values joined by a comma.

    ``repeated`` are the headers that came twice, ``twice`` the last of them that decides something. ``size`` counts
    what came of the body in bytes, ``held`` what of it counts in the port's ``Room``.
    """

    __slots__ = (
        "fields", "headers", "held", "http11", "identity", "keep_alive", "kind", "lease", "method", "model", "pieces",
        "refusal", "repeated", "request_id", "size", "target", "twice",
    )  # fmt: skip

    def __init__(self) -> None:
        self.method = ""
        self.target = b""
        self.headers: dict[bytes, bytes] = {}
        self.fields = 0
        self.http11 = True
        self.keep_alive = False
        self.kind: Kind | None = None
        self.model = ""  # in the path
        self.pieces: list[bytes | bytearray] = []
        self.size = self.held = 0
        self.repeated: tuple[bytes, ...] = ()
        self.twice = b""
        self.refusal: Refusal | None = None
        self.request_id = b""
        self.identity: Identity | None = None  # None where nobody needs a key
        self.lease: Lease = FREE  # settled by whoever answers

    def take(self, name: bytes, value: bytes) -> None:
        """Add a header."""
        name = name.lower()
        if value and value[-1] <= _SPACE:
            value = value.rstrip(b" \t")  # the parser leaves them
        before = self.headers.get(name)
        if before is not None:
            value = before + b", " + value
            self.repeated += (name,)
            if name in _ONCE:
                self.twice = name
        self.headers[name] = value
        self.fields += 1

    @property
    def expects(self) -> bool:
        """Whether the client waits for a word before it sends the body."""
        return self.http11 and b"expect" in self.headers

    @property
    def has_body(self) -> bool:
        """Whether a body comes behind the head."""
        return b"transfer-encoding" in self.headers or self.headers.get(b"content-length", b"").strip(b"0") != b""

    def add(self, data: bytes) -> None:
        """Keep a piece of the body. Small ones are gathered: an object for each byte takes forty times its size."""
        pieces = self.pieces
        self.size += len(data)
        if not pieces or len(data) >= _SMALL_PIECE:
            pieces.append(data)
        elif isinstance(last := pieces[-1], bytearray) and len(last) < _GATHERED:
            last += data
        else:
            pieces.append(bytearray(data))

    @property
    def body(self) -> bytes:
        """The whole body; the pieces that it came in are let go."""
        pieces = self.pieces
        if len(pieces) == 1 and isinstance(pieces[0], bytes):
            return pieces[0]
        whole = b"".join(pieces)
        self.pieces = [whole]
        return whole

    def drop(self) -> None:
        """Nobody will answer it: give back what was reserved."""
        self.lease.settle(0)

    def identify(self) -> None:
        """Keep the client's own request id if it is sane, else make one."""
        given = self.headers.get(b"x-request-id", b"")
        self.request_id = given if _SANE_ID.fullmatch(given) else f"{_PROCESS}-{next(_numbers):x}".encode()


class Running(Protocol):
    """A request that is being answered."""

    def client_gone(self) -> None:
        """The client has left; nobody waits for the answer."""

    def pause(self) -> None:
        """The client does not take what was written."""

    def resume(self) -> None:
        """The client takes more again."""

    def shut(self) -> None:
        """The router ends; tell the client what can still be told."""
