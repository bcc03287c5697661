"""Which ModelRoutes to reconcile, and when: each key once, never two at a time, and later after an error.

Filled by ``watching``, emptied by its own workers, which call the reconciler. Never knows what a reconcile does.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from modelroute.controller import metrics
from modelroute.controller.backoff import FIRST_RETRY, backoff, jittered
from modelroute.controller.kube.calls import ApiError
from modelroute.controller.watching.cache import Key

TROUBLE_SECONDS, LONGEST_HOLD = 2.0, 10.0
"""What an API server in trouble is spared at least, and how long no change of a route makes it be asked at most."""
RECONCILE_SECONDS = 120.0

log = logging.getLogger(__name__)


class WorkQueue:
    """Calls ``handle`` for every key that was added; what that returns is the seconds to the next look, if any."""

    def __init__(self, handle: Callable[[Key], Awaitable[float | None]]) -> None:
        """Nothing is handled before ``run``."""
        self._handle = handle
        self._waiting: asyncio.Queue[Key] = asyncio.Queue()
        self._dirty: set[Key] = set()
        self._running: dict[Key, float] = {}
        self._later: dict[Key, asyncio.TimerHandle] = {}
        self._failing: dict[Key, tuple[int, float]] = {}  # failures in a row, and when the next try is due
        self._held: dict[Key, float] = {}  # what has just failed is not tried before then, whatever happens

    def add(self, key: Key) -> None:
        """Handle ``key`` soon; again, if it is being handled now."""
        if key in self._dirty:
            return
        if key in self._running:
            self._dirty.add(key)
        elif self._held.get(key, 0.0) > self._now():
            self._add_at(key, self._held[key])
        else:
            self._dirty.add(key)
            self._waiting.put_nowait(key)
            metrics.QUEUED.set(self._waiting.qsize())

    def hasten(self) -> None:
        """Handle soon all keys that wait for a point in time, or are about to: it is another than was thought."""
        for key in (*self._later, *self._running):
            self.add(key)

    async def run(self, workers: int, ready: asyncio.Event) -> None:
        """Handle keys from ``ready`` on, until cancelled; then all that was to be handled is forgotten."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(self._work(ready))
        finally:
            for timer in self._later.values():
                timer.cancel()
            for known in (self._later, self._failing, self._held):
                known.clear()
            # A key that changed while it was handled is in no queue: it would pass for one that waits, for ever.
            self._dirty.clear()
            self._waiting = asyncio.Queue()
            metrics.QUEUED.set(0)

    def longest(self) -> float:
        """Seconds that the oldest of the running reconciles has taken so far."""
        return max((self._now() - began for began in self._running.values()), default=0.0)

    async def _work(self, ready: asyncio.Event) -> None:
        await ready.wait()
        while True:
            key = await self._waiting.get()
            metrics.QUEUED.set(self._waiting.qsize())
            self._dirty.discard(key)
            if later := self._later.pop(key, None):
                later.cancel()
            self._running[key] = self._now()
            try:
                delay = await self._attempt(key)
            finally:
                metrics.RECONCILE_SECONDS.observe(self._now() - self._running.pop(key))
            if delay is not None:
                self._add_at(key, self._now() + delay)
            if key in self._dirty:
                self._dirty.discard(key)
                self.add(key)

    async def _attempt(self, key: Key) -> float | None:
        try:
            async with asyncio.timeout(RECONCILE_SECONDS):
                delay = await self._handle(key)
        except Exception as error:  # the edge of a reconcile: one route's trouble must not stop the others
            metrics.RECONCILES.labels("error").inc()
            after = self._wait(key, error)
            if isinstance(error, ApiError):
                log.warning("%s; trying again in %.1f s", error, after, extra={"route": str(key)})
            else:
                log.exception("reconcile failed; trying again in %.1f s", after, extra={"route": str(key)})
            return after
        metrics.RECONCILES.labels("ok").inc()
        self._failing.pop(key, None)
        self._held.pop(key, None)
        return delay

    def _wait(self, key: Key, error: Exception) -> float:
        """Seconds to the next try of ``key``, which has just failed with ``error``.

        A burst of changes tries often and fails as often: what fails before it is due waits no longer for that.
        """
        now = self._now()
        failures, due = self._failing.get(key, (0, now))
        if now >= due:
            failures += 1
            due = now + jittered(backoff(failures))
        held = now + FIRST_RETRY
        if isinstance(error, ApiError):
            if error.troubled:
                held = max(min(due, now + LONGEST_HOLD), now + TROUBLE_SECONDS)
            held = max(held, now + error.retry_after)
        due = max(due, held)
        self._failing[key], self._held[key] = (failures, due), held
        return due - now

    def _add_at(self, key: Key, when: float) -> None:
        """Add ``key`` then, or before, if that is due already."""
        due = self._later.get(key)
        if due and due.when() <= when:
            return
        if due:
            due.cancel()
        self._later[key] = asyncio.get_running_loop().call_at(when, self._come, key)

    def _come(self, key: Key) -> None:
        self._later.pop(key, None)
        self.add(key)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
