"""What passes by in an answer: tokens, whether a stream came to its end, and whether its backend says that it failed.

Called by ``answer`` with whole lines. Looks only for a few patterns in the bytes: to decode each event would cost more
than to forward it; quotes inside JSON strings are escaped, so text that a model writes cannot look like them. Never
changes what it looks at.
"""

import re

import msgspec

from modelroute.router.surface.openai import Kind
from modelroute.router.surface.usage import NO_USAGE, usage_in

# Keys whose strings are text that a model writes. A delta that carries none, as a role-only opener, has "" there.
_CHAT_TEXTS = ("content", "arguments", "reasoning_content", "reasoning", "refusal")
_TEXTS = {
    Kind.COMPLETIONS: ("text",),
    Kind.RESPONSES: ("delta",),
    Kind.MESSAGES: ("text", "partial_json", "thinking"),
    Kind.TRANSCRIPTIONS: ("delta", "content"),
    Kind.TRANSLATIONS: ("delta", "content"),
}
_DONE = rb"^data: ?\[DONE\]"
_CHAT_END = _DONE + rb'|"finish_reason": ?"'
# The type of an event stands at the beginning of its data, or is its name.
_TYPED_END = rb'^(?:event: ?|data: ?\{"type": ?")(?:%b)\b'
_ENDS = {
    Kind.RESPONSES: _TYPED_END % rb"response\.(?:completed|incomplete|failed|cancelled)",
    Kind.MESSAGES: _TYPED_END % rb"message_stop",
    Kind.TRANSCRIPTIONS: _CHAT_END + rb"|" + _TYPED_END % rb"transcript\.text\.done",
    Kind.TRANSLATIONS: _CHAT_END + rb"|" + _TYPED_END % rb"transcript\.text\.done",
}
# Words without one of which no line is an end: to look for them costs less than the pattern.
_CHAT_END_WORDS = (b'"finish_reason":"', b'"finish_reason": "', b"[DONE]")
_END_WORDS = {
    Kind.RESPONSES: (b"response.",),
    Kind.MESSAGES: (b"message_stop",),
    Kind.TRANSCRIPTIONS: (*_CHAT_END_WORDS, b"transcript.text.done"),
    Kind.TRANSLATIONS: (*_CHAT_END_WORDS, b"transcript.text.done"),
}

# Lines before the first data: comments, names of events, blank ones. Possessive, since backends are not trusted.
_PRELUDE = re.compile(rb"(?:(?:event|id|retry)?:[^\n]*+\n|\r?\n)*+")
# As much of an error as can be told of what is no valid JSON.
_BROKEN_ERROR = re.compile(rb'\s*+\{\s*+(?:"type"\s*+:\s*+"error"|"error"\s*+:\s*+[{"])')
_LONGEST_OPENING = 4096
_USAGE = re.compile(rb'"usage"[ \t]*+:[ \t]*+\{')


def _first_data(data: bytes) -> int:
    """Where the first line stands that is more than a comment or an event's name."""
    found = _PRELUDE.match(data)
    return found.end() if found else 0


class _Event(msgspec.Struct):
    type: object = None
    error: object = None


_event = msgspec.json.Decoder(_Event)


def tells_failure(line: bytes) -> bool:
    """Whether a line, of a stream or a whole JSON, is an event by which the backend says that it has failed.

    That is an ``error`` which is not null, wherever in the object it stands; Anthropic's and OpenAI's events have a
    type that says so. An error deeper down is that of a tool, say.
    """
    if b'"error"' not in line:
        return False
    data = line.removeprefix(b"data:")
    try:
        event = _event.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _BROKEN_ERROR.match(data) is not None
    return bool(event.error) or event.type in ("error", "response.failed")


def opening_error(data: bytes) -> bytes | None:
    """The JSON of an error that a stream begins with; None when there is none. JSON without an event is one, too."""
    rest = data[_first_data(data) :]
    if not rest.startswith(b"data:"):
        return rest if tells_failure(rest) else None
    line = rest.partition(b"\n")[0]
    return line[5:].strip() if tells_failure(line) else None


def may_open_with_error(data: bytes) -> bool:
    """Whether a stream begins with an error, or cannot be told to begin with none before its first line is whole.

    A comment first is a backend that wants the connection kept alive: that has to pass at once.
    """
    if data.startswith(b":"):
        return opening_error(data) is not None
    unclear = len(data) < _LONGEST_OPENING and data.find(b"\n", _first_data(data)) < 0
    return unclear or opening_error(data) is not None


class _Signs:
    """What one kind of stream tells its text and its end by."""

    __slots__ = ("end", "end_words", "text", "texts")

    def __init__(self, kind: Kind) -> None:
        names = [name.encode() for name in _TEXTS.get(kind, _CHAT_TEXTS)]
        self.text = re.compile(rb'"(?:%b)": ?"[^"]' % b"|".join(names))
        self.texts = tuple((b'"%b":"' % name, b'"%b":""' % name) for name in names)
        self.end = re.compile(_ENDS.get(kind, _CHAT_END), re.MULTILINE)
        self.end_words = _END_WORDS.get(kind, _CHAT_END_WORDS)


_SIGNS = {kind: _Signs(kind) for kind in Kind}


class Meter:
    """Counts a stream's tokens as it passes by: those of its usage, else the events that carried text.

    ``failed`` once the backend has told of an error in the stream; that is an end, too.
    """

    __slots__ = ("_signs", "ended", "failed", "fresh_line", "texts", "usage")

    def __init__(self, kind: Kind = Kind.CHAT) -> None:
        self._signs = _SIGNS[kind]
        self.texts = 0
        self.usage = NO_USAGE
        self.ended = False
        self.failed = False
        self.fresh_line = True

    def feed(self, data: bytes) -> None:
        """Take the next lines."""
        self.fresh_line = data.endswith((b"\n\n", b"\n\r\n"))
        self._count(data)
        if b'"usage"' in data and _USAGE.search(data):
            self._use(data)
        if not self.ended:
            self._look_for_end(data)

    def fail(self) -> None:
        """One of the lines tells of a failure."""
        self.ended = self.failed = True

    def _count(self, data: bytes) -> None:
        signs = self._signs
        if b'": "' in data:
            self.texts += len(signs.text.findall(data))
            return
        for text, empty in signs.texts:
            if text in data:
                self.texts += data.count(text) - data.count(empty)

    def _use(self, data: bytes) -> None:
        for line in data.split(b"\n"):
            if _USAGE.search(line):
                self.usage = self.usage.then(usage_in(line.removeprefix(b"data:")))

    def _look_for_end(self, data: bytes) -> None:
        signs = self._signs
        for word in signs.end_words:
            if word in data:
                self.ended = self.ended or signs.end.search(data) is not None
