"""Mistakes with schedules, and schedules that are right; used beside those of ``manifests``."""

from typing import Any

from tests.fakes.manifests import Mistake, backends


def schedule(**fields: Any) -> dict[str, Any]:
    """A schedule by the clock with these fields; None takes one away."""
    peak = {"name": "peak", "start": "07:30", "end": "19:00", "minReplicas": {"small": 2}} | fields
    return {"schedules": [{k: v for k, v in peak.items() if v is not None}]}


def by_cron(cron: str, **fields: Any) -> dict[str, Any]:
    return schedule(**{"start": None, "end": None, "cron": cron, "duration": "1h"} | fields)


def warmed(**fields: Any) -> dict[str, Any]:
    return backends({"warmup": {"schedules": [{"name": "morning", "cron": "45 7 * * 1-5"} | fields]}})


MISTAKES = {
    "a window without an end": Mistake(schedule(end=None), "spec.schedules[0]", "needs start and end, or cron"),
    "a window of no time": Mistake(schedule(end="07:30"), "spec.schedules[0].end", "start and end are the same"),
    "a window of both kinds": Mistake(by_cron("0 7 * * *", start="07:00"), "spec.schedules[0]", "or cron and duration"),
    "a time of day that is none": Mistake(schedule(end="24:00"), "spec.schedules[0].end", '"24:00" is not a time of'),
    "a window for nobody": Mistake(
        schedule(minReplicas={"big": 1}), "spec.schedules[0].minReplicas.big", '"big" is no vllm backend'
    ),
    "a zone with a typo": Mistake(
        schedule(timeZone="Europe/Berln"),
        "spec.schedules[0].timeZone",
        '"Europe/Berln" is no time zone; did you mean "Europe/Berlin"?',
        beyond_cel=True,
    ),
    "a zone of nowhere": Mistake(
        warmed(timeZone="Zzyzx"),
        "spec.backends[0].warmup.schedules[0].timeZone",
        'no time zone; write one of the IANA\'s, such as "Europe/Berlin"',
        beyond_cel=True,
    ),
    "a warm-up without end": Mistake(
        backends({"warmup": {"request": {"timeout": "10m1s"}}}),
        "spec.backends[0].warmup.request.timeout",
        "timeout is above 10m",
    ),
    "four fields of five": Mistake(by_cron("0 7 * *"), "spec.schedules[0].cron", '"0 7 * *" is not a cron expression'),
    "a minute past the hour": Mistake(
        by_cron("60 7 * * *"),
        "spec.schedules[0].cron",
        '"60 7 * * *" has "60" where a minute is 0 to 59',
        beyond_cel=True,
    ),
    "an hour past the day": Mistake(
        warmed(cron="0 24 * * *"),
        "spec.backends[0].warmup.schedules[0].cron",
        'has "24" where an hour is 0 to 23',
        beyond_cel=True,
    ),
    "days in the wrong order": Mistake(
        by_cron("0 7 * * Fri-Mon"), "spec.schedules[0].cron", '"Fri-Mon" where a day of the week', beyond_cel=True
    ),
    "a month that is none": Mistake(
        by_cron("0 7 1 13 *"), "spec.schedules[0].cron", 'has "13" where a month is', beyond_cel=True
    ),
    "a step of nothing": Mistake(
        by_cron("0 7 */0 * *"), "spec.schedules[0].cron", 'has "*/0" where a day of the month', beyond_cel=True
    ),
    "the thirtieth of February": Mistake(
        by_cron("0 7 30 Feb *"),
        "spec.schedules[0].cron",
        '"0 7 30 Feb *" never comes: no month that it names has such a day',
        beyond_cel=True,
    ),
}

GOOD: dict[str, dict[str, Any]] = {
    "windows": {
        "schedules": [
            schedule(days=["Mon", "Fri"], timeZone="Europe/Berlin")["schedules"][0],
            by_cron("*/30 7-9,17 1,15 Jan-Mar Mon-Fri", name="more")["schedules"][0],
            by_cron("0 0 29 2 0,7", name="leap")["schedules"][0],
        ]
    },
    "warm-ups in the morning": warmed(timeZone="America/Argentina/Buenos_Aires"),
}
