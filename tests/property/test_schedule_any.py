"""Any schedule over any change of the clock, against a wall's clock that is watched minute by minute."""

import datetime as dt
from functools import cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from modelroute.api.status import WarmupStatus
from modelroute.api.times import cron_problem
from modelroute.planning.times import recurring, schedule
from modelroute.planning.warming import slots
from tests.fakes import world
from tests.fakes.manifests import VLLM

MINUTE, DAY = 60.0, 86400.0
ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "America/Santiago",  # at midnight
    "Africa/Cairo",  # at midnight, back at midnight
    "Australia/Lord_Howe",  # by half an hour
    "Antarctica/Troll",  # by two hours
    "Asia/Shanghai",  # never
)
YEAR = 2027


@cache
def changes(zone: str) -> tuple[float, ...]:
    """When the clock is set in the year, in Unix seconds; some day, where it never is."""
    tz = ZoneInfo(zone)
    begin = dt.datetime(YEAR, 1, 1, tzinfo=dt.UTC).timestamp()
    hours = [begin + 1800 * n for n in range(2 * 24 * 364)]
    offsets = [dt.datetime.fromtimestamp(hour, tz).utcoffset() for hour in hours]
    found = (hours[n] for n in range(1, len(hours)) if offsets[n] != offsets[n - 1])
    return tuple(found) or (begin + 100 * DAY,)


class Cron(NamedTuple):
    """An expression, and what is in its fields."""

    minutes: frozenset[int]
    hours: frozenset[int]
    dates: frozenset[int] | None
    days: frozenset[int] | None  # Monday is 1

    def __str__(self) -> str:
        fields = (self.minutes, self.hours, self.dates, None, self.days)
        every = (None, frozenset(range(24)), frozenset(range(60)))
        return " ".join("*" if f in every else ",".join(map(str, sorted(f or ()))) for f in fields)

    def names(self, wall: dt.datetime) -> bool:
        if wall.minute not in self.minutes or wall.hour not in self.hours:
            return False
        of_date, of_day = (wall.day in (self.dates or ()), wall.isoweekday() in (self.days or ()))
        if self.dates is None or self.days is None:
            return (self.dates is None or of_date) and (self.days is None or of_day)
        return of_date or of_day


def some(of: range, least: int = 1, most: int | None = None) -> st.SearchStrategy[frozenset[int]]:
    return st.frozensets(st.sampled_from(of), min_size=least, max_size=most)


CRONS = st.builds(
    Cron,
    st.one_of(some(range(60), most=4), st.just(frozenset(range(60))), st.just(frozenset({0, 30}))),
    st.one_of(some(range(4)), some(range(24)), st.just(frozenset(range(24)))),
    st.one_of(st.none(), some(range(1, 29), most=8)),
    st.one_of(st.none(), some(range(1, 8))),
)
LENGTHS = st.one_of(st.integers(1, 240), st.sampled_from([60, 1440, 2880]))


@st.composite
def places(draw: st.DrawFn) -> tuple[str, float]:
    """A zone, and a minute near a change of its clock."""
    zone = draw(st.sampled_from(ZONES))
    return zone, draw(st.sampled_from(changes(zone))) + MINUTE * draw(
        st.one_of(st.integers(-300, 300), st.integers(-2, 65))
    )


class Watched(NamedTuple):
    """What came while a wall's clock was watched: the time that it first showed or jumped over, and when."""

    came: tuple[tuple[float, dt.datetime], ...]
    shown: tuple[tuple[float, dt.datetime], ...]  # the latest time that was shown yet, by minute

    def when(self, wall: dt.datetime) -> float:
        return next(at for at, latest in self.shown if latest >= wall)


def watched(cron: Cron, zone: str, begin: float, end: float) -> Watched:
    tz = ZoneInfo(zone)
    latest = dt.datetime.fromtimestamp(begin - MINUTE, tz).replace(tzinfo=None)
    came, shown = [], []
    for n in range(int((end - begin) // MINUTE)):
        at = begin + n * MINUTE
        wall = dt.datetime.fromtimestamp(at, tz).replace(tzinfo=None, fold=0)
        while latest < wall:
            latest += dt.timedelta(minutes=1)
            if cron.names(latest):
                came.append((at, latest))
        shown.append((at, latest))
    return Watched(tuple(came), tuple(shown))


@settings(max_examples=60, deadline=None)
@given(CRONS, places())
def test_o22_no_slot_is_lost_or_doubled(cron: Cron, place: tuple[str, float]) -> None:
    zone, middle = place
    begin, end = middle - DAY / 2, middle + DAY / 2
    found, now = [], begin - MINUTE
    while (following := recurring.following(str(cron), zone, now)) is not None and following < end:
        found.append(following)
        now = following
    assert found == sorted({at for at, _ in watched(cron, zone, begin, end).came})


@settings(max_examples=40, deadline=None)
@given(CRONS, places(), st.floats(0, 59.9))
def test_the_newest_slot_is_the_last_that_came(cron: Cron, place: tuple[str, float], late: float) -> None:
    zone, now = place
    came = watched(cron, zone, now - 2 * DAY, now + MINUTE).came
    found = recurring.newest(str(cron), zone, now + late)
    if came:
        assert found is not None
        assert found.at == came[-1][0]
        assert set(found.walls) == {wall for at, wall in came if at == found.at}
    else:
        assert found is None or found.at < now - 2 * DAY


@settings(max_examples=25, deadline=None)
@given(CRONS, LENGTHS, places())
def test_o22_a_window_ends_at_its_wall_clock_end(cron: Cron, minutes: int, place: tuple[str, float]) -> None:
    zone, middle = place
    length = dt.timedelta(minutes=minutes)
    seen = watched(cron, zone, middle - 3 * DAY, middle + 4 * DAY)
    windows = []
    for at, wall in seen.came:
        if at > middle + DAY:
            break
        end = seen.when(wall + length)
        windows.append((at, end if end > at else at + length.total_seconds()))
    for n in range(-60, 60):
        now = middle + n * 5 * MINUTE
        is_open = any(begin <= now < end for begin, end in windows)
        assert bool(schedule.active(route(str(cron), minutes, zone), now)) == is_open


@settings(max_examples=40, deadline=None)
@given(CRONS, LENGTHS, places())
def test_nothing_changes_before_the_next_look(cron: Cron, minutes: int, place: tuple[str, float]) -> None:
    zone, now = place
    asked = route(str(cron), minutes, zone)
    look = schedule.next_change(asked, now)
    if look is None or look > now + 20 * DAY:
        return
    assert look > now
    step = max((look - now) / 50, 1.0)
    moments = [now + n * step for n in range(50) if now + n * step < look]
    assert len({schedule.active(asked, moment) for moment in (*moments, look - 0.001)}) == 1


def route(cron: str, minutes: int, zone: str) -> Any:
    given = {"name": "peak", "cron": cron, "duration": f"{minutes}m", "timeZone": zone, "minReplicas": {"small": 3}}
    return world.route(backends=[VLLM], schedules=[given])


OFTEN = st.sampled_from(
    [Cron(frozenset(m), frozenset(range(24)), None, None) for m in (range(60), range(0, 60, 7), (5,))]
)
STEPS = st.lists(
    st.tuples(st.sampled_from(["wait", "wait", "set", "down"]), st.floats(-3600, 3600)), min_size=5, max_size=40
)


@settings(max_examples=60, deadline=None)
@given(OFTEN, places(), STEPS, st.sampled_from(["Skip", "RunOnce"]))
def test_o22_clock_jumps_bring_no_slot_twice(
    cron: Cron, place: tuple[str, float], steps: list[tuple[str, float]], missed: str
) -> None:
    zone, now = place
    warmup = {"schedules": [{"name": "morning", "cron": str(cron), "timeZone": zone}], "onMissed": missed}
    [backend] = world.route(backends=[VLLM | {"warmup": warmup}]).spec.backends
    status: WarmupStatus | None = None
    ran: list[slots.Slot] = []
    for step, seconds in steps:
        status, _ = slots.account(backend, status, (), now)
        due = slots.due(backend, status, now)
        assert len(due) <= 1
        ran += due
        if due and status:
            done = {slot.schedule: slot.time for slot in due}
            status = WarmupStatus(slots=status.slots | done)
        now += abs(seconds) / (1 if step == "down" else 12) if step != "set" else seconds
    assert len(ran) == len(set(ran))


@settings(max_examples=100, deadline=None)
@given(st.from_regex(r"[0-9*/,A-Za-z-]{1,6}( [0-9*/,A-Za-z-]{1,6}){4}", fullmatch=True))
def test_any_expression_is_refused_in_words_or_comes(cron: str) -> None:
    if not cron_problem(cron):
        assert recurring.following(cron, "UTC", changes("UTC")[0]) is not None
