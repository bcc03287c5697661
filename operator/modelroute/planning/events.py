"""Events tell a route's story: what changed between two statuses, and nothing while nothing changes.

Called by ``plan``; the controller publishes them. Never tells of a first status what is ready and what is not yet: that
is no news, and with many new routes it would be a flood.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from modelroute.api.status import BackendStatus, Condition, Status
from modelroute.planning.conditions import condition_of

_TROUBLE = ("NameConflict", "SnapshotTooLarge", "RoutersFailing")
"""Reasons of Programmed that a person must act on; router pods come and go by themselves."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event about a ModelRoute, as ``kubectl describe`` shows it."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


def changes(old: Status | None, new: Status, troubles: Mapping[str, str]) -> tuple[Event, ...]:
    """What a person would want to know of the step from ``old`` to ``new``.

    ``troubles``: what is wrong, now, with the replicas of a backend, by backend. Told where the status tells it: pods
    that wait for something missing are told of by what is missing.
    """
    return tuple(event for found in (_of_conditions(old, new), _of_backends(old, new, troubles)) for event in found)


def _of_conditions(old: Status | None, new: Status) -> Iterator[Event]:
    for after in new.conditions:
        before = condition_of(old, after.type)
        if after.status == "False" and _is_news(before, after):
            yield Event("Warning", after.reason, after.message)
        elif after.status == "True" and before and before.status != "True":
            yield Event("Normal", after.type, after.message)


def _is_news(before: Condition | None, after: Condition) -> bool:
    """Whether a person must hear of what does not hold: that, or why, was not so before."""
    if after.type == "Ready":
        return before is not None and before.status == "True"
    told = before is not None and (before.reason, before.message) == (after.reason, after.message)
    return not told and (after.type != "Programmed" or after.reason in _TROUBLE)


def _of_backends(old: Status | None, new: Status, troubles: Mapping[str, str]) -> Iterator[Event]:
    before = {b.name: b for b in old.backends} if old else {}
    for after in new.backends:
        yield from _of_backend(before.get(after.name), after, troubles.get(after.name, ""), first=old is None)


def _of_backend(before: BackendStatus | None, after: BackendStatus, wrong: str, *, first: bool) -> Iterator[Event]:
    wanted, had = after.desired_replicas, before.desired_replicas if before else None
    if wanted is not None and had is not None and wanted != had:
        yield Event("Normal", "Scaled", f"{after.name} {had} → {wanted} replicas")
    ready, was_ready = bool(after.ready_replicas), bool(before and before.ready_replicas)
    if ready and not was_ready and not first:
        yield Event("Normal", "BackendReady", f"{after.name} takes traffic now: {after.message}")
    elif was_ready and after.ready_replicas == 0 and wanted != 0:  # None: it became an external one
        yield Event("Warning", "BackendNotReady", f"{after.name} gets no traffic now: {after.message}")
    elif wrong and wrong in after.message and not (before and wrong in before.message):
        yield Event("Warning", "BackendFailing", f"{after.name}: {after.message}")
