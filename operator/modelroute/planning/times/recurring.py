"""When a cron expression comes in a time zone, as points in time: what it names is looked up on the wall's clock.

Called by ``schedule`` and ``slots``. Never reads a clock. Each time that the wall's clock may show counts once, though
the clock be set forward over it (then it comes at that moment) or back behind it (then it comes the first time).
Openings are at whole minutes, as are the offsets of all zones today.
"""

import datetime as dt
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim

_MINUTE = 60.0
_KEPT = 4096
"""Answers that are kept: many routes ask for the same, and each asks several times a minute."""


class Moment(NamedTuple):
    """A point in time, and what the wall's clock says of it: several times where it was set forward over them."""

    at: float  # Unix seconds
    walls: tuple[dt.datetime, ...]


def newest(cron: str, zone: str, now: float) -> Moment | None:
    """The last time that ``cron`` came, ``now`` among them; None: not in fifty years."""
    return _newest(cron, zone, int(now // _MINUTE))


def following(cron: str, zone: str, now: float) -> float | None:
    """When ``cron`` comes next after ``now``, in Unix seconds; None: not in fifty years."""
    return _following(cron, zone, int(now // _MINUTE))


def closing(moment: Moment, length: dt.timedelta, zone: str) -> float:
    """When that which began at ``moment`` ends, in Unix seconds: when the wall's clock is ``length`` further.

    What would end as it begins, since the clock was set forward over all of it, lasts its ``length``.
    """
    ends = (_at(wall + length, ZoneInfo(zone)) for wall in moment.walls)
    return max(end if end > moment.at else moment.at + length.total_seconds() for end in ends)


@lru_cache(_KEPT)
def _newest(cron: str, zone: str, minute: int) -> Moment | None:
    tz, now = ZoneInfo(zone), minute * _MINUTE
    wall, repeated = _shown(now, tz)
    found: Moment | None = None
    # One second on, since the library gives what is strictly before.
    for candidate in CronSim(cron, wall + repeated + dt.timedelta(seconds=1), reverse=True):
        at = _at(candidate, tz)
        if found and at < found.at:
            break
        if at <= now:
            found = Moment(at, (*(found.walls if found else ()), candidate))
    return found


@lru_cache(_KEPT)
def _following(cron: str, zone: str, minute: int) -> float | None:
    tz, now = ZoneInfo(zone), minute * _MINUTE
    wall, _ = _shown(now, tz)
    return next((at for candidate in CronSim(cron, wall) if (at := _at(candidate, tz)) > now), None)


def _shown(now: float, tz: ZoneInfo) -> tuple[dt.datetime, dt.timedelta]:
    """What the wall's clock shows, and how much later it was before it was set back to show that once more."""
    here = dt.datetime.fromtimestamp(now, tz)
    first = here.replace(fold=0).utcoffset() or dt.timedelta()
    return here.replace(tzinfo=None, fold=0), first - (here.utcoffset() or dt.timedelta())


def _at(wall: dt.datetime, tz: ZoneInfo) -> float:
    """When the wall's clock first shows ``wall``, or jumps over it."""
    while not _exists(wall, tz):
        wall = wall.replace(second=0, microsecond=0) + dt.timedelta(minutes=1)
    return wall.replace(tzinfo=tz).timestamp()


def _exists(wall: dt.datetime, tz: ZoneInfo) -> bool:
    there = wall.replace(tzinfo=tz)
    return there.astimezone(dt.UTC).astimezone(tz).replace(tzinfo=None) == wall
