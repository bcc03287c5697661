"""A request that waits: in a backend's line, for a start or for its turn, or for another try after a failure.

Made by ``exchange``, which hears how it ended: of just one of ``go``, ``awake``, ``give_up_waiting`` and
``call_off``. Never enters a gate and never tries anything itself.
"""

import asyncio
import math
from typing import Protocol

from modelroute.api.types import FailureKind
from modelroute.router.replicas.gate import Gate, Why

TICK = 0.001
"""Seconds: uvloop's clock goes by whole milliseconds, and its timers may be early by half of one."""

COMMENT_SECONDS = 5.0
"""Who is held hears from us so often: proxies cut what is silent for a minute, some of them for ten seconds."""


class Waits(Protocol):
    """Whose request waits."""

    def go(self) -> None:
        """There is a place: enter the gate now."""

    def awake(self, kind: FailureKind) -> None:
        """The time for another try has come, after a failure of this kind."""

    def give_up_waiting(self, kind: FailureKind, why: Why) -> None:
        """There is no place, and no use in waiting for one."""

    def call_off(self) -> None:
        """There is no use in another try."""

    def comfort(self) -> None:
        """Let the client know that it is still waited for."""


class Wait:
    """One wait at one gate."""

    __slots__ = ("_gate", "_kind", "_loop", "_owner", "_timer", "_until")

    def __init__(self, owner: Waits, gate: Gate, kind: FailureKind, loop: asyncio.AbstractEventLoop) -> None:
        self._owner = owner
        self._gate = gate
        self._kind = kind
        self._loop = loop
        self._until = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def in_line(self, user: str, seconds: float) -> None:
        """Wait for a place, ``seconds`` at most."""
        now = self._loop.time()
        self._until = now + seconds
        if seconds <= 0 or not self._gate.wait(self, user):
            self._owner.give_up_waiting(self._kind, "late" if seconds <= 0 else "full")
            return
        self._arm(now)

    def for_another_try(self, seconds: float) -> None:
        """Wait until the same backend may be tried again."""
        self._gate.sleepers.add(self)
        self._timer = self._loop.call_later(seconds, self._awake)

    def stop(self) -> None:
        """Wait no more; nobody hears of it."""
        self._gate.give_up(self)
        if self._timer is not None:
            self._timer.cancel()

    def called(self) -> None:
        """See ``Waiter``."""
        self.stop()
        self._owner.go()

    def called_off(self) -> None:
        """See ``Waiter``."""
        self.stop()
        self._owner.call_off()

    def turned_away(self, why: Why, kind: FailureKind | None = None) -> None:
        """See ``Waiter``."""
        self.stop()
        self._owner.give_up_waiting(kind or self._kind, why)

    def _awake(self) -> None:
        self.stop()
        self._owner.awake(self._kind)

    def _arm(self, now: float) -> None:
        self._timer = self._loop.call_at(min(self._until, now + COMMENT_SECONDS), self._still)

    def _still(self) -> None:
        now = self._loop.time()
        if now > self._until - TICK:
            self.stop()
            self._owner.give_up_waiting(self._kind, "late")
        else:
            self._owner.comfort()
            self._arm(now)
