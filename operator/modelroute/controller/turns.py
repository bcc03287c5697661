"""Whose turn it is where there are fewer places than there is to do: namespaces are tenants, and each gets its share.

Used by ``sampler`` and ``errands``. Never knows what is done in a place, nor for how long.
"""

import asyncio
import heapq
import itertools
from collections import Counter
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """A queue of which at most ``places`` items are out at once: each until its namespace is ``done`` with it.

    Namespaces that wait are served one after the other, and one that holds as many places as are free gets no other:
    alone it may have half of all, and however long it keeps them, there is a place for the next one that comes. (The
    rule is that of dynamic thresholds in shared switch memory: Choudhury and Hahne, IEEE/ACM ToN 6(2), 1998.)
    """

    def __init__(self, places: int) -> None:
        """To be used within one event loop, with one taker."""
        self._free = places
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, list[tuple[float, int, T]]] = {}  # the namespace whose turn it is first
        self._numbers = itertools.count()  # so that no two entries of a heap are alike
        self._changed = asyncio.Event()

    def put(self, namespace: str, item: T, due: float = 0.0) -> None:
        """Have it wait; within its namespace what is due first goes first, and else what came first."""
        heapq.heappush(self._waiting.setdefault(namespace, []), (due, next(self._numbers), item))
        self._changed.set()

    async def take(self) -> T:
        """The next item, when there is a place for it."""
        while (namespace := self._next()) is None:
            self._changed.clear()
            await self._changed.wait()
        waiting = self._waiting.pop(namespace)
        _, _, item = heapq.heappop(waiting)
        if waiting:
            self._waiting[namespace] = waiting  # behind all others
        self._free -= 1
        self._held[namespace] += 1
        return item

    def done(self, namespace: str) -> None:
        """A place of ``namespace`` is free again."""
        self._free += 1
        self._held[namespace] -= 1
        if not self._held[namespace]:
            del self._held[namespace]
        self._changed.set()

    def _next(self) -> str | None:
        """One that is passed over keeps its turn. So there are never more of these than there are places."""
        return next((name for name in self._waiting if self._held[name] < self._free), None)
