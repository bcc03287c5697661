"""How many replicas a backend keeps now, whatever its load: minReplicas, or more while a schedule's window is open.

Called by ``plan`` and by ``scaling``. Never reads a clock: ``now`` is an argument.
"""

import datetime as dt
from dataclasses import dataclass
from typing import NamedTuple

from modelroute.api import types as t
from modelroute.api.scalars import seconds
from modelroute.planning.times import recurring
from modelroute.planning.times.moments import first

_ADJOINING = 16
"""Windows of one schedule, each beginning before the last ends, that are followed to the end of all."""
_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Floor:
    """Replicas that are kept, and the schedules that ask for so many; none: it is minReplicas."""

    replicas: int
    schedules: tuple[str, ...] = ()


def floor(route: t.ModelRoute, backend_name: str, now: float) -> Floor:
    """The floor of a backend at ``now``, in Unix seconds. Of windows that overlap the highest number counts."""
    least = route.backend(backend_name).scaling.min_replicas
    asked = {
        s.name: s.min_replicas[backend_name]
        for s in route.spec.schedules
        if s.min_replicas.get(backend_name, 0) > least and _closes(_window(s), now) is not None
    }
    most = max(asked.values(), default=least)
    return Floor(most, tuple(name for name, replicas in asked.items() if replicas == most))


def active(route: t.ModelRoute, now: float) -> tuple[str, ...]:
    """The schedules whose window is open at ``now``, in Unix seconds."""
    return tuple(s.name for s in route.spec.schedules if _closes(_window(s), now) is not None)


def next_change(route: t.ModelRoute, now: float) -> float | None:
    """When the next window opens or closes after ``now``, both in Unix seconds; None: there are no schedules."""
    return first(*(_change(_window(s), now) for s in route.spec.schedules))


class _Window(NamedTuple):
    cron: str  # when it opens
    length: dt.timedelta  # on the wall's clock
    zone: str


def _window(schedule: t.Schedule) -> _Window:
    if schedule.cron is not None and schedule.duration is not None:
        return _Window(schedule.cron, dt.timedelta(seconds=seconds(schedule.duration)), schedule.time_zone)
    start, end = _of_day(schedule.start), _of_day(schedule.end)
    minute, hour, days = start.seconds // 60 % 60, start.seconds // 3600, ",".join(schedule.days) or "*"
    # One that is not after start is of the next day.
    return _Window(f"{minute} {hour} * * {days}", (end - start) % _DAY, schedule.time_zone)


def _of_day(clock: str | None) -> dt.timedelta:
    """What has gone of the day; the rules see to it that the time is given."""
    hours, _, minutes = (clock or "0:0").partition(":")
    return dt.timedelta(hours=int(hours), minutes=int(minutes))


def _closes(window: _Window, now: float) -> float | None:
    """When the window that is open at ``now`` closes; None: none is."""
    opened = recurring.newest(window.cron, window.zone, now)
    if opened is None:
        return None
    end = recurring.closing(opened, window.length, window.zone)
    return end if end > now else None


def _change(window: _Window, now: float) -> float | None:
    end = _closes(window, now)
    if end is None:
        return recurring.following(window.cron, window.zone, now)
    for _ in range(_ADJOINING):
        later = _closes(window, end)
        if later is None:
            break
        end = later
    return end
