"""What the status says of each backend, in numbers and in a sentence a person can act on.

Called by ``report`` and ``plan``. Never looks at pods: what can answer is in the snapshot, and why not, in what was
observed of the Deployment and of errands.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from modelroute.api import types as t
from modelroute.api.status import BackendStatus, StartStatus, WarmupStatus
from modelroute.planning import names
from modelroute.planning.observed import Observed
from modelroute.planning.scaling.scale import Scaled
from modelroute.planning.status.deployments import trouble
from modelroute.planning.status.sentences import several
from modelroute.planning.unresolved import Missing
from modelroute.snapshot.types import Snapshot
from modelroute.snapshot.weights import shares


class Found(NamedTuple):
    """What else there is to say of a backend."""

    scaled: Scaled | None  # None: its pods are not ours
    warmup: WarmupStatus | None
    start: StartStatus | None


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
            desired_replicas=scaled.desired if scaled else None,
            sleeping_replicas=scaled.sleeping if scaled else None,
            scaling=scaled.status if scaled else None,
            warmup=warmup,
            start=start,
            message=problems.get(b.name) or _message(route, b, ready[b.name], observed, scaled),
        )
        for b, (scaled, warmup, start) in ((b, found[b.name]) for b in route.spec.backends)
    )


def backend_troubles(route: t.ModelRoute, observed: Observed) -> dict[str, str]:
    """What the Deployments of vLLM backends say is wrong, by backend."""
    own = {b.name: names.backend(route.metadata.name, b.name) for b in route.spec.backends if b.vllm}
    found = {backend: trouble(deployment, observed) for backend, deployment in own.items()}
    return {backend: sentence for backend, sentence in found.items() if sentence}


def _message(route: t.ModelRoute, backend: t.Backend, ready: int, observed: Observed, scaled: Scaled | None) -> str:
    if backend.external:
        return f"requests go to {backend.external.base_url}"
    if backend.target_ref:
        return f'Service "{backend.target_ref.name}" has {ready or "no"} ready endpoint{"" if ready == 1 else "s"}'
    name = names.backend(route.metadata.name, backend.name)
    wrong = trouble(name, observed) or _stuck(observed, backend)
    said = _vllm_message(backend, ready, wrong, scaled) if scaled else wrong
    beside = (_not_scaled(backend, name, observed), _unpulled(route, backend, observed))
    return "; ".join(filter(None, (said, *beside)))


_ABLE = {"HPA": ("HorizontalPodAutoscaler", "ScalingActive"), "KEDA": ("ScaledObject", "Ready")}
"""The autoscaler of an engine, and its condition that is False while it cannot count."""


def _not_scaled(backend: t.Backend, name: str, observed: Observed) -> str:
    """Why the backend's autoscaler ``name`` changes no number, as it says itself; empty when it may."""
    kind, able = _ABLE.get(backend.scaling.engine, ("", ""))
    live = observed.child(kind, name) or {}
    for told in (live.get("status") or {}).get("conditions") or ():
        if (told.get("type"), told.get("status")) == (able, "False"):
            why = f"{kind} does not scale it: {told.get('reason')}: {told.get('message')}"
            # KEDA does not say more of what its query came to.
            return f"{why}: does Prometheus scrape the routers?" if told.get("reason") == "TriggerError" else why
    return ""


def _unpulled(route: t.ModelRoute, backend: t.Backend, observed: Observed) -> str:
    """On how many nodes its image is, while it is to be on more of them."""
    name = names.prepull(route.metadata.name, backend.name)
    counts = (observed.child("DaemonSet", name) or {}).get("status") or {}
    there, nodes = counts.get("numberReady") or 0, counts.get("desiredNumberScheduled") or 0
    return f"the image is on {there} of {nodes} nodes (DaemonSet {name})" if there < nodes else ""


def _stuck(observed: Observed, backend: t.Backend) -> str:
    """What replicas do not do though they are told to; empty when all do."""
    return several([observed.stuck[p.name] for p in observed.replicas(backend.name) if p.name in observed.stuck])


def _vllm_message(backend: t.Backend, ready: int, wrong: str, scaled: Scaled) -> str:
    desired, resting = scaled.desired, (scaled.sleeping or 0) + scaled.draining
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
