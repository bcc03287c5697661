"""Whether a request that failed is tried again at the same backend: elsewhere at once, or later, or not at all.

Kept by ``exchange``, one for each request. Holds at most one retry of the route's budget, until that try is over.
"""

import random
from collections.abc import Collection

from modelroute.api.types import FailureKind
from modelroute.policy.balance import Pool
from modelroute.policy.retry import Budget, backoff, tries
from modelroute.router.replicas.endpoints import Endpoint
from modelroute.router.replicas.target import Target
from modelroute.snapshot.types import Retry

_ELSEWHERE = frozenset({"ConnectFailure", "Timeout", "ServerError", "Overloaded"})
_LATER = frozenset({"ConnectFailure", "ServerError", "Overloaded", "RateLimited"})


class Retries:
    """The tries of one request; ``made`` are those so far, at fallbacks too."""

    __slots__ = ("_budget", "_most", "_owed", "_settings", "_taken", "asked")

    def __init__(self, budget: Budget, settings: Retry, sdk_retries: int) -> None:
        self._budget = budget
        self._settings = settings
        self._most = tries(settings, sdk_retries)
        self._taken = False
        self._owed = 0  # times that it waited for the budget
        self.asked = 0.0  # seconds that the backend asked for, by Retry-After

    def elsewhere(
        self, target: Target, avoid: Collection[Endpoint], kind: FailureKind, made: int, *, free: bool
    ) -> Pool[Endpoint] | None:
        """The other replicas, if one of them is to be tried now.

        ``free``: who failed has done no work, so that to go elsewhere adds no load, and spends no budget.
        """
        if kind not in _ELSEWHERE or made >= self._most or target.pool is None or target.down:
            return None
        pool = target.pool.without(avoid)
        return pool if pool is not None and (free or self._take()) else None

    def across(self, kind: FailureKind, made: int, *, free: bool) -> bool:
        """Whether another backend may be tried that has a share of its own to carry.

        Who says that it is asked too often has done no work either.
        """
        again = kind in _ELSEWHERE or kind in _LATER
        return again and made < self._most and (free or kind == "RateLimited" or self._take())

    def later(self, target: Target, kind: FailureKind, made: int, left: float, now: float) -> float | None:
        """Seconds after which to try the same backend again; not when all of it fails, nor past what is ``left``.

        Where a replica was lost with all that it had, the budget cannot bear all of it at once: those wait for it.
        """
        if kind not in _LATER or made >= self._most or target.down:
            return None
        wait = max(backoff(self._settings, made, random.random()), self.asked, target.gate.cooling - now)  # noqa: S311
        if wait >= left or wait > self._settings.max_wait:
            return None
        if not self._take():
            self._owed += 1
            hopeless = not (self._settings.budget_floor or self._settings.budget_percent)
            if kind != "ConnectFailure" or hopeless or self._owed > self._most:
                return None
        return wait

    def affordable(self) -> bool:
        """Whether the try that was waited for is within the budget."""
        return self._taken or self._take()

    def may_follow(self, made: int) -> bool:
        """Whether a retry could follow the next try, and could be paid now."""
        return made + 1 < self._most and (self._taken or self._budget.may(self._settings))

    def _take(self) -> bool:
        self._taken = self._budget.take(self._settings)
        return self._taken

    def done(self) -> None:
        """The try is over, whatever came of it."""
        if self._taken:
            self._taken = False
            self._budget.give_back()
