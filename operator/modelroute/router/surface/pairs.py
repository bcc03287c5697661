"""Fields that are given twice: a backend may read the other one, so that what decides must not be.

Called by ``body``. Never decodes a value.
"""

import msgspec
from msgspec import Raw

from modelroute.router.surface.openai import Refusal


class BadBodyError(Exception):
    """A body that cannot be served; ``refusal`` says what to change."""

    def __init__(self, message: str, param: str | None) -> None:
        super().__init__(message)
        self.refusal = Refusal(400, message, None, param)


class _Key(str):
    """A key that is like no other, so that a dict keeps both of two that are the same."""

    __slots__ = ()
    __hash__ = object.__hash__
    __eq__ = object.__eq__
    __ne__ = object.__ne__


_pairs = msgspec.json.Decoder(dict[_Key, Raw], dec_hook=str.__new__)
_all_pairs = msgspec.json.Decoder(list[dict[_Key, Raw]], dec_hook=str.__new__)


def count_of(data: bytes) -> int:
    """How many fields an object has, those that are there twice counted twice."""
    return len(_pairs.decode(data))


def refuse_twice(data: bytes | Raw, inside: str) -> None:
    """BadBodyError when the object has a field twice; ``inside``: where it stands, for the message."""
    _refuse(_pairs.decode(data), inside)


def refuse_twice_within(raw: Raw, name: str, count: int, *, whole: bool) -> None:
    """BadBodyError when one of the ``count`` messages in ``raw``, or a part of its content, has a field twice.

    ``whole``: each has a content. Then they are looked at one by one only if there are more contents or roles than
    messages, or names that may be written in another way.
    """
    data = bytes(raw)
    most = max(data.count(b'"content"'), data.count(b'"role"'), data.count(b'"text"'))
    if whole and most <= count and b"\\u00" not in data:
        return
    for message in _all_pairs.decode(data):
        _refuse(message, f"{name}[].")
        for field, value in message.items():
            if str(field) == "content" and bytes(memoryview(value)[:1]) == b"[":
                for part in _all_pairs.decode(value):
                    _refuse(part, f"{name}[].content[].")


def _refuse(pairs: dict[_Key, Raw], inside: str) -> None:
    seen: set[str] = set()
    for name in map(str, pairs):
        if name in seen:
            raise BadBodyError(f"the body has {inside}{name[:80]} twice; send it once", inside + name[:80])
        seen.add(name)
