"""Whom the operator asks for what they run and have to do, and how often: as a value, made by ``plan``.

Handed by the reconciler to the controller's sampler, which asks beside the reconciles. Never asks itself. A route
without routers and without replicas that load may change asks nobody: a thousand of these cost nothing at rest.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from modelroute.api import types as t
from modelroute.api.podchecks import PORT
from modelroute.planning.observed import Observed, Pod
from modelroute.planning.resources.router import ADMIN_PORT
from modelroute.snapshot.types import Snapshot

RESTING_SECONDS, SAMPLED_SECONDS, COLD_SECONDS = 15.0, 2.0, 1.0
"""Seconds between two looks: at routers alone, where load decides on replicas, and while a first request must bring
the first of them."""


@dataclass(frozen=True, slots=True)
class Replica:
    """A pod that runs vLLM."""

    pod: str
    backend: str
    address: str  # host:port
    marked: bool = False  # it is to go or to sleep once it has nothing to do


@dataclass(frozen=True, slots=True)
class Sampled:
    """A backend whose replicas load may change."""

    backend: str
    scaling: t.Scaling
    ready: int  # replicas that take requests


@dataclass(frozen=True, slots=True)
class Asking:
    """Whom to ask. Without arguments: nobody."""

    revision: str = ""  # of the snapshot that routers should run
    routers: tuple[tuple[str, str], ...] = ()  # pod, and host:port of its admin port
    replicas: tuple[Replica, ...] = ()
    sampled: tuple[Sampled, ...] = ()
    interval: float = RESTING_SECONDS  # seconds, once all routers run the revision

    def __bool__(self) -> bool:
        """Whether there is anybody."""
        return bool(self.routers or self.replicas)


def asking_of(route: t.ModelRoute, observed: Observed, snapshot: Snapshot, revision: str) -> Asking:
    """Whom to ask of ``route``; ``revision`` is of the snapshot that is in force, or gets it."""
    port = route.spec.router.sidecar.admin_port
    routers = ((p, port if p.component == "sidecar" else ADMIN_PORT) for p in observed.routers() if answers(p))
    ready = {b.name: len(b.endpoints) for b in snapshot.backends}
    sampled = tuple(Sampled(b.name, b.scaling, ready[b.name]) for b in route.spec.backends if is_sampled(route, b))
    return Asking(
        revision,
        tuple((pod.name, pod.at(number)) for pod, number in routers),
        tuple(_replicas(route, observed, {s.backend for s in sampled})),
        sampled,
        COLD_SECONDS if any(not s.ready for s in sampled) else SAMPLED_SECONDS if sampled else RESTING_SECONDS,
    )


def is_sampled(route: t.ModelRoute, backend: t.Backend) -> bool:
    """Whether the operator changes the number of replicas by what they have to do."""
    scaling = backend.scaling
    by_schedule = any(backend.name in schedule.min_replicas for schedule in route.spec.schedules)
    return bool(backend.vllm and scaling.engine == "BuiltIn" and (scaling.most > scaling.min_replicas or by_schedule))


def answers(pod: Pod) -> bool:
    """Whether a pod can be asked."""
    return bool(pod.ready and not pod.ending and pod.address)


def _replicas(route: t.ModelRoute, observed: Observed, sampled: set[str]) -> Iterator[Replica]:
    """Those of backends that load changes, among which a router has a choice, or of which one is to go or sleep."""
    for backend in route.spec.backends:
        pods = [p for p in observed.replicas(backend.name) if _may_answer(p)]
        if backend.vllm and (backend.name in sampled or len(pods) > 1 or any(p.marked for p in pods)):
            for pod in pods:
                yield Replica(pod.name, backend.name, pod.at(PORT), pod.marked)


def _may_answer(pod: Pod) -> bool:
    """A replica that is marked is not ready any more, perhaps, and is waited for all the same."""
    return answers(pod) or bool(pod.address and not pod.ending and pod.marked)
