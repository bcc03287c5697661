"""One request of a client, as it has been read so far. Filled by ``http1``, read by the services."""

import itertools
import re
import secrets

from modelroute.router.openai import Kind, Refusal

_SANE_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_PROCESS = secrets.token_hex(6)
_numbers = itertools.count(1)


class Request:
    """Head and body. Header names are in lower case; a header that came twice has its values joined by a comma."""

    __slots__ = (
        "fields", "headers", "http11", "keep_alive", "kind", "method", "model", "pieces", "refusal", "request_id",
        "size", "target",
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
        self.pieces: list[bytes] = []
        self.size = 0
        self.refusal: Refusal | None = None
        self.request_id = b""

    def take(self, name: bytes, value: bytes) -> None:
        """Add a header."""
        name = name.lower()
        before = self.headers.get(name)
        self.headers[name] = value if before is None else before + b", " + value
        self.fields += 1

    @property
    def expects(self) -> bool:
        """Whether the client waits for a word before it sends the body."""
        return self.http11 and b"expect" in self.headers

    @property
    def body(self) -> bytes:
        """The whole body."""
        return self.pieces[0] if len(self.pieces) == 1 else b"".join(self.pieces)

    def identify(self) -> None:
        """Keep the client's own request id if it is sane, else make one."""
        given = self.headers.get(b"x-request-id", b"")
        self.request_id = given if _SANE_ID.fullmatch(given) else f"{_PROCESS}-{next(_numbers):x}".encode()
