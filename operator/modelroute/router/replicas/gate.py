"""What a backend lets through: how many at once, who waits for it, and why it takes nothing at the moment.

One for each backend, kept by ``live`` over all snapshots. Entered by ``exchange``; ``waiting`` stands in its line. What
is wrong with a backend is put into ``troubles`` when it changes, so that a decision only looks it up.
"""

import asyncio
import math
from typing import Literal, Protocol

from modelroute.api.types import FailureKind
from modelroute.policy.facts import Trouble
from modelroute.policy.line import Line
from modelroute.snapshot.types import Backend, Start

TRIAL_SECONDS = 1.0
"""A backend that is down is tried by one request in so many seconds: what says that it is down may be wrong."""


Why = Literal["full", "late", "failing", "gone"]
"""Why waiting is of no use: the line is full, the time is over, the backend fails, or the route has it no more."""


_SICK = frozenset({"ConnectFailure", "Timeout", "ServerError"})


class Waiter(Protocol):
    """A request that waits: in line for a place, or for the next try. Hashed by identity."""

    def __hash__(self) -> int: ...

    def called(self) -> None:
        """A place is free: enter now."""

    def called_off(self) -> None:
        """There is no use in waiting for another try."""

    def turned_away(self, why: Why, kind: FailureKind | None = None) -> None:
        """There is no place for it any more; ``kind``: what is the matter now, if not what it waits for."""


class Gate:
    """One backend as it lets requests through. ``in_flight`` counts those inside, ``requests`` all that entered.

    ``cold`` counts the requests that were for it while it had no replica, whoever answered them.
    """

    __slots__ = (
        "_asked", "_begun", "_calling", "_closed", "_cooling", "_cooling_for", "_down", "_failing", "_line", "_loop",
        "_lost", "_most", "_next_trial", "_ready", "_takes", "_thaw", "_troubles", "cold", "in_flight", "name",
        "requests", "sleepers",
    )  # fmt: skip

    def __init__(self, name: str, troubles: dict[str, Trouble], loop: asyncio.AbstractEventLoop) -> None:
        self.name = name
        self.in_flight = self.requests = self.cold = 0
        self.sleepers: set[Waiter] = set()
        self._troubles = troubles
        self._loop = loop
        self._asked = loop.time()  # when somebody last did, or may have: what was before is not known
        self._ready = False
        self._begun = math.inf  # when the start that is waited for began; nothing is known to have
        self._takes = 0.0
        self._lost = -math.inf  # when the last replica went
        self._most: float = math.inf
        self._line: Line[Waiter] = Line(0)
        self._cooling = -math.inf
        self._cooling_for: FailureKind = "RateLimited"
        self._failing: FailureKind = "ServerError"
        self._thaw: asyncio.TimerHandle | None = None
        self._down = False
        self._next_trial = -math.inf
        self._calling = False
        self._closed = False

    def adopt(self, backend: Backend, now_unix: float) -> None:
        """Take over the settings of a new snapshot; those who wait are called if they can be."""
        limits = backend.limits
        self._closed = False
        if self._ready and not backend.endpoints:
            self._lost = self._loop.time()
        self._ready = bool(backend.endpoints)
        self._expect(backend.start, now_unix)
        self._most = math.inf if limits.max_in_flight is None else limits.max_in_flight
        self._line.limit = limits.max_waiting if self._ready else backend.cold_start.max_held
        self._refresh()
        self._call()

    def _expect(self, start: Start, now_unix: float) -> None:
        """Take over what is known of a start. A clock that is behind makes one that runs look new, and no more."""
        self._takes = start.seconds or 0.0  # a start of which nothing is known is late from its beginning on
        if start.since is not None:
            self._begun = self._loop.time() - max(now_unix - start.since, 0.0)
            if self._begun < self._lost:  # no start: one that answered before may do so again at any moment
                self._begun, self._takes = self._lost, 0.0
        elif self._ready:
            self._begun = math.inf

    def close(self) -> None:
        """The backend is gone: nobody waits for it any more. It may come back while some are still inside."""
        self._closed = True
        self._ready = False
        self._begun = math.inf
        if self._thaw is not None:
            self._thaw.cancel()
            self._thawed()
        self._refresh()
        self._turn_away("gone")
        self._call_off()

    def _turn_away(self, why: Why, kind: FailureKind | None = None) -> None:
        while waiter := self._line.pop():
            waiter.turned_away(why, kind)

    def _call_off(self) -> None:
        for waiter in list(self.sleepers):
            waiter.called_off()

    @property
    def waiting(self) -> int:
        """How many wait in line."""
        return len(self._line)

    def quiet_for(self, now: float) -> float:
        """Seconds for which nobody has asked, as far as is known: at the most since this began to count."""
        return 0.0 if self.in_flight or self.waiting else max(now - self._asked, 0.0)

    @property
    def cooling(self) -> float:
        """Until when it is left alone, on the loop's clock; minus infinity: it is not."""
        return self._cooling

    @property
    def trouble(self) -> Trouble | None:
        """Why nothing is let through, if so."""
        return self._troubles.get(self.name)

    # Requests.

    def meant(self, now: float) -> None:
        """A request was meant for it, whoever answers: of a cold one the first begins a start, or should."""
        if self._ready or self._closed:
            return
        self.cold += 1
        self._asked = now
        if self._begun == math.inf:
            self._begun = now
            self._refresh()

    def enter(self) -> None:
        """A request is inside."""
        self.in_flight += 1
        self.requests += 1
        if self._troubles or self.in_flight >= self._most:
            if self._down:
                self._next_trial = self._loop.time() + TRIAL_SECONDS
            self._refresh()

    def leave(self) -> None:
        """A request is out; the next one in line enters."""
        self.in_flight -= 1
        self._asked = self._loop.time()
        if self.name in self._troubles:
            self._refresh()
            self._call()

    def wait(self, waiter: Waiter, user: str) -> bool:
        """Put a request in line; False: the line is full, and no other user has more in it."""
        taken = self._line.push(user, waiter)
        if not taken and (last := self._line.displace(user)) is not None:
            taken = self._line.push(user, waiter)
            last.turned_away("full")
        self._refresh()
        return taken

    def give_up(self, waiter: Waiter) -> None:
        """A request waits no more, neither in line nor for its next try."""
        self._asked = self._loop.time()
        self.sleepers.discard(waiter)
        if self._line.remove(waiter):
            self._refresh()

    def _call(self) -> None:
        """Call those in line as long as there is place for them; who is called enters before this goes on."""
        if self._calling:
            return
        self._calling = True
        try:
            while self._line and self._open():
                waiter = self._line.pop()
                if waiter is not None:
                    waiter.called()
        finally:
            self._calling = False
        self._refresh()

    # What is the matter.

    def failed(self, kind: FailureKind) -> None:
        """A try failed. When all replicas are out, the way in which the last one failed is what is the matter."""
        if kind in _SICK:
            self._failing = kind

    def cool(self, seconds: float, kind: FailureKind) -> None:
        """Let nothing through for a while: the backend said that it is asked too often, or when to come again."""
        until = self._loop.time() + seconds
        if until <= self._cooling:
            return
        self._cooling, self._cooling_for = until, kind
        if self._thaw is not None:
            self._thaw.cancel()
        self._thaw = self._loop.call_at(until, self._thawed)
        self._refresh()

    def _thawed(self) -> None:
        self._thaw = None
        self._cooling = -math.inf
        self._refresh()
        self._call()

    def set_down(self, down: bool) -> None:  # noqa: FBT001
        """All replicas are ejected, or one is back."""
        if down and not self._down:
            self._next_trial = self._loop.time() + TRIAL_SECONDS
        self._down = down
        self._refresh()
        if down:
            self._call_off()
            self._turn_away("failing", self._failing)
        else:
            self._call()

    def _open(self) -> bool:
        """Whether one from the line may enter now."""
        found = self._find(in_line=True)
        # What a start was thought to take may be over without a replica.
        return found is None or (found.kind != "ColdStart" and found.until <= self._loop.time())

    def _refresh(self) -> None:
        found = self._find()
        if found is None or self._closed:
            self._troubles.pop(self.name, None)
        else:
            self._troubles[self.name] = found

    def _find(self, *, in_line: bool = False) -> Trouble | None:
        if not self._ready:
            return Trouble("ColdStart", self._begun + self._takes)
        full = self.in_flight >= self._most  # a trouble that is over must not let more in than there is place for
        if self._cooling > -math.inf:
            return Trouble(self._cooling_for, math.inf if full else self._cooling)
        if self._down:
            return Trouble(self._failing, math.inf if full else self._next_trial)
        if full or (len(self._line) and not in_line):
            return Trouble("Overloaded")
        return None
