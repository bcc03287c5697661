"""How long a request may take, as the route and its client say, and how that is shared out among its tries.

Made by ``exchange`` for each request. Never measures time: moments are arguments, on the clock of the event loop.
"""

import math
from collections.abc import Callable, Mapping

from modelroute.policy.retry import first_token_limit
from modelroute.router.flow.job import Windows
from modelroute.router.flow.waiting import COMMENT_SECONDS
from modelroute.snapshot.types import Timeouts

_TOTAL = b"x-request-timeout-ms"
# What OpenAI's SDKs tell of their read timeout, in seconds: the longest silence, as a whole answer is until it comes.
_SILENCE = (b"x-stainless-read-timeout", b"x-stainless-timeout")
_RETRIES = b"x-stainless-retry-count"
_NAMES = frozenset({_TOTAL, _RETRIES, *_SILENCE})
_MARGIN = 0.5
"""Seconds before its client gives up that a request does, so that the client hears of it."""


class Deadline:
    """The end of one request: ``end`` of all of it, ``silence`` of the time in which its client hears nothing.

    ``sdk_retries`` are those that the client's SDK has made before this request.
    """

    __slots__ = ("_span", "end", "sdk_retries", "silence")

    def __init__(self, headers: Mapping[bytes, bytes], total: float | None, now: float) -> None:
        route = math.inf if total is None else total
        if headers.keys().isdisjoint(_NAMES):
            self.end, self.silence, self._span, self.sdk_retries = now + route, math.inf, math.inf, 0
            return
        asked = _number(headers, _TOTAL) / 1000
        self.end = now + min(_before(asked), route)
        self._span = _before(min(_number(headers, name) for name in _SILENCE))
        self.silence = now + self._span
        retries = headers.get(_RETRIES, b"0")
        self.sdk_retries = int(retries) if retries.isdigit() and len(retries) < 4 else 0

    def left(self, now: float, *, comforted: bool = False) -> float:
        """Seconds in which the first byte of an answer is of use; inf: no end.

        ``comforted``: the client hears from us while it waits, so that only a silence shorter than that ends it.
        """
        if comforted and self.silence - now > COMMENT_SECONDS:
            return self.end - now
        return min(self.end, self.silence) - now

    def heard(self, now: float) -> None:
        """The client has heard from us: it waits on."""
        self.silence = now + self._span

    def windows(self, timeouts: Timeouts, now: float, *, streamed: bool, others: Callable[[], bool]) -> Windows:
        """What a try that begins ``now`` may take; ``others``: whether another can follow, asked where it matters."""
        left = self.left(now)
        configured = timeouts.first_token_streamed if streamed else timeouts.first_token_whole
        last = not (streamed and left < 2 * configured and others())
        first = first_token_limit(configured, left, last=last, streamed=streamed)
        end = self.end if timeouts.total is None else min(self.end, now + timeouts.total)
        return Windows(
            connect=min(timeouts.connect, left),
            first=first,
            idle=min(timeouts.stream_idle, self._span),
            end=end,
            patience=min(end, self.silence),
            counts=first == configured,
        )


def _before(seconds: float) -> float:
    return seconds - min(_MARGIN, seconds / 10)


def _number(headers: Mapping[bytes, bytes], name: bytes) -> float:
    """A positive number, or inf where there is none."""
    text = headers.get(name)
    if text is None:
        return math.inf
    try:
        found = float(text)
    except ValueError:
        return math.inf
    return found if 0 < found < math.inf else math.inf
