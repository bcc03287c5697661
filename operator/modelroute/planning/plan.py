"""The one decision of the operator: from what a route asks for and what is seen, all that must be.

Called by the controller at every reconcile. Level-based: nothing is remembered but the route's own status, so that a
run that was cut short is simply run again. Never touches the cluster, never reads a clock: ``now`` is an argument.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from modelroute.api import types as t
from modelroute.api.status import Status
from modelroute.errors import InvalidManifestError
from modelroute.planning import conditions, names, status
from modelroute.planning.endpoints import endpoints_of
from modelroute.planning.errands import Errand
from modelroute.planning.events import Event, changes
from modelroute.planning.moments import rfc3339
from modelroute.planning.observed import KubeObject, Observed
from modelroute.planning.resources import router, vllm
from modelroute.planning.settings import Settings
from modelroute.planning.snapshot import snapshot_of
from modelroute.planning.unresolved import Missing, missing
from modelroute.snapshot.codec import decode, encode
from modelroute.snapshot.types import Snapshot

MAX_SNAPSHOT_BYTES = 900 * 1024
"""A ConfigMap holds 1 MiB; what is missing to it is for the metadata and for whoever annotates."""


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


@dataclass(frozen=True, slots=True)
class Refusal:
    """What to say of a manifest that cannot be used; what is in the cluster stays as it is."""

    status: Status
    events: tuple[Event, ...]


def plan(route: t.ModelRoute, observed: Observed, settings: Settings, now: float) -> Plan:
    """All that must be for ``route``, whose ``status`` is the old one; ``now`` is in Unix seconds. Raises nothing."""
    lost = missing(route, observed)
    unusable = {m.backend for m in lost if m.reason != "ClaimNotFound"}  # replicas that run have their claim
    encoded = encode(snapshot_of(route, endpoints_of(route, observed, unusable)))
    snapshot = decode(encoded)
    fits = len(encoded) <= MAX_SNAPSHOT_BYTES
    revision = snapshot.revision if fits else _live_revision(route, observed)
    config_map = router.config_map(route, encoded, revision)
    running = () if route.spec.router.mode == "None" else router.pods(route, settings)
    wanted = (config_map, *_backend_children(route, observed), *running)
    kept = {_key(o) for o in wanted}
    oversize = "" if fits else _oversize(len(encoded), revision)
    found = _Findings(lost, snapshot, revision, wanted[-1], oversize)
    said = _status(route, observed, settings, found, now)
    return Plan(
        objects=tuple(o for o in wanted if _key(o) not in observed.foreign and (fits or o is not config_map)),
        orphans=tuple(c for c in observed.children if _key(c) not in kept and not _is_ending(c)),
        snapshot=snapshot,
        revision=revision,
        status=said,
        events=changes(route.status, said, status.backend_troubles(route, observed)),
    )


def refused(metadata: t.Metadata, old: Status | None, error: InvalidManifestError, now: float) -> Refusal:
    """The status of a manifest that ``parse`` refused: Accepted is False, and what the last good one made stays."""
    verdicts = [conditions.Verdict("Accepted", "False", "InvalidSpec", str(error))]
    if conditions.condition_of(old, "Ready") is None:
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
    revision: str
    router: KubeObject  # the Deployment that must be
    oversize: str


def _status(route: t.ModelRoute, observed: Observed, settings: Settings, found: _Findings, now: float) -> Status:
    router_name = names.router(route.metadata.name)
    live, wrong = observed.child("Deployment", router_name), status.trouble(router_name, observed)
    routers = status.router_status(route, live, settings, found.revision)
    backends = status.backend_statuses(route, observed, found.snapshot, found.missing)
    complete = status.rolled_out(found.router, live)
    verdicts = (
        conditions.accepted(),
        conditions.resolved_refs(found.missing),
        conditions.programmed(routers, observed.foreign, found.oversize, wrong, rolled_out=complete),
        conditions.ready(route, routers, backends, found.snapshot, found.missing),
    )
    canary, answering = route.spec.canary, sum(bool(b.endpoints) for b in found.snapshot.backends)
    return Status(
        observed_generation=route.metadata.generation,
        conditions=conditions.merged(route.status, verdicts, route.metadata.generation, rfc3339(now)),
        backends=backends,
        router=routers,
        ready_backends=f"{answering}/{len(backends)}",
        canary=f"{canary.backend} {canary.percent}%" if canary else "",
    )


def _backend_children(route: t.ModelRoute, observed: Observed) -> Iterator[KubeObject]:
    for backend in route.spec.backends:
        if backend.vllm is None:
            continue
        cache = backend.vllm.model_cache
        if cache and cache.size:
            live = observed.child("PersistentVolumeClaim", names.cache(route.metadata.name, backend.name))
            yield vllm.claim(route, backend, cache, live)
        yield vllm.service(route, backend)
        yield vllm.deployment(route, backend, backend.vllm)


def _oversize(size: int, revision: str) -> str:
    stays = f"revision {revision} stays in force" if revision else "no earlier one is in force"
    return (
        f"the routers' configuration has {size} bytes, {MAX_SNAPSHOT_BYTES} at most: {stays}; "
        "shorten system prompts, keyword lists or the canary's allow list"
    )


def _live_revision(route: t.ModelRoute, observed: Observed) -> str:
    """The revision of the snapshot that was last written."""
    live = observed.child("ConfigMap", names.snapshot(route.metadata.name))
    annotations = live["metadata"].get("annotations") or {} if live else {}
    return str(annotations.get(names.REVISION_ANNOTATION, ""))


def _key(child: KubeObject) -> str:
    """``Kind/name``, as ``Observed.foreign`` has it."""
    return f"{child['kind']}/{child['metadata']['name']}"


def _is_ending(child: KubeObject) -> bool:
    return bool(child["metadata"].get("deletionTimestamp"))
