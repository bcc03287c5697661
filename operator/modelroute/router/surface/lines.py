"""A stream's pieces cut anew at the ends of its lines, so that whoever looks at a piece looks at whole lines.

Used by ``answer`` on streams of events, whose clients can do nothing with a part of a line either. Never keeps a line
that is too long to be one of those that somebody looks for.
"""

_LONGEST = 65536
"""Bytes of a line that are kept until its end comes."""


class Lines:
    """The lines of one stream."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept = b""

    def feed(self, data: bytes) -> bytes:
        """What is whole with the next piece; may be empty, and a part of a line only where that is too long."""
        if self._kept:
            data = self._kept + data
            self._kept = b""
        if data.endswith(b"\n"):
            return data
        cut = max(data.rfind(b"\n"), data.rfind(b"\r", 0, -1)) + 1  # a CR at the end may be the first half of one
        if len(data) - cut > _LONGEST:
            return data
        self._kept = data[cut:]
        return data[:cut]

    def rest(self) -> bytes:
        """What is left at the end of the stream, which need not end with a line's end."""
        kept, self._kept = self._kept, b""
        return kept
