"""A replica that goes answers first what it has: it is marked, routers leave it alone, then the number is lowered.

Called by ``scale``. The marks on the pods are all that is remembered: when more is wanted again they are taken away,
and the replicas serve on. Never lowers a number under which a replica is busy, until its time is over.
"""

from dataclasses import dataclass

from modelroute.api.scalars import seconds
from modelroute.planning import names
from modelroute.planning.errands import Errand, Mark
from modelroute.planning.observed import Pod
from modelroute.planning.scaling.demand import STABLE_SECONDS
from modelroute.planning.scaling.replicas import Replicas
from modelroute.planning.times.moments import rfc3339

_COST = "-1000"


@dataclass(frozen=True, slots=True)
class Drain:
    """The number that may be asked for now, and what must be done for a lower one."""

    replicas: int
    going: frozenset[str]  # pods that are marked, or are to be
    errands: tuple[Errand, ...]
    moments: tuple[float, ...]  # when the time of those that are marked is over, in Unix seconds


def drain(replicas: Replicas, there: int, goal: int, now: float) -> Drain:
    """The way from ``there`` to ``goal``: up at once, down when those that go have nothing left to answer."""
    alive = replicas.alive
    ranked = _ranked(replicas, len(alive) - there)
    marked = [p for p in ranked if p.draining is not None]
    # More pods than asked for are there while versions roll, and until those of a lowered number have ended.
    going, may_go = min(there, len(alive)) - goal, max(len(alive) - goal, 0)
    errands: list[Errand] = [_unmark(pod) for pod in marked[may_go:]]
    left = marked[:may_go]
    if going <= 0:
        return Drain(goal, frozenset(p.name for p in left), tuple(errands), ())
    new = [p for p in ranked if p.draining is None][: max(going - len(left), 0)]
    errands += [_mark(pod, now) for pod in (*new, *(p for p in left if _since(p, now) != p.draining))]
    longest = seconds(replicas.backend.scaling.scale_down.drain_timeout)
    ends = tuple(_since(pod, now) + longest for pod in left)
    # One that is to serve again would be among the first to be deleted as long as it is marked.
    settled = len(left) == len(marked) >= going
    done = settled and all(now >= end or replicas.is_free(p) for p, end in zip(left, ends, strict=True))
    return Drain(goal if done else there, frozenset(p.name for p in (*left, *new)), tuple(errands), ends)


def _ranked(replicas: Replicas, more: int) -> list[Pod]:
    """Who goes first. While versions roll there are ``more`` than asked for, and those of the old version go.

    The new ones are what is left in the end: one that is marked would get no requests, with nobody beside it.
    """
    if more <= 0:
        return replicas.first_to_go(replicas.alive)
    by_age = sorted(replicas.alive, key=lambda p: (p.created, p.name))
    new = [p for p in by_age if not p.ready][-more:]
    return [*sorted((p for p in by_age if p not in new), key=lambda p: p.ready), *new]


def _since(pod: Pod, now: float) -> float:
    """When it was marked; what a clock that was ahead marked has its time from now on."""
    at = now if pod.draining is None else pod.draining
    return at if at <= now + STABLE_SECONDS else now


def _mark(pod: Pod, now: float) -> Mark:
    return Mark(pod.name, ((names.DRAINING_ANNOTATION, rfc3339(now)), (names.DELETION_COST_ANNOTATION, _COST)))


def _unmark(pod: Pod) -> Mark:
    return Mark(pod.name, ((names.DRAINING_ANNOTATION, None), (names.DELETION_COST_ANNOTATION, None)))
