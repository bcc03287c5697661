"""Windows of time in which more replicas are kept, and what becomes of them as clocks are set forward and back."""

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from modelroute.api import types as t
from modelroute.planning.times import schedule
from modelroute.planning.times.schedule import Floor
from tests.fakes import world
from tests.fakes.manifests import VLLM

BERLIN = "Europe/Berlin"
PEAK: dict[str, Any] = {
    "name": "peak",
    "start": "07:30",
    "end": "19:00",
    "timeZone": BERLIN,
    "minReplicas": {"small": 4},
}
FORWARD, BACK = "2026-03-29", "2026-10-25"  # Sundays; from 2:00 to 3:00, and from 3:00 to 2:00


def at(text: str) -> float:
    """Unix seconds of a time in Berlin; one that is shown twice may end in its offset."""
    moment = dt.datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(BERLIN))).timestamp()


def route(*schedules: dict[str, Any], least: int = 1) -> t.ModelRoute:
    return world.route(backends=[VLLM | {"scaling": {"minReplicas": least}}], schedules=list(schedules))


def window(start: str, end: str, **fields: Any) -> t.ModelRoute:
    return route(PEAK | {"start": start, "end": end} | fields)


def by_cron(cron: str, duration: str, **fields: Any) -> t.ModelRoute:
    given = {"name": "peak", "cron": cron, "duration": duration, "timeZone": BERLIN, "minReplicas": {"small": 4}}
    return route(given | fields)


def is_open(asked: t.ModelRoute, moment: str) -> bool:
    return bool(schedule.active(asked, at(moment)))


def edges(asked: t.ModelRoute, day: str) -> list[str]:
    """When windows open and close from that day's begin on, within 40 hours, in UTC."""
    found, now = [], at(f"{day}T00:00")
    while (following := schedule.next_change(asked, now)) is not None and following < at(f"{day}T00:00") + 144000:
        found.append(dt.datetime.fromtimestamp(following, dt.UTC).strftime("%H:%M"))
        now = following
    return found


class TestWindows:
    @pytest.mark.parametrize(("moment", "opened"), [("07:29:59", 0), ("07:30", 1), ("18:59:59", 1), ("19:00", 0)])
    def test_a_window_has_its_start_and_not_its_end(self, moment: str, opened: int) -> None:
        assert is_open(route(PEAK), f"2026-05-04T{moment}") == bool(opened)

    def test_the_zone_decides(self) -> None:
        assert is_open(route(PEAK), "2026-05-04T05:30+00:00")
        assert not is_open(route(PEAK | {"timeZone": "Asia/Shanghai"}), "2026-05-04T15:00+00:00")

    def test_days_are_those_on_which_it_begins(self) -> None:
        night = window("22:00", "06:00", days=["Fri"])
        assert [is_open(night, f"2026-05-{day}T05:00") for day in ("08", "09", "10")] == [False, True, False]

    def test_a_window_across_midnight_is_one(self) -> None:
        assert edges(window("22:00", "06:00"), "2026-05-04") == ["04:00", "20:00", "04:00"]

    def test_a_window_by_cron_lasts_its_duration(self) -> None:
        assert edges(by_cron("30 7 * * Mon-Fri", "90m"), "2026-05-04") == ["05:30", "07:00", "05:30", "07:00"]

    def test_days_in_a_row_have_no_seam(self) -> None:
        always = by_cron("0 0 * * *", "24h")
        looked = schedule.next_change(always, at("2026-05-04T12:00"))
        assert looked is not None
        assert looked > at("2026-05-18T00:00")
        assert schedule.active(always, looked) == ("peak",)  # what is without end is looked at now and then

    def test_sunday_is_0_and_7(self) -> None:
        assert all(is_open(by_cron(f"0 0 * * {sunday}", "1h"), "2026-05-03T00:30") for sunday in (0, 7, "Sun"))

    def test_either_kind_of_day_is_enough(self) -> None:
        either = by_cron("0 0 13 * Fri", "1h")
        assert [is_open(either, f"2026-05-{day}T00:30") for day in ("08", "12", "13", "15")] == [
            True,
            False,
            True,
            True,
        ]

    def test_without_schedules_time_changes_nothing(self) -> None:
        assert schedule.next_change(route(), at("2026-05-04T12:00")) is None


class TestClocksThatAreSet:
    def test_o22_a_window_around_the_jump_ends_at_its_wall_clock_end(self) -> None:
        assert edges(window("01:00", "04:00"), FORWARD)[:3] == ["00:00", "02:00", "23:00"]
        assert edges(window("01:00", "04:00"), BACK) == ["23:00", "03:00", "00:00", "03:00"]

    def test_o22_a_start_that_is_jumped_over_is_the_jump(self) -> None:
        assert edges(window("02:30", "05:00"), FORWARD)[:2] == ["01:00", "03:00"]

    def test_o22_an_end_that_is_jumped_over_is_the_jump(self) -> None:
        assert edges(window("00:30", "02:30"), FORWARD)[:2] == ["23:30", "01:00"]

    def test_o22_a_window_that_is_jumped_over_is_not_lost(self) -> None:
        assert edges(window("02:15", "02:45"), FORWARD)[:2] == ["01:00", "01:30"]

    def test_o22_a_window_in_the_repeated_hour_is_open_once(self) -> None:
        assert edges(window("02:15", "02:45"), BACK)[:3] == ["00:15", "00:45", "01:15"]

    def test_o22_a_whole_day_has_23_or_25_hours(self) -> None:
        always = by_cron("0 0 * * *", "24h")
        hours = [at(f"{FORWARD}T00:00") + 900 * n for n in range(200)] + [
            at(f"{BACK}T00:00") + 900 * n for n in range(200)
        ]
        assert all(schedule.active(always, hour) for hour in hours)


class TestFloors:
    MONDAY = at("2026-05-04T12:00")

    def test_without_a_window_it_is_min_replicas(self) -> None:
        assert schedule.floor(route(PEAK, least=2), "small", at("2026-05-04T03:00")) == Floor(2)

    def test_a_window_raises_it(self) -> None:
        assert schedule.floor(route(PEAK), "small", self.MONDAY) == Floor(4, ("peak",))

    def test_of_windows_that_overlap_the_highest_counts(self) -> None:
        more = PEAK | {"name": "more", "minReplicas": {"small": 6}}
        assert schedule.floor(route(PEAK, more), "small", self.MONDAY) == Floor(6, ("more",))

    def test_all_that_ask_for_as_many_are_named(self) -> None:
        same = PEAK | {"name": "same"}
        assert schedule.floor(route(PEAK, same), "small", self.MONDAY).schedules == ("peak", "same")

    def test_a_window_lowers_nothing(self) -> None:
        assert schedule.floor(route(PEAK, least=5), "small", self.MONDAY) == Floor(5)

    def test_a_backend_that_is_not_named_keeps_its_own(self) -> None:
        other = world.route(backends=[VLLM, VLLM | {"name": "other"}], schedules=[PEAK])
        assert schedule.floor(other, "other", self.MONDAY) == Floor(1)


class TestInThePlan:
    OPEN, SHUT = "2026-05-04T10:00:00Z", "2026-05-04T20:00:00Z"

    def test_the_deployment_has_as_many(self) -> None:
        planned = world.planned(route(PEAK), now=self.OPEN)
        [deployment] = [
            o for o in planned.objects if o["metadata"]["name"] == "chat--small" and o["kind"] == "Deployment"
        ]
        assert deployment["spec"]["replicas"] == 4

    @pytest.mark.parametrize("engine", ["HPA", "KEDA", "External"])
    def test_where_others_decide_the_number_is_not_touched(self, engine: str) -> None:
        asked = world.route(backends=[VLLM | {"scaling": {"engine": engine}}], schedules=[PEAK])
        seen = world.settled(asked)  # while it is open: the first number is the floor
        assert world.planned(asked, seen, now=self.SHUT).status.backends[0].desired_replicas == 4

    def test_the_status_tells_the_schedule_and_the_floor(self) -> None:
        said = world.planned(route(PEAK), now=self.OPEN).status
        assert said.active_schedules == ("peak",)
        assert said.backends[0].scaling
        assert (said.backends[0].scaling.floor, said.backends[0].desired_replicas) == (4, 4)

    def test_the_next_look_is_at_the_next_change(self) -> None:
        assert world.planned(route(PEAK), now=self.OPEN).look_again == at("2026-05-04T19:00")

    def events(self, before: str, after: str) -> list[tuple[str, str]]:
        old = world.planned(route(PEAK), now=before).status
        asked = world.route(old=old, backends=[VLLM], schedules=[PEAK])
        return [(e.reason, e.message) for e in world.planned(asked, now=after).events]

    def test_opening_and_closing_are_told_once(self) -> None:
        scaled = ("Scaled", "small 1 → 4: schedule peak asks for 4")
        assert self.events(self.SHUT, self.OPEN) == [
            ("ScheduleOpened", "peak: replicas that are kept now: small 4"),
            scaled,
        ]
        assert self.events(self.OPEN, self.SHUT)[0] == ("ScheduleClosed", "peak: replicas that are kept now: small 1")
        assert self.events(self.OPEN, "2026-05-04T11:00:00Z") == []

    def test_a_backend_that_only_a_window_keeps_is_missed_when_it_is_down(self) -> None:
        asked = world.route(backends=[VLLM | {"scaling": {"minReplicas": 0}}, world.BEHIND], schedules=[PEAK])
        seen = world.settled(
            asked, services={"legacy": world.LEGACY}, slices={"legacy": (world.pods("10.0.0.1", name="web"),)}
        )
        reasons = [
            next(c.reason for c in world.planned(asked, seen, now).status.conditions if c.type == "Ready")
            for now in (self.SHUT, self.OPEN)
        ]
        assert reasons == ["AllBackendsReady", "SomeBackendsNotReady"]
