"""Who is tried next when a backend cannot answer a request: another replica, another backend, the same again later.

Kept by ``exchange``, one for each request, which acts on what is said here. Never names a backend that the request must
not reach, or has been at.
"""

import random
from collections.abc import Callable
from typing import NamedTuple

from modelroute.api.types import FailureKind
from modelroute.policy.balance import Pool
from modelroute.policy.decide import Forward, next_backend, next_peer
from modelroute.policy.facts import Moment
from modelroute.policy.table import EVERYBODY
from modelroute.router.flow.choosing import note_cold
from modelroute.router.flow.retries import Retries
from modelroute.router.replicas.endpoints import Endpoint
from modelroute.router.replicas.live import Live, Route
from modelroute.router.replicas.target import Target


class Other(NamedTuple):
    """Another backend takes over, and why just that one."""

    target: Target
    reason: str


class Later(NamedTuple):
    """The same backend is tried again after so many seconds."""

    seconds: float


class Failed(NamedTuple):
    """How a try of a backend failed.

    ``endpoint``: where; None: it was not even tried. ``free``: nothing was done there. ``again``: the same may go
    better in a while. ``left``: seconds that are left for the request.
    """

    kind: FailureKind
    endpoint: Endpoint | None
    free: bool
    again: bool
    left: float


class Succession:
    """That of one request. ``tried`` are the backends that it was at; ``barred`` those that it never reaches."""

    __slots__ = ("_avoid", "_live", "_retries", "_route", "barred", "tried")

    def __init__(self, live: Live, route: Route, retries: Retries) -> None:
        self._live, self._route, self._retries = live, route, retries
        self._avoid: tuple[Endpoint, ...] = ()
        self.barred = EVERYBODY
        self.tried: tuple[str, ...] = ()

    def at(self, target: Target) -> None:
        """The request is at ``target`` now."""
        self.tried += (target.name,)
        self._avoid = ()

    def after(self, target: Target, failed: Failed, made: int, now: float) -> Pool[Endpoint] | Other | Later | None:
        """Who comes after ``target``: other replicas of it, somebody else, it again; ``made`` tries so far."""
        kind = failed.kind
        if failed.endpoint is not None:
            self._avoid += (failed.endpoint,)
            latest = self._live.latest(target)  # some of the replicas may be about to go, or to sleep
            pool = self._retries.elsewhere(latest, self._avoid, kind, made, free=failed.free) if latest else None
            if pool is not None:
                return pool
        self._note_cold(kind, now)
        if (other := self.fallback(kind, now)) is not None:
            return other
        other = self._peer(now)
        if other is not None and self._retries.across(kind, made, free=failed.free):
            return other
        if failed.endpoint is None or not failed.again:
            return None
        seconds = self._retries.later(target, kind, made, failed.left, now)
        return None if seconds is None else Later(seconds)

    def anybody_after(self, pool: Pool[Endpoint], made: int, now: float) -> bool:
        """Whether anybody is left for a request that is late in its next try, of one of ``pool``."""
        if self.fallback("Timeout", now) is not None:
            return True
        return self._retries.may_follow(made) and (len(pool.replicas) > 1 or self._peer(now) is not None)

    def fallback(self, kind: FailureKind, now: float) -> Other | None:
        """Who is declared for failures of this kind, and can answer now."""
        moment = Moment(self._route.troubles, now)
        return self._latest(lambda: next_backend(self._route.policy, self.tried, kind, moment, self.barred))

    def overflow(self, kind: FailureKind, now: float) -> Other | None:
        """Who answers a request that waited in vain: who is declared for that; of a cold backend's also one with a
        share of its own."""
        return self.fallback(kind, now) or (self._peer(now) if kind == "ColdStart" else None)

    def _note_cold(self, kind: FailureKind, now: float) -> None:
        """Count it for a cold backend that is declared for failures of this kind before anybody who can answer."""
        route, tried, barred = self._route, self.tried, self.barred
        moment = Moment(route.troubles, now)
        note_cold(route, moment, lambda then: next_backend(route.policy, tried, kind, then, barred))

    def _peer(self, now: float) -> Other | None:
        """One that has a share of its own and can answer now, as a new request would find it."""
        moment, draw = Moment(self._route.troubles, now), random.random()  # noqa: S311
        return self._latest(lambda: next_peer(self._route.policy, self.tried, moment, self.barred, draw))

    def _latest(self, find: Callable[[], Forward | None]) -> Other | None:
        """Whom it finds, by the snapshot that is in force now; one that is gone since counts as tried."""
        while (found := find()) is not None:
            target = self._live.latest(self._route.targets[found.backend.name])
            if target is not None:
                return Other(target, found.reason)
            self.tried += (found.backend.name,)
        return None
