"""An event loop whose time passes only while nothing is to be done, and then at once."""

import asyncio
import selectors
from typing import Any


class _Instant(selectors.DefaultSelector):
    """Whoever waits on a clock is served at once, and the clock set forward."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        self.passed += timeout or 0
        return super().select(0)


class InstantLoop(asyncio.SelectorEventLoop):
    """For code without sockets: what it waits for is a time, or another task."""

    def __init__(self) -> None:
        self._instant = _Instant()
        super().__init__(self._instant)

    def time(self) -> float:
        return self._instant.passed
