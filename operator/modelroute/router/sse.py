"""What passes by in an answer: tokens, and whether a stream came to its end.

Called by ``answer`` for each piece. Looks only for a few patterns in the bytes: to decode each event would cost more
than to forward it; quotes inside JSON strings are escaped, so text that a model writes cannot look like them.
"""

import re
from typing import NamedTuple

# A delta that carries text: a role-only opener ("content":"") does not.
_TEXT = re.compile(rb'"(?:content|text|reasoning_content|reasoning|arguments|refusal)": ?"[^"]')
_DONE = re.compile(rb"^data: ?\[DONE\]", re.MULTILINE)
_FINISHED = re.compile(rb'"finish_reason": ?"')
_PROMPT = re.compile(rb'"prompt_tokens": ?(\d{1,12})')
_COMPLETION = re.compile(rb'"completion_tokens": ?(\d{1,12})')
# Lines before the first data: comments, names of events, blank ones. Possessive, since backends are not trusted.
_PRELUDE = re.compile(rb"(?:(?:event|id|retry)?:[^\n]*+\n|\r?\n)*+")
_OPENING_ERROR = re.compile(rb'(?:data:)?[ \t]*+(\{\s*+"error": ?[{"].*)')
_LONGEST_LINE = 65536
_LONGEST_OPENING = 4096


class Usage(NamedTuple):
    """Tokens; None where the answer does not tell."""

    prompt: int | None = None
    completion: int | None = None
    cached: int | None = None  # of the prompt
    reasoning: int | None = None  # of the completion


_NO_USAGE = Usage()


def usage_in(data: bytes) -> Usage:
    """The last usage that ``data`` tells of."""
    at = data.rfind(b'"usage"')
    if at < 0:
        return Usage()
    prompt, completion = _PROMPT.search(data, at), _COMPLETION.search(data, at)
    return Usage(int(prompt[1]) if prompt else None, int(completion[1]) if completion else None)


def _first_data(data: bytes) -> int:
    """Where the first line stands that is more than a comment or an event's name."""
    found = _PRELUDE.match(data)
    return found.end() if found else 0


def opening_error(data: bytes) -> bytes | None:
    """The JSON of an error that a stream begins with; None when there is none."""
    found = _OPENING_ERROR.match(data, _first_data(data))
    return found[1] if found else None


def may_open_with_error(data: bytes) -> bool:
    """Whether a stream begins with an error, or cannot be told to begin with none before its first line is whole.

    A comment first is a backend that wants the connection kept alive: that has to pass at once.
    """
    if data.startswith(b":"):
        return opening_error(data) is not None
    unclear = len(data) < _LONGEST_OPENING and data.find(b"\n", _first_data(data)) < 0
    return unclear or opening_error(data) is not None


class Meter:
    """Counts a stream's tokens as it passes by: those of its usage, else the events that carried text."""

    __slots__ = ("_line", "ended", "fresh_line", "texts", "usage")

    def __init__(self) -> None:
        self._line = b""
        self.texts = 0
        self.usage = Usage()
        self.ended = False
        self.fresh_line = True

    def ends(self) -> bool:
        """Whether the stream may end here: it said that it was done, be it in a line that has no end."""
        if self._line:
            self.feed(b"\n")
        return self.ended

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        if self._line:
            data = self._line + data
        cut = data.rfind(b"\n") + 1
        if cut < len(data):
            self._line, data = data[cut:], data[:cut]
            self.fresh_line = False
            if len(self._line) > _LONGEST_LINE:
                self._line = b""
        else:
            self._line = b""
            self.fresh_line = data.endswith((b"\n\n", b"\n\r\n"))
        self.texts += len(_TEXT.findall(data))
        if b'"usage"' in data and (found := usage_in(data)) != _NO_USAGE:
            self.usage = found
        if not self.ended and (b"[DONE]" in data or b'"finish_reason"' in data):
            self.ended = bool(_DONE.search(data) or _FINISHED.search(data))
