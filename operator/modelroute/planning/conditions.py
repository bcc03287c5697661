"""The four conditions of a ModelRoute: Accepted, ResolvedRefs, Programmed, Ready; each a verdict and then a Condition.

Called by ``status`` and ``plan``. Never keeps anything of an old condition but the time of its last change.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from modelroute.api import types as t
from modelroute.api.status import BackendStatus, Condition, RouterStatus, Status
from modelroute.planning.pods import lacks_device
from modelroute.planning.unresolved import CLIENT_KEYS, Missing
from modelroute.snapshot.types import Snapshot

TYPES = ("Accepted", "ResolvedRefs", "Programmed", "Ready")
"""In the order in which a person reads them."""


class Verdict(NamedTuple):
    """A condition without its times."""

    type: str
    status: Literal["True", "False"]
    reason: str
    message: str


def condition_of(status: Status | None, type_: str) -> Condition | None:
    """The condition of that type in ``status``."""
    return next((c for c in status.conditions if c.type == type_), None) if status else None


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


def accepted() -> Verdict:
    """Of a spec that ``parse`` let through."""
    return Verdict("Accepted", "True", "Accepted", "the spec is valid")


def resolved_refs(missing: Sequence[Missing]) -> Verdict:
    """Whether all that the spec refers to is there."""
    if not missing:
        return Verdict("ResolvedRefs", "True", "ResolvedRefs", "all references are resolved")
    return Verdict("ResolvedRefs", "False", missing[0].reason, "; ".join(f"{m.path}: {m.problem}" for m in missing))


def programmed(
    router: RouterStatus, foreign: Sequence[str], oversize: str, trouble: str, *, rolled_out: bool
) -> Verdict:
    """Whether what was asked for is in force: all children are ours, and every router pod can take up the snapshot.

    ``oversize`` (of a snapshot that was not written) and ``trouble`` (of the Deployment) are sentences, or empty.
    """
    if foreign:
        owned = f"{', '.join(foreign)}: there already, and not of this ModelRoute; delete or rename it"
        return Verdict("Programmed", "False", "NameConflict", owned)
    if oversize:
        return Verdict("Programmed", "False", "SnapshotTooLarge", oversize)
    pods = f"{router.ready_replicas} of {router.desired_replicas} router pods are ready"
    if trouble:
        return Verdict("Programmed", "False", "RoutersFailing", f"{pods}: {trouble}")
    if router.ready_replicas < router.desired_replicas:
        return Verdict("Programmed", "False", "RoutersNotReady", pods)
    if not rolled_out:
        return Verdict("Programmed", "False", "RoutersNotReady", f"{pods}, but not all are of the last version yet")
    return Verdict("Programmed", "True", "RoutersReady", f"{pods}, revision {router.revision}")


def ready(
    route: t.ModelRoute,
    router: RouterStatus,
    backends: Sequence[BackendStatus],
    snapshot: Snapshot,
    missing: Sequence[Missing],
) -> Verdict:
    """Whether clients get answers: a router is ready, lets them in, and somebody can answer what no rule decides.

    A backend that is down while others stand in for it makes the reason SomeBackendsNotReady, not the status False.
    """
    cold = {b.name for b in snapshot.backends if not b.endpoints}
    summary = ", ".join(_brief(b, can_answer=b.name not in cold) for b in backends)
    if not router.desired_replicas:
        return Verdict("Ready", "False", "RouterNotReady", "spec.router.replicas is 0: no router pod is asked for")
    if not router.ready_replicas:
        message = f"0 of {router.desired_replicas} router pods are ready"
        return Verdict("Ready", "False", "RouterNotReady", message)
    closed = next((m.problem for m in missing if m.path == CLIENT_KEYS), "")
    if closed:
        message = f"routers know no keys but those they have read, and one that starts lets nobody in: {closed}"
        return Verdict("Ready", "False", "ClientKeysMissing", message)
    waiting = cold - {b.name for b in route.spec.backends if not b.scaling.min_replicas}
    short = "; ".join(f"{b.name}: {b.message}" for b in backends if b.name in cold and lacks_device(b.message))
    if not any(b.effective_weight for b in backends):
        return _not_all("False", "NoBackendReady", summary, short)
    return _not_all("True", "SomeBackendsNotReady" if waiting else "AllBackendsReady", summary, short)


def _not_all(status: Literal["True", "False"], reason: str, summary: str, short: str) -> Verdict:
    """Of backends that lack a GPU it is said: they do not just start slowly."""
    return Verdict("Ready", status, "InsufficientGPU" if short else reason, f"{summary}; {short}" if short else summary)


def _brief(backend: BackendStatus, *, can_answer: bool) -> str:
    """A backend in three words, such as ``small 1/1 warm``."""
    if backend.type == "VLLM":
        return f"{backend.name} {backend.ready_replicas}/{backend.desired_replicas} warm"
    if backend.type == "Service":
        return f"{backend.name} {backend.ready_replicas} ready"
    return f"{backend.name} external" if can_answer else f"{backend.name} external (no key)"
