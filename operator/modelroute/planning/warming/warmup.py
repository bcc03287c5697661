"""What replicas are asked before clients ask them, and at the slots of schedules; and what the status says of it.

Called by ``plan``. Level-based: a pod whose gate is closed, or a slot that the status does not have, is asked for until
it is seen to be done. What failed is planned again; how soon it is tried again is the controller's. While the operator
is down, new replicas wait: nothing else opens a gate.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from modelroute.api import types as t
from modelroute.api.podchecks import PORT
from modelroute.api.status import WarmupStatus
from modelroute.planning.errands import CloseGate, Errand, WarmUp
from modelroute.planning.observed import Observed, WarmUpResult
from modelroute.planning.requests import Target, request
from modelroute.planning.status.events import Event
from modelroute.planning.status.sentences import several
from modelroute.planning.times.moments import rfc3339
from modelroute.planning.warming import slots
from modelroute.planning.warming.slots import Slot

Label = tuple[str, str]
"""A slot as an errand has it: schedule (several of one moment: "a, b") and RFC 3339."""


class Warmth(NamedTuple):
    """What is to be asked, and what came of what was asked."""

    errands: tuple[Errand, ...]
    statuses: Mapping[str, WarmupStatus]  # by backend; none where nothing was asked yet
    events: tuple[Event, ...]
    look_again: float | None  # when a slot comes or is missed, in Unix seconds


def warmth(route: t.ModelRoute, observed: Observed, endpoints: Mapping[str, Sequence[str]], now: float) -> Warmth:
    """The warm-ups of all backends but external ones; ``endpoints`` are those that can answer, by backend."""
    errands: list[Errand] = []
    statuses: dict[str, WarmupStatus] = {}
    events: list[Event] = []
    looks: list[float] = []
    before = {b.name: b.warmup for b in route.status.backends} if route.status else {}
    for backend in route.spec.backends:
        if backend.external:
            continue
        targets = _targets(backend, observed, endpoints.get(backend.name, ()))
        status, news, begun = _of_slots(backend, observed, targets, before.get(backend.name), now)
        errands += _of_gates(route, backend, observed)
        errands += [request(backend, target, route.models[0], slot=label) for label, target in begun]
        events += news
        if status:
            statuses[backend.name] = status
        if (look := slots.next_look(backend, status, now)) is not None:
            looks.append(look)
    return Warmth(tuple(errands), statuses, tuple(events), min(looks, default=None))


def _of_gates(route: t.ModelRoute, backend: t.Backend, observed: Observed) -> Iterator[Errand]:
    for pod in observed.replicas(backend.name):
        if not pod.gated or pod.ending:
            continue
        if pod.warm is not None:
            # A container that is started again begins cold, but the API server keeps the gate as it was.
            if pod.started is not None and pod.started > pod.warm:
                yield CloseGate(pod.name)
        elif pod.loaded is not None and pod.address and pod.sleeping is None:
            yield request(backend, Target(pod.name, pod.at(PORT)), route.models[0], opens=pod.loaded)


def _of_slots(
    backend: t.Backend, observed: Observed, targets: Sequence[Target], old: WarmupStatus | None, now: float
) -> tuple[WarmupStatus | None, tuple[Event, ...], list[tuple[Label, Target]]]:
    """The status, what to tell, and who is to be asked for which slot."""
    status = _with_first(old, _results(observed, backend))
    label = _label(backend, observed, old, slots.due(backend, old, now))
    missing = [] if label is None else _missing(observed, label, targets)
    begun: tuple[Slot, ...] = ()
    events: tuple[Event, ...] = ()
    if label and (missing or label in _under_way(observed, backend)):
        begun = tuple(Slot(schedule, label[1]) for schedule in _schedules(label))
    elif label:
        status, events = _finished(backend, old, label, _results(observed, backend), now)
    status, news = slots.account(backend, status, begun, now)
    return status, (*events, *news), [(label, target) for target in missing if label]


def _targets(backend: t.Backend, observed: Observed, endpoints: Sequence[str]) -> tuple[Target, ...]:
    """The replicas that a slot is for: those that get requests."""
    if not backend.vllm:
        return tuple(Target(f"{backend.name}/{address}", address) for address in endpoints)
    resting = (p for p in observed.replicas(backend.name) if p.ready and p.address)
    return tuple(Target(p.name, p.at(PORT)) for p in resting if not p.ending and not p.marked)


def _results(observed: Observed, backend: t.Backend) -> dict[str, WarmUpResult]:
    """How the last warm-up of each replica ended, by pod; those that are not ready any more among them."""
    if not backend.vllm:
        return {pod: p for pod, p in observed.warm_ups.items() if pod.startswith(f"{backend.name}/")}
    return {p.name: observed.warm_ups[p.name] for p in observed.replicas(backend.name) if p.name in observed.warm_ups}


def _under_way(observed: Observed, backend: t.Backend) -> set[Label | None]:
    return {e.slot for e in observed.under_way if isinstance(e, WarmUp) and e.backend == backend.name}


def _label(backend: t.Backend, observed: Observed, old: WarmupStatus | None, asked: Sequence[Slot]) -> Label | None:
    """The slot that is to be carried out, or is: one at a time, the oldest first; slots of one moment are one."""
    recorded = {s.name: old.slots.get(s.name, "") if old else "" for s in backend.warmup.schedules}
    begun = {p.slot for p in _results(observed, backend).values()} | _under_way(observed, backend)
    left = [label for label in begun if label and any(recorded.get(s, label[1]) < label[1] for s in _schedules(label))]
    if left:
        return min(left, key=lambda label: (label[1], label[0]))
    first = min((slot.time for slot in asked), default="")
    return (", ".join(sorted(slot.schedule for slot in asked if slot.time == first)), first) if first else None


def _schedules(label: Label) -> list[str]:
    return label[0].split(", ")


def _missing(observed: Observed, label: Label, targets: Sequence[Target]) -> list[Target]:
    nothing = WarmUpResult(0.0)
    return [target for target in targets if observed.warm_ups.get(target.pod, nothing).slot != label]


def _with_first(old: WarmupStatus | None, results: Mapping[str, WarmUpResult]) -> WarmupStatus | None:
    """``old``, or the newest first answer where that is newer."""
    firsts = [p for p in results.values() if p.slot is None and not p.error]
    newest = max(firsts, key=lambda p: p.at, default=None)
    if newest is None or (old and rfc3339(newest.at) <= (old.time or "")):
        return old
    return WarmupStatus(rfc3339(newest.at), _milliseconds([newest]), slots=old.slots if old else {})


def _finished(
    backend: t.Backend, old: WarmupStatus | None, label: Label, results: Mapping[str, WarmUpResult], now: float
) -> tuple[WarmupStatus, tuple[Event, ...]]:
    """The status once a slot has been carried out, and what to tell of it."""
    done = {pod: p for pod, p in results.items() if p.slot == label}
    failed = [f"{pod.rpartition('/')[2]}: {p.error}" for pod, p in sorted(done.items()) if p.error]
    slowest = _milliseconds([p for p in done.values() if not p.error])
    if failed:
        said = f"{label[0]}: {len(failed)} of {len(done)} replicas did not answer: {several(failed)}"
        events: tuple[Event, ...] = (Event("Warning", "WarmupFailed", f"{backend.name}, {said}"),)
    elif done:
        replicas = f"{len(done)} replica{'' if len(done) == 1 else 's'}"
        said = ""
        told = f"{backend.name}, {label[0]}: {replicas} answered, the slowest after {slowest} ms"
        events = (Event("Normal", "WarmedUp", told),)
    else:
        said, events = f"{label[0]}: no replica was ready", ()
    newest = max((p.at for p in done.values()), default=now)
    carried_out = {**(old.slots if old else {}), **dict.fromkeys(_schedules(label), label[1])}
    kept = {s.name: carried_out[s.name] for s in backend.warmup.schedules if s.name in carried_out}
    return WarmupStatus(rfc3339(newest), slowest, len(failed), said, kept), events


def _milliseconds(answered: Sequence[WarmUpResult]) -> int:
    return round(1000 * max((p.answer_seconds for p in answered), default=0.0))
