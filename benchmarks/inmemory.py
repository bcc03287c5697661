"""An event loop and a transport without sockets and without time of its own, so that a million inputs take minutes.

Used by ``fuzz``. Offers just what the router's connections ask of asyncio.
"""

import heapq
import itertools
import os
from collections.abc import Callable
from typing import Any

_QUIET = os.eventfd(0)


class Handle:
    """A call to come."""

    def __init__(self, call: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        self._call: Callable[..., object] | None = call
        self._arguments = arguments

    def cancel(self) -> None:
        """Make it never."""
        self._call = None

    def run(self) -> None:
        """Make it now."""
        call, self._call = self._call, None
        if call is not None:
            call(*self._arguments)


class Loop:
    """Calls in the order of their times."""

    def __init__(self) -> None:
        self.now = 0.0
        self._calls: list[tuple[float, int, Handle]] = []
        self._numbers = itertools.count()

    def time(self) -> float:
        """Seconds since it was made."""
        return self.now

    def call_soon(self, call: Callable[..., object], *arguments: object) -> Handle:
        """Call next."""
        return self.call_later(0.0, call, *arguments)

    def call_later(self, seconds: float, call: Callable[..., object], *arguments: object) -> Handle:
        """Call when so much time is over."""
        handle = Handle(call, arguments)
        heapq.heappush(self._calls, (self.now + seconds, next(self._numbers), handle))
        return handle

    def run(self, seconds: float = 0.0) -> None:
        """Let so much time go by."""
        until = self.now + seconds
        while self._calls and self._calls[0][0] <= until:
            self.now, _, handle = heapq.heappop(self._calls)
            handle.run()
        self.now = until


class Transport:
    """Keeps what is written; tells ``protocol`` of its end as asyncio does, a turn later."""

    def __init__(self, loop: Loop, protocol: Any) -> None:
        self._loop = loop
        self._protocol = protocol
        self.written = bytearray()
        self.closing = False
        self.reading = True

    def write(self, data: bytes) -> None:
        """Keep it."""
        self.written += data

    def writelines(self, parts: tuple[bytes, ...]) -> None:
        """Keep them."""
        self.written += b"".join(parts)

    def close(self) -> None:
        """End."""
        if not self.closing:
            self.closing = True
            self._loop.call_soon(self._protocol.connection_lost, None)

    abort = close

    def write_eof(self) -> None:
        """Nothing: the other side does not mind."""

    def can_write_eof(self) -> bool:
        """As a socket."""
        return True

    def is_closing(self) -> bool:
        """Whether it has ended."""
        return self.closing

    def get_extra_info(self, name: str) -> int:  # noqa: ARG002
        """A descriptor on which nothing ever comes."""
        return _QUIET

    def get_write_buffer_size(self) -> int:
        """All is taken at once."""
        return 0

    def set_write_buffer_limits(self, high: int) -> None:
        """Of no use here."""

    def pause_reading(self) -> None:
        """Hold what comes back."""
        self.reading = False

    def resume_reading(self) -> None:
        """Let it come."""
        self.reading = True
