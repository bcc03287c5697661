"""Whether this operator may write, at this very moment.

Opened by ``leading`` for as long as the lease is surely held, asked by ``cluster`` before each write and while it is
on its way. Never asks the API server, and goes by the event loop's clock alone, which no one can set.
"""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator

from modelroute.errors import ModelRouteError


class FenceClosedError(ModelRouteError):
    """Nothing may be written now."""


class Fence:
    """Open until a moment that is put off again and again."""

    def __init__(self) -> None:
        """Closed."""
        self._until = -math.inf
        self._passing: set[asyncio.Timeout] = set()

    @property
    def left(self) -> float:
        """Seconds that it stays open; zero or less when it is closed."""
        return self._until - asyncio.get_running_loop().time()

    def extend(self, until: float) -> None:
        """Stay open until then, by the event loop's clock."""
        self._until = until
        for write in self._passing:
            if not write.expired():
                write.reschedule(until)

    def close(self) -> None:
        """Close now; a write on its way is given up."""
        self.extend(-math.inf)

    @contextlib.asynccontextmanager
    async def passing(self) -> AsyncIterator[None]:
        """The time of one write. FenceClosedError when it may not be made, or no longer.

        A process that was paused on the way, while it waited, looks at its clock before anything else, and so sends
        nothing late; but for a write that it was just about to send.
        """
        if self.left <= 0:
            raise FenceClosedError("closed")
        limit = asyncio.timeout_at(self._until)
        try:
            async with limit:
                self._passing.add(limit)
                try:
                    yield
                finally:
                    self._passing.discard(limit)
        except TimeoutError:
            if limit.expired():
                raise FenceClosedError("closed on the way") from None
            raise
