"""Events tell a route's story: what changed between two statuses, and nothing while nothing changes.

Called by ``plan``; the controller publishes them. Never tells of a first status what is ready and what is not yet: that
is no news, and with many new routes it would be a flood.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from modelroute.api.status import BackendStatus, Condition, Status, condition_of
from modelroute.planning.pods import lacks_device
from modelroute.planning.status.conditions import SNAPSHOT_LARGE

_TROUBLE = ("NameConflict", "SnapshotTooLarge", "SnapshotRefused", "RoutersFailing")
"""Reasons of Programmed that a person must act on; router pods come and go, and catch up, by themselves."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event about a ModelRoute, as ``kubectl describe`` shows it."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


def changes(
    old: Status | None, new: Status, troubles: Mapping[str, str], resting: Collection[str] = ()
) -> tuple[Event, ...]:
    """What a person would want to know of the step from ``old`` to ``new``.

    ``troubles``: what is wrong, now, with the replicas of a backend, by backend. Told where the status tells it: pods
    that wait for something missing are told of by what is missing. ``resting``: backends of which no replica is to
    answer now.
    """
    of_backends = _of_backends(old, new, troubles, resting)
    found = (_of_conditions(old, new), _of_schedules(old, new), of_backends)
    return tuple(event for events in found for event in events)


def _of_conditions(old: Status | None, new: Status) -> Iterator[Event]:
    for after in new.conditions:
        before = condition_of(old, after.type)
        if _is_news(before, after):
            yield Event("Warning", after.reason, after.message)
        elif after.status == "True" and before and before.status != "True" and before.reason != "RoutersLagging":
            yield Event("Normal", after.type, after.message)


def _is_news(before: Condition | None, after: Condition) -> bool:
    """Whether a person must hear of what does not hold, or not for long: that, or why, was not so before."""
    if after.reason == SNAPSHOT_LARGE:
        return before is None or before.reason != after.reason
    if after.status != "False":
        return False
    if after.type == "Ready":
        return before is not None and before.status == "True"
    told = before is not None and before.reason == after.reason and _same(before, after)
    return not told and (after.type != "Programmed" or after.reason in _TROUBLE)


def _same(before: Condition, after: Condition) -> bool:
    """Routers refuse a snapshot one by one, and each one that is written for the same spec: that is told once."""
    again = after.reason == "SnapshotRefused" and before.observed_generation == after.observed_generation
    return again or before.message == after.message


def _of_schedules(old: Status | None, new: Status) -> Iterator[Event]:
    """Windows that opened and closed."""
    before = old.active_schedules if old else ()
    floors = ", ".join(f"{b.name} {b.scaling.floor}" for b in new.backends if b.scaling)
    for name in (n for n in new.active_schedules if n not in before):
        yield Event("Normal", "ScheduleOpened", f"{name}: replicas that are kept now: {floors}")
    for name in (n for n in before if n not in new.active_schedules):
        yield Event("Normal", "ScheduleClosed", f"{name}: replicas that are kept now: {floors}")


def _of_backends(
    old: Status | None, new: Status, troubles: Mapping[str, str], resting: Collection[str]
) -> Iterator[Event]:
    before = {b.name: b for b in old.backends} if old else {}
    for after in new.backends:
        wrong, rests = troubles.get(after.name, ""), after.name in resting
        yield from _of_backend(before.get(after.name), after, wrong, rests=rests, first=old is None)


def _why(had: int, after: BackendStatus) -> str:
    """The reason for a number of replicas, where it was decided here."""
    newest = after.scaling.decisions[:1] if after.scaling else ()
    return f": {newest[0].reason}" if newest and newest[0].before == had else " replicas"


def _of_backend(
    before: BackendStatus | None, after: BackendStatus, wrong: str, *, rests: bool, first: bool
) -> Iterator[Event]:
    wanted, had = after.desired_replicas, before.desired_replicas if before else None
    if wanted is not None and had is not None and wanted != had:
        yield Event("Normal", "Scaled", f"{after.name} {had} → {wanted}{_why(had, after)}")
    ready, was_ready = bool(after.ready_replicas), bool(before and before.ready_replicas)
    if ready and not was_ready and not first:
        yield Event("Normal", "BackendReady", f"{after.name} takes traffic now: {after.message}")
    elif was_ready and after.ready_replicas == 0 and not rests:  # None: it became an external one
        yield Event("Warning", "BackendNotReady", f"{after.name} gets no traffic now: {after.message}")
    elif wrong and wrong in after.message and not (before and wrong in before.message):
        reason = "InsufficientGPU" if lacks_device(wrong) else "BackendFailing"
        yield Event("Warning", reason, f"{after.name}: {after.message}")
