"""The tokens that an answer says it took: of OpenAI's, vLLM's and Anthropic's shapes.

Called by ``whole`` and ``sse``. Looks at the answer's own usage alone: a field of that name deeper down, or a text that
looks like one, may be the client's own words, which a backend gives back, and must not make an answer cheaper.
"""

import re
from typing import NamedTuple

import msgspec

_MOST = 10**9
_NULL = msgspec.Raw(b"null")
# As far down as a usage goes.
_TAIL = re.compile(rb'"usage"\s*+:\s*+(\{[^{}]*+(?:\{[^{}]*+\}[^{}]*+)*+\})')


class Usage(NamedTuple):
    """Tokens; None where the answer does not tell. Those of the cache count as the prompt's, too."""

    prompt: int | None = None
    completion: int | None = None
    cached: int | None = None  # of the prompt
    reasoning: int | None = None  # of the completion

    def then(self, later: "Usage") -> "Usage":
        """What is known when ``later`` has been told, too."""
        return Usage(*(old if new is None else new for old, new in zip(self, later, strict=True)))


NO_USAGE = Usage()


class _Event(msgspec.Struct):
    """Where an event has its usage: Anthropic's first one has it in the message, OpenAI's last in the response."""

    usage: msgspec.Raw = _NULL
    message: msgspec.Raw = _NULL
    response: msgspec.Raw = _NULL


_event = msgspec.json.Decoder(_Event)
_object = msgspec.json.Decoder(dict[str, object])


def usage_of(raw: msgspec.Raw) -> Usage:
    """The usage in a JSON object of that name; a number that cannot be one of tokens is not told.

    Where there is but a total, as of a rerank, it is the prompt's.
    """
    try:
        told = _object.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return NO_USAGE
    prompt = _count(told, "prompt_tokens", "input_tokens")
    completion = _count(told, "completion_tokens", "output_tokens")
    cached = _detail(told, "prompt_tokens_details", "input_tokens_details", "cached_tokens")
    reasoning = _detail(told, "completion_tokens_details", "output_tokens_details", "reasoning_tokens")
    if prompt is None:
        prompt = _count(told, "total_tokens") if completion is None else None
    elif "cache_read_input_tokens" in told:  # Anthropic's prompt leaves out what the cache had and what it got
        cached = _count(told, "cache_read_input_tokens")
        prompt += (cached or 0) + (_count(told, "cache_creation_input_tokens") or 0)
    return Usage(prompt, completion, cached, reasoning)


def usage_in(event: bytes) -> Usage:
    """The usage that an event of a stream tells of; ``event`` is its JSON."""
    try:
        found = _event.decode(event)
        for raw in (found.message, found.response):
            if bytes(memoryview(raw)[:1]) == b"{" and (inner := _event.decode(raw).usage) != _NULL:
                return usage_of(inner)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return NO_USAGE
    return usage_of(found.usage)


def greatest_in(part: bytes) -> Usage:
    """The greatest usage in a part of an answer that is too long to be looked at as a whole."""
    found = [usage_of(msgspec.Raw(match[1])) for match in _TAIL.finditer(part)]
    return max(found, key=lambda usage: (usage.prompt or 0) + (usage.completion or 0), default=NO_USAGE)


def _detail(told: dict[str, object], openais: str, anthropics: str, name: str) -> int | None:
    details = told.get(openais) or told.get(anthropics)
    return _count(details, name) if isinstance(details, dict) else None


def _count(told: dict[str, object], openais: str, anthropics: str = "") -> int | None:
    value = told.get(openais, told.get(anthropics))
    return value if type(value) is int and 0 <= value < _MOST else None
