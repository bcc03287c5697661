"""What a start of a replica takes: learnt from those that have come, and told to routers while one is coming.

Called by ``plan``. Never reads a clock, and remembers nothing but the last starts in the route's status. Their middle
one counts: a single slow start (an image's first pull, a node that had to be bought) moves nothing, three in a row do.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec

from modelroute.api import types as t
from modelroute.api.status import PastStart, StartStatus
from modelroute.planning.observed import Observed, Pod, WarmUpResult
from modelroute.planning.times.moments import believed, rfc3339
from modelroute.snapshot.types import Start

KEPT = 5


class Learnt(NamedTuple):
    """What is known of a backend's starts, and which of them are new, the oldest first."""

    status: StartStatus | None = None
    counted: tuple[PastStart, ...] = ()


class Known(NamedTuple):
    """What is known of one backend's starts, and what routers are told of the next."""

    learnt: Learnt
    told: Start


def known(route: t.ModelRoute, observed: Observed, now: float) -> dict[str, Known]:
    """Of every backend, in the manifest's order; ``now`` in Unix seconds."""
    old = {b.name: b.start for b in route.status.backends} if route.status else {}
    found: dict[str, Known] = {}
    for backend in route.spec.backends:
        replicas = observed.replicas(backend.name)
        learnt = learn(old.get(backend.name), replicas, now)
        learnt = woken(learnt, [observed.warm_ups[p.name] for p in replicas if p.name in observed.warm_ups])
        found[backend.name] = Known(learnt, start_of(learnt.status, replicas))
    return found


def learn(old: StartStatus | None, replicas: Sequence[Pod], now: float) -> Learnt:
    """``old``, with the starts of those ``replicas`` that became ready since; each is counted once.

    Of two that became ready in the same second, but were not seen together, one is passed over.
    """
    newest = believed(old.newest if old else None, now) or 0.0
    known = {start.pod for start in old.last} if old else set()
    fresh = sorted(
        (ready, pod.name, pod)
        for pod in replicas
        if (ready := _ready(pod)) is not None and newest < ready <= now + 1 and pod.name not in known
    )
    if not fresh:
        return Learnt(old)
    past = tuple(_phases(pod, ready) for ready, _, pod in fresh)
    last = (*reversed(past), *(old.last if old else ()))[:KEPT]
    middle = sorted(last, key=total)[len(last) // 2]
    status = StartStatus(
        seconds=total(middle),
        scheduling=middle.scheduling,
        pull=middle.pull,
        load=middle.load,
        warmup=middle.warmup,
        wake=old.wake if old else None,
        starts=(old.starts if old else 0) + len(past),
        newest=rfc3339(fresh[-1][0]),
        last=last,
    )
    return Learnt(status, past)


def woken(learnt: Learnt, warm_ups: Sequence[WarmUpResult]) -> Learnt:
    """``learnt``, with what it took the replica that woke last: to wake, and to answer. Whole seconds, rounded up."""
    woke = max((p for p in warm_ups if p.wake_seconds is not None and not p.error), key=lambda p: p.at, default=None)
    if learnt.status is None or woke is None:
        return learnt
    took = math.ceil((woke.wake_seconds or 0.0) + woke.answer_seconds)
    return learnt._replace(status=msgspec.structs.replace(learnt.status, wake=took))


def start_of(learnt: StartStatus | None, replicas: Sequence[Pod]) -> Start:
    """What routers are told of a backend's start; ``since`` while a replica is coming and none is there yet.

    Where all that are there sleep, the first to answer is one that wakes. One that is in trouble is looked at only
    where no other is coming: it may have been for days, and a start that has just begun is not late.
    """
    if learnt is None:
        return Start()
    alive = [pod for pod in replicas if not pod.ending and pod.draining is None]
    if any(pod.ready and pod.sleeping is None for pod in alive):
        return Start(seconds=float(learnt.seconds))
    if learnt.wake is not None and any(pod.ready for pod in alive):
        return Start(seconds=float(learnt.wake))
    coming = [pod for pod in alive if not pod.ready]
    able = [pod for pod in coming if not pod.trouble]
    return Start(seconds=float(learnt.seconds), since=min((_began(p, learnt) for p in able or coming), default=None))


def _began(pod: Pod, learnt: StartStatus) -> float:
    """When a start that is where this one is would have begun, had it gone as usual until then.

    So one that waited an hour for a node is as far from its end as any other that has just found one. The moments of a
    container that was started again say nothing, and change with each time.
    """
    if pod.restarted:
        return pod.created
    to_node = -math.inf if pod.scheduled is None else pod.scheduled - learnt.scheduling
    to_image = -math.inf if pod.started is None else pod.started - learnt.scheduling - learnt.pull
    return max(pod.created, to_node, to_image)


def total(start: PastStart) -> int:
    """All seconds of a start."""
    return start.scheduling + start.pull + start.load + start.warmup


def _ready(pod: Pod) -> float | None:
    """When the pod became ready, if its start tells what a start takes.

    That of a container that ended once does not. Nor does one whose node's clock is behind the API server's by more
    than the start took.
    """
    ready = pod.warm if pod.gated else pod.loaded
    if ready is None or pod.loaded is None or pod.restarted or ready <= pod.created:
        return None
    return ready


def _phases(pod: Pod, ready: float) -> PastStart:
    """The phases add up to the whole; what a clock that is off says is cut to the phases beside it."""
    moments = [pod.created]
    for moment in (pod.scheduled, pod.started, pod.loaded, ready):
        moments.append(min(max(moment or moments[-1], moments[-1]), ready))
    lengths = (round(b) - round(a) for a, b in pairwise(moments))
    return PastStart(pod.name, *lengths)
