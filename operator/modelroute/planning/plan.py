"""The one decision of the operator: from what a route asks for and what is seen, all that must be.

Called by the controller at every reconcile. Level-based: nothing is remembered but the route's own status, so that a
run that was cut short is simply run again. Never touches the cluster, never reads a clock: ``now`` is an argument.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from modelroute.api import types as t
from modelroute.api.status import PastStart, Status, condition_of
from modelroute.errors import InvalidManifestError
from modelroute.planning import conditions, names, replicas, schedule, starts, status, warmup
from modelroute.planning.acks import Acks, acks_of
from modelroute.planning.asking import Asking, asking_of
from modelroute.planning.endpoints import endpoints_of
from modelroute.planning.errands import Errand
from modelroute.planning.events import Event, changes
from modelroute.planning.loads import loads_of
from modelroute.planning.moments import rfc3339
from modelroute.planning.observed import KubeObject, Observed
from modelroute.planning.resources import autoscaler, prepull, router, vllm
from modelroute.planning.resources.policies import policies
from modelroute.planning.scaling.scale import Scaled, scale
from modelroute.planning.settings import Settings
from modelroute.planning.snapshot import snapshot_of
from modelroute.planning.unresolved import Missing, missing
from modelroute.snapshot.codec import decode, encode
from modelroute.snapshot.types import Snapshot

MAX_SNAPSHOT_BYTES = 900 * 1024
"""A ConfigMap holds 1 MiB; what is missing to it is for the metadata and for whoever annotates."""
LARGE_PERCENT, SMALLER_PERCENT = 80, 75
"""Of that: from where on there is a warning, and below which it ends."""


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


@dataclass(frozen=True, slots=True)
class Refusal:
    """What to say of a manifest that cannot be used; what is in the cluster stays as it is."""

    status: Status
    events: tuple[Event, ...]


def plan(route: t.ModelRoute, observed: Observed, settings: Settings, now: float) -> Plan:
    """All that must be for ``route``, whose ``status`` is the old one; ``now`` is in Unix seconds. Raises nothing."""
    lost = missing(route, observed, settings)
    unusable = {m.backend for m in lost if not (m.of_replicas or m.unknown)}  # those that run have what they need
    endpoints = endpoints_of(route, observed, unusable)
    loads, loads_due = loads_of(route, observed, endpoints, now)
    started = starts.known(route, observed, now)
    encoded = encode(snapshot_of(route, endpoints, loads, {name: one.told for name, one in started.items()}))
    snapshot = decode(encoded)
    fits = len(encoded) <= MAX_SNAPSHOT_BYTES
    revision = snapshot.revision if fits else _live_revision(route, observed)
    config_map = router.config_map(route, encoded, revision)
    gateway = router.pods(route, settings) if route.spec.router.mode == "Gateway" else ()
    # What was not written cannot make a router let go of anybody.
    scaled = {b.name: _scaled(route, b, observed, revision if fits else "", now) for b in route.spec.backends}
    own = _backend_children(route, observed, settings, scaled)
    wanted = (config_map, *own, *policies(route, settings), *gateway)
    kept = {_key(o) for o in wanted}
    warmth = warmup.warmth(route, observed, endpoints, now)
    acks = acks_of(route, observed, revision, now)
    of = {name: status.Found(scaled[name], warmth.statuses.get(name), started[name].learnt.status) for name in scaled}
    found = _Findings(lost, snapshot, acks, gateway[-1] if gateway else None, len(encoded), of)
    said = _status(route, observed, settings, found, now)
    resting = [name for name, s in scaled.items() if s.rests]
    return Plan(
        objects=tuple(o for o in wanted if _key(o) not in observed.foreign and (fits or o is not config_map)),
        orphans=tuple(c for c in observed.children if _key(c) not in kept and not _is_ending(c)),
        snapshot=snapshot,
        revision=revision,
        status=said,
        events=(*changes(route.status, said, status.backend_troubles(route, observed), resting), *warmth.events),
        errands=(*(errand for s in scaled.values() for errand in s.errands), *warmth.errands),
        look_again=_first(
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


def refused(metadata: t.Metadata, old: Status | None, error: InvalidManifestError, now: float) -> Refusal:
    """The status of a manifest that ``parse`` refused: Accepted is False, and what the last good one made stays."""
    verdicts = [conditions.Verdict("Accepted", "False", "InvalidSpec", str(error))]
    if condition_of(old, "Ready") is None:
        verdicts.append(conditions.Verdict("Ready", "False", "InvalidSpec", "nothing runs yet: the spec is not valid"))
    said = msgspec.structs.replace(
        old or Status(),
        observed_generation=metadata.generation,
        conditions=conditions.merged(old, verdicts, metadata.generation, rfc3339(now)),
    )
    return Refusal(said, changes(old, said, {}))


class _Findings(NamedTuple):
    """What the status is made of, beside what is seen."""

    missing: tuple[Missing, ...]
    snapshot: Snapshot
    acks: Acks
    gateway: KubeObject | None  # the Deployment that must be, if one must
    size: int  # of the snapshot, in bytes
    of: Mapping[str, status.Found]  # by backend


def _status(route: t.ModelRoute, observed: Observed, settings: Settings, found: _Findings, now: float) -> Status:
    routers = status.router_status(route, observed, settings, found.acks)
    backends = status.backend_statuses(route, observed, found.snapshot, found.missing, found.of)
    written = _live_revision(route, observed) == found.acks.revision
    delivery = conditions.Delivery(
        foreign=observed.foreign,
        oversize=_oversize(found.size, found.acks.revision) if found.size > MAX_SNAPSHOT_BYTES else "",
        trouble=status.router_trouble(route, observed),
        rolled_out=status.rolled_out(found.gateway, observed) if found.gateway else written,
        injection=settings.injection,
    )
    serving = conditions.Serving(backends, found.snapshot, status.backend_troubles(route, observed))
    verdicts = (
        conditions.accepted(_large(found.size, route.status)),
        conditions.resolved_refs(found.missing),
        conditions.programmed(route, routers, found.acks, delivery),
        conditions.ready(route, routers, found.acks, serving, found.missing),
    )
    canary, answering = route.spec.canary, sum(bool(b.endpoints) for b in found.snapshot.backends)
    return Status(
        observed_generation=route.metadata.generation,
        conditions=conditions.merged(route.status, verdicts, route.metadata.generation, rfc3339(now)),
        backends=backends,
        router=routers,
        ready_backends=f"{answering}/{len(backends)}",
        canary=f"{canary.backend} {canary.percent}%" if canary else "",
        active_schedules=schedule.active(route, now),
    )


def _scaled(route: t.ModelRoute, backend: t.Backend, observed: Observed, revision: str, now: float) -> Scaled:
    return scale(route, backend, observed, revision, now) if backend.vllm else Scaled(None)


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
        least = found.status.floor if found.status else backend.scaling.min_replicas
        by_keda = observed.child("ScaledObject", name) is not None
        number = least if found.replicas is None else found.replicas
        count = replicas.count(backend, live, number, scaled=by_keda)
        yield vllm.deployment(route, backend, backend.vllm, count, live)
        yield from autoscaler.autoscalers(route, backend, least, settings)
        if backend.vllm.pre_pull:
            yield prepull.daemon_set(route, backend, backend.vllm)


def _first(*moments: float | None) -> float | None:
    return min((moment for moment in moments if moment is not None), default=None)


_SHORTEN = "shorten system prompts, keyword lists or the canary's allow list, or make two routes of it"


def _oversize(size: int, revision: str) -> str:
    stays = f"revision {revision} stays in force" if revision else "no earlier one is in force"
    return f"the routers' configuration has {size} bytes, {MAX_SNAPSHOT_BYTES} at most: {stays}; {_SHORTEN}"


def _large(size: int, old: Status | None) -> str:
    """A warning while there is room still; with a number that does not change with every replica."""
    before = condition_of(old, "Accepted")
    warned = before is not None and before.reason == conditions.SNAPSHOT_LARGE
    if size * 100 <= MAX_SNAPSHOT_BYTES * (SMALLER_PERCENT if warned else LARGE_PERCENT):
        return ""
    return f"the routers' configuration takes most of the {MAX_SNAPSHOT_BYTES} bytes that it may have: {_SHORTEN}"


def _live_revision(route: t.ModelRoute, observed: Observed) -> str:
    """The revision of the snapshot that was last written."""
    live = observed.child("ConfigMap", names.snapshot(route.metadata.name))
    annotations = live["metadata"].get("annotations") or {} if live else {}
    return str(annotations.get(names.REVISION_ANNOTATION, ""))


def _router_selector(route: t.ModelRoute) -> str:
    name, mode = route.metadata.name, route.spec.router.mode
    labels = {"Gateway": names.router_selector(name), "Sidecar": {names.SIDECAR_LABEL: name}}.get(mode, {})
    return ",".join(f"{label}={value}" for label, value in labels.items())


def _key(child: KubeObject) -> str:
    """``Kind/name``, as ``Observed.foreign`` has it."""
    return f"{child['kind']}/{child['metadata']['name']}"


def _is_ending(child: KubeObject) -> bool:
    return bool(child["metadata"].get("deletionTimestamp"))
