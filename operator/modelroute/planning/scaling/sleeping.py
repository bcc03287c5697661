"""Replicas that nobody needs put their weights away, and take them back before new ones are started.

Called by ``scale``. A replica is marked before it sleeps, so that routers let go of it, and the mark goes when it has
answered again; so one that was started anew meanwhile, and is awake, gets nothing until then either.
"""

from collections.abc import Collection, Iterator

from modelroute.api.podchecks import PORT
from modelroute.planning import names
from modelroute.planning.errands import Errand, Mark, Sleep, Wake
from modelroute.planning.observed import Pod
from modelroute.planning.requests import first_request
from modelroute.planning.scaling.replicas import Replicas
from modelroute.planning.times.moments import rfc3339


def rest(replicas: Replicas, awake: int, asleep: int, going: Collection[str], now: float) -> tuple[Errand, ...]:
    """What brings it about that, of the pods that are there and not ``going``, so many are awake and so many asleep."""
    staying = [p for p in replicas.alive if p.name not in going]
    answering = [p for p in replicas.answering() if p.name not in going]
    sleepers = sorted(
        (p for p in staying if replicas.sleeps(p)),
        key=lambda p: (replicas.oversleeps(p), not p.ready, p.created, p.name),
    )
    # What has yet to start, as after a node was lost, is no one to answer while others sleep.
    surplus = max(len(sleepers) - asleep, min(len(sleepers), awake - len(answering)), 0)
    # One that does not wake is told to as long as one is missing: it is known to be so no longer than that.
    woken = [p for i, p in enumerate(sleepers) if i < surplus or (surplus and replicas.oversleeps(p))]
    return (
        *(Wake(first_request(replicas.backend, pod)) for pod in woken),
        *_kept(replicas, [p for p in sleepers if p not in woken], now),
        *_sent(replicas, answering, awake, asleep - len(sleepers), now),
    )


def _kept(replicas: Replicas, sleepers: list[Pod], now: float) -> Iterator[Errand]:
    for pod in sleepers:
        if pod.sleeping is None:
            yield _mark(pod, now)
        elif pod.ready and not replicas.lies_down(pod) and replicas.is_free(pod):
            errand = Sleep(replicas.backend.name, pod.name, pod.at(PORT), pod.sleeping, pod.started or 0.0)
            if not replicas.lay_down(errand):
                yield errand


def _sent(replicas: Replicas, answering: list[Pod], awake: int, more: int, now: float) -> Iterator[Errand]:
    """Of those that answer at most so many that enough are left: what has yet to start is awake when it has."""
    for pod in replicas.first_to_go(answering)[: max(min(more, len(answering) - awake), 0)]:
        yield _mark(pod, now)


def _mark(pod: Pod, now: float) -> Mark:
    return Mark(pod.name, ((names.SLEEPING_ANNOTATION, rfc3339(now)),))
