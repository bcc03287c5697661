"""Who answers for a backend that was chosen and cannot answer now: a fallback, another one, or itself a little later.

Called by ``steps``, and by ``decide`` for a backend that failed. Never looks at a backend that is barred.
"""

import math

from modelroute.policy.facts import Trouble
from modelroute.policy.table import Asked, Choice, Table
from modelroute.snapshot.types import Backend


def cover(table: Table, asked: Asked, backend: Backend, trouble: Trouble) -> Choice | None:
    """Who answers in place of ``backend``; None when its share goes to the others.

    A cold backend follows its cold start policy; what is not worth waiting for is waited for where nobody else can
    answer. One at its limits has its requests wait when nobody is declared to
    take over: other backends have their own share to carry.
    """
    policy = backend.cold_start.policy
    cold = trouble.kind == "ColdStart"
    if cold and policy == "Reject":
        return Choice(backend, "cold", verdict="Reject")
    fallback = fallback_for(table, asked, trouble.kind)
    alone = cold and fallback is None and not any(asked.can(other) for other in table.weighted)
    # Whoever takes over needs as much time as was waited in vain.
    patience = asked.moment.patience if alone else asked.moment.patience / 2
    if cold and _worth_waiting(backend, trouble.until - asked.moment.now, patience):
        return Choice(backend, "held ColdStart", verdict="Hold")
    if fallback:
        return Choice(fallback, f"fallback {trouble.kind}", covers=(backend.name, trouble.kind))
    if trouble.kind == "Overloaded":
        return Choice(backend, "queued", verdict="Hold")
    if alone and policy == "HoldThenFallback":
        return Choice(backend, "held ColdStart", verdict="Hold")
    return None


def _worth_waiting(backend: Backend, rest: float, patience: float) -> bool:
    """Whether a request is held for a cold backend: where the ``rest`` of the start is of use, or unknown (inf).

    Less than nothing: the start is late. What is late by so much may take as long again, and may never come.
    """
    cold_start = backend.cold_start
    if cold_start.policy == "Hold":
        return True
    if cold_start.policy != "HoldThenFallback":
        return False
    return rest == math.inf or abs(rest) <= min(patience, cold_start.max_wait)


def fallback_for(table: Table, asked: Asked, kind: str) -> Backend | None:
    """The first fallback that is declared for ``kind`` and can take the request."""
    for fallback in table.fallbacks:
        if kind in fallback.failures and asked.can(backend := table.backends[fallback.backend]):
            return backend
    return None
