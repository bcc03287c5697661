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
_OPENING_ERROR = re.compile(rb'(?:data: ?)?\s*(\{\s*"error": ?[{"].*)')
_LONGEST_LINE = 65536


class Usage(NamedTuple):
    """Tokens; None where the answer does not tell."""

    prompt: int | None = None
    completion: int | None = None


def usage_in(data: bytes) -> Usage:
    """The last usage that ``data`` tells of."""
    at = data.rfind(b'"usage"')
    if at < 0:
        return Usage()
    prompt, completion = _PROMPT.search(data, at), _COMPLETION.search(data, at)
    return Usage(int(prompt[1]) if prompt else None, int(completion[1]) if completion else None)


def opening_error(data: bytes) -> bytes | None:
    """The JSON of an error that a 200 begins with, plain or as the first event; None when there is none."""
    found = _OPENING_ERROR.match(data)
    return found[1] if found else None


class Meter:
    """Counts a stream's tokens as it passes by: those of its usage, else the events that carried text."""

    __slots__ = ("_line", "ended", "fresh_line", "texts", "usage")

    def __init__(self) -> None:
        self._line = b""
        self.texts = 0
        self.usage = Usage()
        self.ended = False
        self.fresh_line = True

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
        if b'"usage"' in data and (found := usage_in(data)) != (None, None):
            self.usage = found
        if not self.ended and (b"[DONE]" in data or b'"finish_reason"' in data):
            self.ended = bool(_DONE.search(data) or _FINISHED.search(data))
