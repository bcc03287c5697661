"""The one decision of the operator: from what a route asks for and what is seen, all that must be.

Called by the controller at every reconcile. Level-based: nothing is remembered but the route's own status, so that a
run that was cut short is simply run again. Never touches the cluster, never reads a clock: ``now`` is an argument.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from modelroute.api import types as t
from modelroute.api.status import PastStart, Status
from modelroute.planning import names
from modelroute.planning.asking import Asking, asking_of
from modelroute.planning.errands import Errand
from modelroute.planning.observed import KubeObject, Observed, place
from modelroute.planning.resources import autoscaler, count, prepull, router, vllm
from modelroute.planning.resources.policies import policies
from modelroute.planning.routing import starts
from modelroute.planning.routing.endpoints import endpoints_of
from modelroute.planning.routing.loads import loads_of
from modelroute.planning.routing.snapshot import snapshot_of, written_revision
from modelroute.planning.scaling.scale import Scaled, scale
from modelroute.planning.settings import Settings
from modelroute.planning.status import report
from modelroute.planning.status.acks import acks_of
from modelroute.planning.status.backends import Found, backend_troubles
from modelroute.planning.status.events import Event, changes
from modelroute.planning.times import schedule
from modelroute.planning.times.moments import first
from modelroute.planning.unresolved import missing
from modelroute.planning.warming import warmup
from modelroute.snapshot.codec import decode, encode
from modelroute.snapshot.types import Snapshot


@dataclass(frozen=True, slots=True)
class Plan:
    """What must be. To be carried out in this order, with only what differs being written."""

    objects: tuple[KubeObject, ...]  # for server-side apply, each with apiVersion, kind and owner
    orphans: tuple[KubeObject, ...]  # live children that are no longer wanted, to be deleted
    snapshot: Snapshot  # with its revision
    revision: str  # of the snapshot that the routers have, or get by ``objects``
    status: Status
    events: tuple[Event, ...]  # what changed since the route's old status
    errands: tuple[Errand, ...] = ()  # what pods are to be asked or told
    look_again: float | None = None  # when time alone will change this plan, in Unix seconds
    asking: Asking = field(default_factory=Asking)  # whom to ask for what they run and have to do
    router_selector: str = ""  # of the pods that mount the snapshot, by labels; empty: none does
    started: tuple[PastStart, ...] = ()  # starts of replicas that the status has now, and had not before


def plan(route: t.ModelRoute, observed: Observed, settings: Settings, now: float) -> Plan:
    """All that must be for ``route``, whose ``status`` is the old one; ``now`` is in Unix seconds. Raises nothing."""
    lost = missing(route, observed, settings)
    unusable = {m.backend for m in lost if not (m.of_replicas or m.unknown)}  # those that run have what they need
    endpoints = endpoints_of(route, observed, unusable)
    loads, loads_due = loads_of(route, observed, endpoints, now)
    started = starts.known(route, observed, now)
    encoded = encode(snapshot_of(route, endpoints, loads, {name: one.told for name, one in started.items()}))
    snapshot = decode(encoded)
    fits = len(encoded) <= report.MAX_SNAPSHOT_BYTES
    revision = snapshot.revision if fits else written_revision(route, observed)
    config_map = router.config_map(route, encoded, revision)
    gateway = router.gateway(route, settings) if route.spec.router.mode == "Gateway" else ()
    # What was not written cannot make a router let go of anybody.
    in_force = revision if fits else ""
    scaled = {b.name: scale(route, b, observed, in_force, now) for b in route.spec.backends if b.vllm}
    own = _backend_children(route, observed, settings, scaled)
    wanted = (config_map, *own, *policies(route, settings), *gateway)
    kept = {place(o) for o in wanted}
    warmth = warmup.warmth(route, observed, endpoints, now)
    acks = acks_of(route, observed, revision, now)
    of = {name: Found(scaled.get(name), warmth.statuses.get(name), s.learnt.status) for name, s in started.items()}
    found = report.Findings(lost, snapshot, acks, gateway[-1] if gateway else None, len(encoded), of)
    said = report.status_of(route, observed, settings, found, now)
    resting = [name for name, s in scaled.items() if s.rests]
    return Plan(
        objects=tuple(o for o in wanted if place(o) not in observed.foreign and (fits or o is not config_map)),
        orphans=tuple(c for c in observed.children if place(c) not in kept and not _is_ending(c)),
        snapshot=snapshot,
        revision=revision,
        status=said,
        events=(*changes(route.status, said, backend_troubles(route, observed), resting), *warmth.events),
        errands=(*(errand for s in scaled.values() for errand in s.errands), *warmth.errands),
        look_again=first(
            loads_due,
            acks.look_again,
            warmth.look_again,
            schedule.next_change(route, now),
            *(s.look_again for s in scaled.values()),
        ),
        asking=asking_of(route, observed, snapshot, revision),
        router_selector=_router_selector(route),
        started=tuple(start for one in started.values() for start in one.learnt.counted),
    )


def _backend_children(
    route: t.ModelRoute, observed: Observed, settings: Settings, scaled: Mapping[str, Scaled]
) -> Iterator[KubeObject]:
    for backend in route.spec.backends:
        if backend.vllm is None:
            continue
        cache, name = backend.vllm.model_cache, names.backend(route.metadata.name, backend.name)
        if cache and cache.size:
            live = observed.child("PersistentVolumeClaim", names.cache(route.metadata.name, backend.name))
            yield vllm.claim(route, backend, cache, live)
        yield vllm.service(route, backend)
        yield vllm.disruption_budget(route, backend)
        found, live = scaled[backend.name], observed.child("Deployment", name)
        least, by_keda = found.status.floor, observed.child("ScaledObject", name) is not None
        number = least if found.replicas is None else found.replicas
        whose = count.count(backend, live, number, scaled_object=by_keda)
        yield vllm.deployment(route, backend, backend.vllm, whose, live)
        yield from autoscaler.autoscalers(route, backend, least, settings)
        if backend.vllm.pre_pull:
            yield prepull.daemon_set(route, backend, backend.vllm)


def _router_selector(route: t.ModelRoute) -> str:
    name, mode = route.metadata.name, route.spec.router.mode
    labels = {"Gateway": names.router_selector(name), "Sidecar": {names.SIDECAR_LABEL: name}}.get(mode, {})
    return ",".join(f"{label}={value}" for label, value in labels.items())


def _is_ending(child: KubeObject) -> bool:
    return bool(child["metadata"].get("deletionTimestamp"))
