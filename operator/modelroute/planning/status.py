"""What the status says of each backend and of the router, in numbers and in a sentence a person can act on.

Called by ``plan``. Never looks at pods: what can answer is in the snapshot, and why not, in what was observed of the
Deployment.
"""

import re
from collections.abc import Sequence

from modelroute.api import types as t
from modelroute.api.status import BackendStatus, RouterStatus
from modelroute.planning import names, replicas
from modelroute.planning.drift import needs_apply
from modelroute.planning.observed import KubeObject, Observed
from modelroute.planning.settings import Settings
from modelroute.planning.unresolved import Missing
from modelroute.snapshot.types import Snapshot
from modelroute.snapshot.weights import shares

_POD = re.compile(r'pods "[^"]*" is')
"""A pod that was refused, such as by a quota: each try has another name."""


def router_status(route: t.ModelRoute, live: KubeObject | None, settings: Settings, revision: str) -> RouterStatus:
    """The router; ``live`` is its Deployment."""
    asked = route.spec.router
    port = "" if (asked.scheme, asked.port) in (("http", 80), ("https", 443)) else f":{asked.port}"
    host = f"{names.router(route.metadata.name)}.{route.metadata.namespace}.svc.{settings.cluster_domain}"
    return RouterStatus(
        ready_replicas=((live or {}).get("status") or {}).get("readyReplicas") or 0,
        desired_replicas=asked.replicas,
        revision=revision,
        url=f"{asked.scheme}://{host}{port}/v1",
    )


def rolled_out(desired: KubeObject, live: KubeObject | None) -> bool:
    """Whether all pods of the Deployment are of the version that is wanted now, and no older ones are left."""
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
    route: t.ModelRoute, observed: Observed, snapshot: Snapshot, missing: Sequence[Missing]
) -> tuple[BackendStatus, ...]:
    """One entry a backend, in the manifest's order."""
    weights = _percentages(snapshot)
    ready = {b.name: len(b.endpoints) for b in snapshot.backends}
    problems = {m.backend: f"{m.path}: {m.problem}" for m in missing}
    return tuple(
        BackendStatus(
            name=b.name,
            type="VLLM" if b.vllm else "Service" if b.target_ref else "External",
            effective_weight=weights[b.name],
            ready_replicas=None if b.external else ready[b.name],
            desired_replicas=_desired(route, b, observed) if b.vllm else None,
            message=problems.get(b.name) or _message(route, b, ready[b.name], observed),
        )
        for b in route.spec.backends
    )


def backend_troubles(route: t.ModelRoute, observed: Observed) -> dict[str, str]:
    """What the Deployments of vLLM backends say is wrong, by backend."""
    own = {b.name: names.backend(route.metadata.name, b.name) for b in route.spec.backends if b.vllm}
    found = {backend: trouble(deployment, observed) for backend, deployment in own.items()}
    return {backend: sentence for backend, sentence in found.items() if sentence}


def _message(route: t.ModelRoute, backend: t.Backend, ready: int, observed: Observed) -> str:
    if backend.external:
        return f"requests go to {backend.external.base_url}"
    if backend.target_ref:
        return f'Service "{backend.target_ref.name}" has {ready or "no"} ready endpoint{"" if ready == 1 else "s"}'
    return _vllm_message(route, backend, ready, observed)


def _vllm_message(route: t.ModelRoute, backend: t.Backend, ready: int, observed: Observed) -> str:
    desired = _desired(route, backend, observed)
    wrong = trouble(names.backend(route.metadata.name, backend.name), observed)
    if wrong:
        return f"{ready} of {desired} replicas are ready: {wrong}"
    if not desired:
        return (
            "no replica is asked for now"
            if backend.scaling.min_replicas
            else "scaling.minReplicas is 0: no replica is kept"
        )
    if ready < desired and backend.vllm:
        return f"{ready} of {desired} replicas are ready; a start may take up to {backend.vllm.startup_timeout}"
    return f"{ready} of {desired} replicas are ready"


def _desired(route: t.ModelRoute, backend: t.Backend, observed: Observed) -> int:
    live = observed.child("Deployment", names.backend(route.metadata.name, backend.name))
    return replicas.desired(backend, live)


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
