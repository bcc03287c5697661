"""Whether a cron expression, or the name of a time zone, means something: what their patterns cannot say.

Used by ``rules``: the API server's expressions know neither. Never says what time it is.
"""

import datetime as dt
import difflib
import json
from functools import cache
from zoneinfo import available_timezones

from cronsim import CronSim, CronSimError

_FIELDS = {  # in the library's words, with what may stand in each
    "Bad minute": "a minute is 0 to 59",
    "Bad hour": "an hour is 0 to 23",
    "Bad day-of-month": "a day of the month is 1 to 31",
    "Bad month": "a month is 1 to 12, or Jan to Dec",
    "Bad day-of-week": "a day of the week is 0 to 7 (0 and 7 are Sunday), or Sun to Sat",
}
_SOME_DAY = dt.datetime(2000, 1, 1)  # noqa: DTZ001 - whatever the zone
_MONTH = 3


def cron_problem(expression: str) -> str:
    """Why ``expression``, which fits the scalar's pattern, never comes, in a sentence; empty when it does come."""
    trouble = _trouble(expression)
    if not trouble:
        return ""
    fields = expression.split()
    in_any_month = " ".join([*fields[:_MONTH], "*", *fields[_MONTH + 1 :]])
    if trouble == "Bad day-of-month" and not _trouble(in_any_month):
        return f"{json.dumps(expression)} never comes: no month that it names has such a day"
    wrong = fields[list(_FIELDS).index(trouble)]
    return f'{json.dumps(expression)} has "{wrong}" where {_FIELDS[trouble]}; a range goes upwards'


def zone_problem(name: str) -> str:
    """Why ``name`` is no time zone, in a sentence; empty when it is one."""
    zones = _zones()
    if name in zones:
        return ""
    near = difflib.get_close_matches(name, zones, 1)
    advice = f'did you mean "{near[0]}"?' if near else 'write one of the IANA\'s, such as "Europe/Berlin"'
    return f"{json.dumps(name)} is no time zone; {advice}"


def _trouble(expression: str) -> str:
    """The library's word for what is wrong, such as ``Bad minute``."""
    try:
        CronSim(expression, _SOME_DAY)
    except CronSimError as error:
        return str(error)
    return ""


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())
