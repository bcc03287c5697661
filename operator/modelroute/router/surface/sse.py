"""What passes by in an answer: tokens, and whether a stream came to its end.

Called by ``answer`` for each piece. Looks only for a few patterns in the bytes: to decode each event would cost more
than to forward it; quotes inside JSON strings are escaped, so text that a model writes cannot look like them.
"""

import re
from typing import NamedTuple

from modelroute.router.surface.openai import Kind

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

_NUMBER = rb'": ?(\d{1,9})(?![\d.eE])'
_PROMPT = re.compile(rb'"(?:prompt|input)_tokens' + _NUMBER)
_COMPLETION = re.compile(rb'"(?:completion|output)_tokens' + _NUMBER)
_CACHED = re.compile(rb'"(?:cached_tokens|cache_read_input_tokens)' + _NUMBER)
_REASONING = re.compile(rb'"reasoning_tokens' + _NUMBER)
_TOTAL = re.compile(rb'"total_tokens' + _NUMBER)
_CREATED = re.compile(rb'"cache_creation_input_tokens' + _NUMBER)
# Lines before the first data: comments, names of events, blank ones. Possessive, since backends are not trusted.
_PRELUDE = re.compile(rb"(?:(?:event|id|retry)?:[^\n]*+\n|\r?\n)*+")
_ERROR = rb'(\{\s*+(?:"type"\s*+:\s*+"error"|"error"\s*+:\s*+[{"]).*)'
_OPENING_ERROR = re.compile(rb"(?:data:)?[ \t]*+" + _ERROR)
_LATER_ERROR = re.compile(rb"^data:[ \t]*+" + _ERROR, re.MULTILINE)
_LONGEST_LINE = 65536
_LONGEST_OPENING = 4096


class Usage(NamedTuple):
    """Tokens; None where the answer does not tell. Those of the cache count as the prompt's, too."""

    prompt: int | None = None
    completion: int | None = None
    cached: int | None = None  # of the prompt
    reasoning: int | None = None  # of the completion

    def then(self, later: "Usage") -> "Usage":
        """What is known when ``later`` has been told, too."""
        return Usage(*(old if new is None else new for old, new in zip(self, later, strict=True)))


_NO_USAGE = Usage()


def usage_in(data: bytes) -> Usage:
    """The last usage that ``data`` tells of; a number that cannot be one of tokens is not told.

    OpenAI's names and those of responses and messages; where there is but a total, as of a rerank, it is the prompt's.
    """
    at = data.rfind(b'"usage"')
    if at < 0:
        return _NO_USAGE
    prompt, completion, cached = _told(_PROMPT, data, at), _told(_COMPLETION, data, at), _told(_CACHED, data, at)
    if prompt is None:
        prompt = _told(_TOTAL, data, at) if completion is None else None
    elif b'"cache_read_input_tokens"' in data:  # Anthropic's prompt leaves out what the cache had and what it got
        prompt += (cached or 0) + (_told(_CREATED, data, at) or 0)
    return Usage(prompt, completion, cached, _told(_REASONING, data, at))


def _told(pattern: re.Pattern[bytes], data: bytes, at: int) -> int | None:
    found = pattern.search(data, at)
    return int(found[1]) if found else None


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

    __slots__ = ("_line", "_signs", "ended", "failed", "fresh_line", "texts", "usage")

    def __init__(self, kind: Kind = Kind.CHAT) -> None:
        self._signs = _SIGNS[kind]
        self._line = b""
        self.texts = 0
        self.usage = _NO_USAGE
        self.ended = False
        self.failed = False
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
        self._count(data)
        if b'"usage"' in data:
            self._use(data)
        if not self.ended:
            self._look_for_end(data)

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
            if b'"usage"' in line:
                self.usage = self.usage.then(usage_in(line))

    def _look_for_end(self, data: bytes) -> None:
        signs = self._signs
        for word in signs.end_words:
            if word in data:
                self.ended = self.ended or signs.end.search(data) is not None
        if b'"error"' in data and _LATER_ERROR.search(data):
            self.ended = self.failed = True
