"""Slots of warm-up schedules: the moments at which every ready replica is asked, each of them once.

Called by ``warmup``. Never reads a clock, and remembers nothing but the newest slot of each schedule in the status: so
a clock that jumps, or an operator that was down, brings at most one slot of a schedule, and none twice.
"""

from collections.abc import Collection
from typing import NamedTuple

import msgspec

from modelroute.api import types as t
from modelroute.api.status import WarmupStatus
from modelroute.planning.status.events import Event
from modelroute.planning.times import recurring
from modelroute.planning.times.moments import believed, first, rfc3339

GRACE_SECONDS = 60.0
"""A slot that has not begun by then is missed."""


class Slot(NamedTuple):
    """One moment of one schedule; ``time`` is RFC 3339, in UTC and whole seconds."""

    schedule: str
    time: str


def due(backend: t.Backend, old: WarmupStatus | None, now: float) -> tuple[Slot, ...]:
    """The slots that must begin at ``now`` (Unix seconds), at most one a schedule; none that ``old`` has."""
    patient = backend.warmup.on_missed == "RunOnce"
    return tuple(slot for slot, at in _unsettled(backend, old, now) if patient or now - at < GRACE_SECONDS)


def account(
    backend: t.Backend, status: WarmupStatus | None, begun: Collection[Slot], now: float
) -> tuple[WarmupStatus | None, tuple[Event, ...]]:
    """``status`` with the slots that are passed over now, and what to tell of them.

    Passed over is what was missed, and what came before its schedule was seen for the first time; not what has
    ``begun``. Slots of schedules that are gone are forgotten.
    """
    old = status.slots if status else {}
    schedules = {s.name: s for s in backend.warmup.schedules}
    first = {name: rfc3339(at.at) for name, at in _newest(backend, now).items() if believed(old.get(name), now) is None}
    waits = {*begun, *due(backend, status, now)}
    missed = {slot.schedule: slot.time for slot, _ in _unsettled(backend, status, now) if slot not in waits}
    slots = {name: time for name, time in (old | first | missed).items() if name in schedules}
    if slots == old:
        return status, ()
    said = status or WarmupStatus()
    sentences = [_sentence(schedules[name]) for name in missed]
    news = [Event("Warning", "WarmupMissed", f"{backend.name}: {s}") for s in sentences if s not in said.message]
    message = "; ".join(sentences) or said.message
    return msgspec.structs.replace(said, slots=slots, message=message), tuple(news)


def next_look(backend: t.Backend, old: WarmupStatus | None, now: float) -> float | None:
    """When time alone changes which slots are due, in Unix seconds: a slot comes, or is missed."""
    crons = ((s.cron, s.time_zone) for s in backend.warmup.schedules)
    coming = [recurring.following(cron, zone, now) for cron, zone in crons]
    expiring = [at + GRACE_SECONDS for _, at in _unsettled(backend, old, now) if now - at < GRACE_SECONDS]
    return first(*coming, *expiring)


def _unsettled(backend: t.Backend, old: WarmupStatus | None, now: float) -> list[tuple[Slot, float]]:
    """The newest slot of each schedule, where it is newer than the one that the status has."""
    slots = old.slots if old else {}
    return [
        (Slot(name, rfc3339(newest.at)), newest.at)
        for name, newest in _newest(backend, now).items()
        if (recorded := believed(slots.get(name), now)) is not None and newest.at > recorded
    ]


def _newest(backend: t.Backend, now: float) -> dict[str, recurring.Moment]:
    found = {s.name: recurring.newest(s.cron, s.time_zone, now) for s in backend.warmup.schedules}
    return {name: moment for name, moment in found.items() if moment is not None}


def _sentence(schedule: t.WarmupSchedule) -> str:
    """The same at each slot that is missed, so that it is told once."""
    when = f"{schedule.cron}, {schedule.time_zone}"
    return f"{schedule.name} ({when}): a slot could not begin within {GRACE_SECONDS:.0f} s and was passed over"
