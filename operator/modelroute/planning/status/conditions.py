"""The four conditions of a ModelRoute: Accepted, ResolvedRefs, Programmed, Ready; each a verdict and then a Condition.

Called by ``report``. Never keeps anything of an old condition but the time of its last change.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from modelroute.api import types as t
from modelroute.api.status import BackendStatus, Condition, RouterStatus, Status, condition_of
from modelroute.planning.names import SIDECAR_LABEL
from modelroute.planning.pods import lacks_device
from modelroute.planning.references import CLIENT_KEYS_PATH
from modelroute.planning.status.acks import Acks
from modelroute.planning.status.sentences import several
from modelroute.planning.unresolved import Missing
from modelroute.snapshot.types import Snapshot

TYPES = ("Accepted", "ResolvedRefs", "Programmed", "Ready")
"""In the order in which a person reads them."""


SNAPSHOT_LARGE = "SnapshotLarge"
"""A reason of Accepted that a person should act on before it is too late."""


class Verdict(NamedTuple):
    """A condition without its times."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str


def merged(old: Status | None, verdicts: Sequence[Verdict], generation: int, now: str) -> tuple[Condition, ...]:
    """The conditions of the next status; ``now`` becomes the transition time of those whose status changes.

    A condition without a verdict stays as it was, with the generation that it was about.
    """
    by_type = {v.type: v for v in verdicts}
    found: list[Condition] = []
    for type_ in TYPES:
        before, verdict = condition_of(old, type_), by_type.get(type_)
        if verdict:
            since = before.last_transition_time if before and before.status == verdict.status else now
            found.append(Condition(*verdict, last_transition_time=since, observed_generation=generation))
        elif before:
            found.append(before)
    return tuple(found)


def accepted(large: str) -> Verdict:
    """Of a spec that ``parse`` let through; ``large``: a sentence when little is left of the size it may come to."""
    if large:
        return Verdict("Accepted", "True", SNAPSHOT_LARGE, f"the spec is valid, but {large}")
    return Verdict("Accepted", "True", "Accepted", "the spec is valid")


def resolved_refs(missing: Sequence[Missing]) -> Verdict:
    """Whether all that the spec refers to is there."""
    if not missing:
        return Verdict("ResolvedRefs", "True", "ResolvedRefs", "all references are resolved")
    first = min(missing, key=lambda m: m.unknown)
    status: Literal["False", "Unknown"] = "Unknown" if first.unknown else "False"
    return Verdict("ResolvedRefs", status, first.reason, "; ".join(f"{m.path}: {m.problem}" for m in missing))


class Delivery(NamedTuple):
    """How the configuration gets to routers. ``oversize`` (of a snapshot that was not written) and ``trouble`` (of the
    router) are sentences, or empty. ``written``: the snapshot is that of ``acks``; ``rolled_out``: all pods of the
    Deployment are of the last version, where there is one."""

    foreign: Sequence[str]
    oversize: str
    trouble: str
    written: bool
    rolled_out: bool
    injection: bool  # whether pods that ask for a router get one


def programmed(route: t.ModelRoute, router: RouterStatus, acks: Acks, delivery: Delivery) -> Verdict:
    """Whether what was asked for is in force: all children are ours, and every router says it runs the snapshot."""
    if delivery.foreign:
        owned = f"{', '.join(delivery.foreign)}: there already, and not of this ModelRoute; delete or rename it"
        return Verdict("Programmed", "False", "NameConflict", owned)
    if delivery.oversize:
        return Verdict("Programmed", "False", "SnapshotTooLarge", delivery.oversize)
    if route.spec.router.mode != "Gateway" and not delivery.written:
        return Verdict("Programmed", "False", "SnapshotNotWritten", "the configuration is being written")
    if route.spec.router.mode != "Gateway" and not router.desired_replicas:
        return _without_router(route, router, injection=delivery.injection)
    pods = _pods(route, router)
    if delivery.trouble:
        return Verdict("Programmed", "False", "RoutersFailing", f"{pods}: {delivery.trouble}")
    if router.ready_replicas < router.desired_replicas:
        return Verdict("Programmed", "False", "RoutersNotReady", pods)
    if not delivery.rolled_out:
        return Verdict("Programmed", "False", "RoutersNotReady", f"{pods}, but not all are of the last version yet")
    return _acknowledged(router, acks)


def _acknowledged(router: RouterStatus, acks: Acks) -> Verdict:
    """What routers that are all there say that they run."""
    run = f"{acks.current} of {router.desired_replicas} routers run generation {acks.generation}"
    if acks.refused:
        return Verdict("Programmed", "False", "SnapshotRefused", f"{run}; {several(acks.refused)}")
    if acks.unreachable:
        check = f"the operator must reach port {acks.port} of router pods: check that NetworkPolicies let it"
        return Verdict("Programmed", "False", "RoutersUnreachable", f"{run}; {several(acks.unreachable)}; {check}")
    if acks.current < router.desired_replicas:
        return Verdict("Programmed", "False", "RoutersLagging", "; ".join(filter(None, (run, several(acks.lagging)))))
    return Verdict("Programmed", "True", "RoutersUpToDate", run)


def _without_router(route: t.ModelRoute, router: RouterStatus, *, injection: bool) -> Verdict:
    written = f"the configuration is written, revision {router.revision}"
    if route.spec.router.mode == "None":
        return Verdict("Programmed", "True", "SnapshotWritten", f"{written}; no router is run")
    if not injection:
        none = "this operator serves no webhooks, so pods get no router; use mode Gateway, or install it with webhooks"
        return Verdict("Programmed", "False", "NoInjection", none)
    nobody = f"no pod carries the label {SIDECAR_LABEL}: {route.metadata.name} yet"
    return Verdict("Programmed", "True", "NoSidecars", f"{nobody}; {written}")


def _pods(route: t.ModelRoute, router: RouterStatus) -> str:
    what = "pods with a router in them" if route.spec.router.mode == "Sidecar" else "router pods"
    return f"{router.ready_replicas} of {router.desired_replicas} {what} are ready"


class Serving(NamedTuple):
    """Who may answer: the status of each backend, what routers are given of them, and by backend what is wrong with its
    pods, in a sentence."""

    backends: Sequence[BackendStatus]
    snapshot: Snapshot
    troubles: Mapping[str, str]


def ready(
    route: t.ModelRoute, router: RouterStatus, acks: Acks, serving: Serving, missing: Sequence[Missing]
) -> Verdict:
    """Whether clients get answers: a router is ready, lets them in, and somebody can answer what no rule decides.

    Where the operator runs no router, and as long as no pod has one in it, the backends alone decide.
    A backend that is down while others stand in for it makes the reason SomeBackendsNotReady, not the status False.
    Why pods of a backend do not run is said after the counts, though others of it may.
    It becomes True only when a router says that it runs the newest snapshot; later ones are a matter of Programmed.
    """
    backends, cold = serving.backends, {b.name for b in serving.snapshot.backends if not b.endpoints}
    summary = ", ".join(_brief(b, can_answer=b.name not in cold) for b in backends)
    mode = route.spec.router.mode
    if mode == "Gateway" and not router.desired_replicas:
        return Verdict("Ready", "False", "RouterNotReady", "spec.router.replicas is 0: no router pod is asked for")
    if router.desired_replicas and not router.ready_replicas:
        return Verdict("Ready", "False", "RouterNotReady", _pods(route, router))
    closed = next((m.problem for m in missing if m.path == CLIENT_KEYS_PATH and not m.unknown), "")
    if closed and mode != "None":
        message = f"routers know no keys but those they have read, and one that starts lets nobody in: {closed}"
        return Verdict("Ready", "False", "ClientKeysMissing", message)
    waiting = cold - {b.name for b in backends if b.desired_replicas == 0}
    wrong = [f"{b.name}: {b.message}" for b in backends if b.name in serving.troubles]
    message = "; ".join((summary, *wrong))
    short = any(b.name in cold and lacks_device(b.message) for b in backends)
    if not any(b.effective_weight for b in backends):
        return Verdict("Ready", "False", "InsufficientGPU" if short else "NoBackendReady", message)
    before = condition_of(route.status, "Ready")
    if router.desired_replicas and not (acks.exact or acks.unknown or (before and before.status == "True")):
        return Verdict("Ready", "False", "RouterNotReady", "no router pod has taken up the configuration yet")
    reason = "InsufficientGPU" if short else "SomeBackendsNotReady" if waiting else "AllBackendsReady"
    return Verdict("Ready", "True", reason, message)


def _brief(backend: BackendStatus, *, can_answer: bool) -> str:
    """A backend in three words, such as ``small 1/1 warm``."""
    if backend.type == "VLLM":
        return f"{backend.name} {backend.ready_replicas}/{backend.desired_replicas} warm"
    if backend.type == "Service":
        return f"{backend.name} {backend.ready_replicas} ready"
    return f"{backend.name} external" if can_answer else f"{backend.name} external (no key)"
