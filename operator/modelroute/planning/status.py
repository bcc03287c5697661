"""What the status says of each backend and of the router, in numbers and in a sentence a person can act on.

Called by ``plan``. Never looks at pods: what can answer is in the snapshot, and why not, in what was observed of the
Deployment.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from modelroute.api import types as t
from modelroute.api.status import BackendStatus, RouterStatus, StartStatus, WarmupStatus
from modelroute.planning import names
from modelroute.planning.acks import Acks
from modelroute.planning.drift import needs_apply
from modelroute.planning.observed import KubeObject, Observed, Pod
from modelroute.planning.scaling.scale import Scaled
from modelroute.planning.settings import Settings
from modelroute.planning.unresolved import Missing
from modelroute.planning.warmup import stuck
from modelroute.snapshot.types import Snapshot
from modelroute.snapshot.weights import shares

_POD = re.compile(r'pods "[^"]*" is')
"""A pod that was refused, such as by a quota: each try has another name."""


class Found(NamedTuple):
    """What else there is to say of a backend."""

    scaled: Scaled
    warmup: WarmupStatus | None
    start: StartStatus | None


def router_status(route: t.ModelRoute, observed: Observed, settings: Settings, acks: Acks) -> RouterStatus:
    """The router: the pods of its Deployment, or those that have one in them, or none; ``acks`` is what they say."""
    asked = route.spec.router
    if asked.mode == "None":
        return RouterStatus(revision=acks.revision)
    if asked.mode == "Sidecar":
        pods = _sidecars(observed)
        ready, desired = sum(p.ready for p in pods), len(pods)
        url = f"http://127.0.0.1:{asked.sidecar.port}/v1"
        return RouterStatus(ready, desired, acks.current, acks.revision, url)
    live = observed.child("Deployment", names.router(route.metadata.name))
    port = "" if (asked.scheme, asked.port) in (("http", 80), ("https", 443)) else f":{asked.port}"
    host = f"{names.router(route.metadata.name)}.{route.metadata.namespace}.svc.{settings.cluster_domain}"
    ready = ((live or {}).get("status") or {}).get("readyReplicas") or 0
    return RouterStatus(ready, asked.replicas, acks.current, acks.revision, f"{asked.scheme}://{host}{port}/v1")


def _sidecars(observed: Observed) -> tuple[Pod, ...]:
    """The pods with a router in them, without those that end: their work is done."""
    return tuple(p for p in observed.routers() if p.component == "sidecar" and not p.ending)


def router_trouble(route: t.ModelRoute, observed: Observed) -> str:
    """What is wrong with the router, in a sentence; empty when nothing."""
    if route.spec.router.mode == "Gateway":
        return trouble(names.router(route.metadata.name), observed)
    return min((p.trouble for p in _sidecars(observed) if p.trouble), default="")


def rolled_out(desired: KubeObject, observed: Observed) -> bool:
    """Whether all pods of the Deployment are of the version that is wanted now, and no older ones are left."""
    live = observed.child(desired["kind"], desired["metadata"]["name"])
    if live is None or needs_apply(desired, live):
        return False
    status = live.get("status") or {}
    seen = (status.get("observedGeneration") or 0) >= (live["metadata"].get("generation") or 0)
    return bool(seen and (status.get("updatedReplicas") or 0) >= (status.get("replicas") or 0))


def trouble(name: str, observed: Observed) -> str:
    """What is wrong with the Deployment ``name``, by its own conditions and by its pods; empty when nothing."""
    live = observed.child("Deployment", name)
    found = {c["type"]: c for c in ((live or {}).get("status") or {}).get("conditions") or ()}
    failure, progress = found.get("ReplicaFailure"), found.get("Progressing")
    if failure and failure["status"] == "True":
        return f"{failure.get('reason')}: {_POD.sub('pods are', failure.get('message') or '')}"
    if name in observed.troubles:
        return observed.troubles[name]
    if progress and progress["status"] == "False":
        return f"{progress.get('reason')}: {progress.get('message')}; see its pods for why"
    return ""


def backend_statuses(
    route: t.ModelRoute,
    observed: Observed,
    snapshot: Snapshot,
    missing: Sequence[Missing],
    found: Mapping[str, Found],
) -> tuple[BackendStatus, ...]:
    """One entry a backend, in the manifest's order; ``found`` has all of them."""
    weights = _percentages(snapshot)
    ready = {b.name: len(b.endpoints) for b in snapshot.backends}
    problems = {m.backend: f"{m.path}: {m.problem}" for m in missing if not m.unknown}
    return tuple(
        BackendStatus(
            name=b.name,
            type="VLLM" if b.vllm else "Service" if b.target_ref else "External",
            effective_weight=weights[b.name],
            ready_replicas=None if b.external else ready[b.name],
            desired_replicas=found[b.name].scaled.desired,
            sleeping_replicas=found[b.name].scaled.sleeping,
            scaling=found[b.name].scaled.status,
            warmup=found[b.name].warmup,
            start=found[b.name].start,
            message=problems.get(b.name) or _message(route, b, ready[b.name], observed, found[b.name].scaled),
        )
        for b in route.spec.backends
    )


def backend_troubles(route: t.ModelRoute, observed: Observed) -> dict[str, str]:
    """What the Deployments of vLLM backends say is wrong, by backend."""
    own = {b.name: names.backend(route.metadata.name, b.name) for b in route.spec.backends if b.vllm}
    found = {backend: trouble(deployment, observed) for backend, deployment in own.items()}
    return {backend: sentence for backend, sentence in found.items() if sentence}


def _message(route: t.ModelRoute, backend: t.Backend, ready: int, observed: Observed, scaled: Scaled) -> str:
    if backend.external:
        return f"requests go to {backend.external.base_url}"
    if backend.target_ref:
        return f'Service "{backend.target_ref.name}" has {ready or "no"} ready endpoint{"" if ready == 1 else "s"}'
    wrong = trouble(names.backend(route.metadata.name, backend.name), observed) or stuck(observed, backend)
    return _vllm_message(backend, ready, wrong, scaled)


def _vllm_message(backend: t.Backend, ready: int, wrong: str, scaled: Scaled) -> str:
    desired, resting = scaled.desired or 0, (scaled.sleeping or 0) + scaled.draining
    counted = f"{ready} of {desired} replicas are ready"
    counted += f", {scaled.sleeping} asleep" if scaled.sleeping else ""
    counted += f", {scaled.draining} about to go" if scaled.draining else ""
    if wrong:
        return f"{counted}: {wrong}"
    if not desired and scaled.replicas is not None:
        fixed = backend.scaling.max_replicas is None
        why = "no replica is kept" if fixed else "none is kept while nobody asks, and a request starts one"
        return f"scaling.minReplicas is 0: {why}"
    if ready + resting < desired and backend.vllm:
        return f"{counted}; a start may take up to {backend.vllm.startup_timeout}"
    return counted


def _percentages(snapshot: Snapshot) -> dict[str, int]:
    """Each backend's share in whole percent, 100 in all: what rounding leaves goes to the largest remainders."""
    exact = dict.fromkeys((b.name for b in snapshot.backends), 0.0)
    for share in shares(snapshot.backends, snapshot.fallbacks):
        exact[share.backend.name] += 100 * share.share
    floors = {name: int(round(value, 6)) for name, value in exact.items()}  # 99.9999999 is a hundred
    left = round(sum(exact.values())) - sum(floors.values())
    by_remainder = sorted(exact, key=lambda name: round(floors[name] - exact[name], 6))
    for name in by_remainder[:left]:
        floors[name] += 1
    return floors
