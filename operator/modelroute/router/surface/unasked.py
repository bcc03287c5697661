"""Takes the usage that the router itself has asked for out of a stream again, for a client that has not.

Used by ``answer`` on streams of chats and completions, which come in whole lines. Never touches another event.
"""

import re

import msgspec

# A choice that is there: the event is no mere usage. Possessive, since backends are not trusted.
_CHOICE = re.compile(rb'"choices"[ \t]*+:[ \t]*+\[[ \t]*+[^ \t\]\r\n]')
_BLANK = (b"\n", b"\r\n")
_EVENT_END = (b"\n\n", b"\n\r\n")


class _Event(msgspec.Struct):
    choices: list[msgspec.Raw] | None = None
    usage: dict[str, msgspec.Raw] | None = None


_event = msgspec.json.Decoder(_Event)


def _is_usage(line: bytes) -> bool:
    """Whether a line is the data of an event with a usage and without choices."""
    if b'"usage"' not in line or not line.startswith(b"data:") or _CHOICE.search(line):
        return False
    try:
        event = _event.decode(line[5:])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return event.choices == [] and event.usage is not None


class Unasked:
    """The filter of one stream."""

    __slots__ = ("_mid", "_named", "_removed")

    def __init__(self) -> None:
        self._mid = False  # a part of a line has been passed on
        self._named = False  # the present event has lines that have been passed on
        self._removed = False  # the line before was taken out, and was the first of its event

    def feed(self, data: bytes) -> bytes:
        """What the client gets of the next lines; may be empty."""
        if not self._mid and not self._removed and b'"usage"' not in data and data.endswith(_EVENT_END):
            self._named = False
            return data
        return b"".join([line for line in data.splitlines(keepends=True) if self._stays(line)])

    def _stays(self, line: bytes) -> bool:
        removed, self._removed = self._removed, False
        if self._mid:
            self._mid = not line.endswith((b"\n", b"\r"))
            return True
        if line in _BLANK:
            self._named = False
            return not removed
        if _is_usage(line):
            self._removed = not self._named
            return False
        self._named = True
        self._mid = not line.endswith((b"\n", b"\r"))
        return True
