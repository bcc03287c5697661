"""Takes the usage that the router itself has asked for out of a stream again, for a client that has not.

Used by ``answer`` on streams of chats and completions. What the client gets does not depend on how the bytes were cut
on their way, and nothing waits but the beginning of a line that may still turn out to be that event.
"""

import re

import msgspec

_LONGEST = 65536
"""Bytes of a line; a longer one is no usage and is not kept back."""

# A choice that is there: the event is no mere usage. Possessive, since backends are not trusted.
_CHOICE = re.compile(rb'"choices"[ \t]*+:[ \t]*+\[[ \t]*+[^ \t\]\r\n]')
_START = re.compile(rb"data:[ \t]*+(?:\{|$)")
_BLANK = (b"\n", b"\r\n")
_EVENT_END = (b"\n\n", b"\n\r\n")


class _Event(msgspec.Struct):
    choices: list[msgspec.Raw] | None = None
    usage: dict[str, msgspec.Raw] | None = None


_event = msgspec.json.Decoder(_Event)


def _may_be(line: bytes) -> bool:
    """Whether a line, as far as it has come, may be a usage without choices."""
    if len(line) < 5:
        return b"data:".startswith(line)
    return len(line) <= _LONGEST and _START.match(line) is not None and _CHOICE.search(line) is None


def _is(line: bytes) -> bool:
    """Whether a whole line is a usage without choices."""
    if b'"usage"' not in line or not _may_be(line.removesuffix(b"\n")):
        return False
    try:
        event = _event.decode(line[5:])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return event.choices == [] and event.usage is not None


class Unasked:
    """The filter of one stream."""

    __slots__ = ("_kept", "_mid", "_named", "_removed")

    def __init__(self) -> None:
        self._kept = b""  # the beginning of a line, not passed on
        self._mid = False  # the beginning of the present line has been passed on
        self._named = False  # the present event has lines that have been passed on
        self._removed = False  # the line before was taken out, and was the first of its event

    def feed(self, data: bytes) -> bytes:
        """What the client gets of the next piece; may be empty."""
        if not self._kept and not self._removed and b'"usage"' not in data and data.endswith(_EVENT_END):
            self._mid = self._named = False
            return data
        return self._sift(data)

    def rest(self) -> bytes:
        """What is still kept at the end of the stream, which may not end with a line."""
        kept, self._kept = self._kept, b""
        return b"" if _is(kept) else kept

    def _sift(self, data: bytes) -> bytes:
        passed: list[bytes] = []
        for line in _lines(self._kept + data):
            if line.endswith(b"\n"):
                self._whole(line, passed)
            else:
                self._part(line, passed)
                return b"".join(passed)
        self._kept = b""
        return b"".join(passed)

    def _whole(self, line: bytes, passed: list[bytes]) -> None:
        if self._mid:
            self._mid = False
        elif line in _BLANK:
            self._named = False
            if self._removed:
                self._removed = False
                return
        elif _is(line):
            self._removed = not self._named
            return
        else:
            self._named = True
        self._removed = False
        passed.append(line)

    def _part(self, line: bytes, passed: list[bytes]) -> None:
        if not self._mid and (line == b"\r" or _may_be(line)):
            self._kept = line
            return
        self._kept = b""
        self._mid = self._named = True
        self._removed = False
        passed.append(line)


def _lines(data: bytes) -> list[bytes]:
    """The lines of ``data``, each with the newline that ends it but for the last; a lone CR is none."""
    *lines, last = data.split(b"\n")
    return [line + b"\n" for line in lines] + ([last] if last else [])
