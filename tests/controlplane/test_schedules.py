"""Replicas that are kept by the clock, and slots of warm-up schedules, by a clock that the tests move."""

import time
from typing import Any

from modelroute.controller.kube.kinds import EVENT, MODEL_ROUTE
from tests.controlplane.clocked import ClockedOperator
from tests.controlplane.plane import Plane, until
from tests.controlplane.routes import ROUTER, SMALL, at_rest, becomes, create, deployment, route, settle
from tests.fakes.manifests import HOSTED, VLLM

BERLIN = "Europe/Berlin"
PEAK = {"name": "peak", "start": "07:30", "end": "19:00", "timeZone": BERLIN, "minReplicas": {"small": 4}}
HALF_PAST_SEVEN = 1777872600
MORNING = {"name": "morning", "cron": "45 7 * * *", "timeZone": BERLIN}


def begin(plane: Plane, namespace: str, *schedules: dict[str, Any], warmup: dict[str, Any] | None = None) -> None:
    small = VLLM | ({"warmup": warmup} if warmup else {})
    create(plane, namespace, backends=[small, HOSTED], schedules=list(schedules))
    settle(plane, namespace, ROUTER | SMALL)


def replicas(plane: Plane, namespace: str) -> int:
    found: int = deployment(plane, namespace, "chat--small")["spec"]["replicas"]
    return found


def keeps(plane: Plane, namespace: str, wanted: int, seconds: float = 20) -> None:
    until(f"{wanted} replicas", lambda: replicas(plane, namespace) == wanted, seconds)


def open_now(plane: Plane, namespace: str) -> list[str]:
    found: list[str] = route(plane, namespace)["status"].get("activeSchedules", [])
    return found


def shows(plane: Plane, namespace: str, *names: str) -> None:
    until(f"open in the status: {names}", lambda: open_now(plane, namespace) == list(names))


def slots(plane: Plane, namespace: str) -> dict[str, str]:
    found: dict[str, str] = route(plane, namespace)["status"]["backends"][0].get("warmup", {}).get("slots", {})
    return found


def told(plane: Plane, namespace: str, reason: str) -> list[str]:
    return [e["note"] for e in plane.admin.all(EVENT, namespace) if e["reason"] == reason]


def test_the_floor_rises_before_the_peak_and_falls_after_it(
    plane: Plane, clocked: ClockedOperator, namespace: str
) -> None:
    clocked.set_to("2026-05-04T07:00+02:00")
    begin(plane, namespace, PEAK)
    assert replicas(plane, namespace) == 1
    clocked.set_to("2026-05-04T07:30+02:00")
    keeps(plane, namespace, 4)
    shows(plane, namespace, "peak")
    clocked.set_to("2026-05-04T19:00+02:00")
    keeps(plane, namespace, 1)
    shows(plane, namespace)
    assert told(plane, namespace, "ScheduleOpened") == ["peak: replicas that are kept now: small 4"]
    closed = ["peak: replicas that are kept now: small 1"]
    until("it is told", lambda: told(plane, namespace, "ScheduleClosed") == closed)  # after the status


def test_o22_of_windows_that_overlap_the_highest_counts(plane: Plane, clocked: ClockedOperator, namespace: str) -> None:
    clocked.set_to("2026-05-04T12:00+02:00")
    lunch = {"name": "lunch", "cron": "0 13 * * Mon-Fri", "duration": "1h", "timeZone": BERLIN}
    begin(plane, namespace, PEAK, lunch | {"minReplicas": {"small": 6}})
    for hour, wanted, names in (("12:59", 4, ["peak"]), ("13:00", 6, ["peak", "lunch"]), ("14:00", 4, ["peak"])):
        clocked.set_to(f"2026-05-04T{hour}+02:00")
        keeps(plane, namespace, wanted)
        shows(plane, namespace, *names)


def test_a_window_opens_by_itself_when_its_time_comes(plane: Plane, clocked: ClockedOperator, namespace: str) -> None:
    clocked.set_to("2026-05-04T07:00+02:00")
    begin(plane, namespace, PEAK)
    clocked.set_to("2026-05-04T07:29:55+02:00")
    opened = until("4 replicas", lambda: time.time() if replicas(plane, namespace) == 4 else 0)
    assert opened + clocked.offset >= HALF_PAST_SEVEN


def test_o22_a_window_that_the_clock_jumps_over_is_kept_once(
    plane: Plane, clocked: ClockedOperator, namespace: str
) -> None:
    """From 2:00 to 3:00 in spring; the window between them opens with the jump, and by itself."""
    clocked.set_to("2026-03-29T01:00+01:00")
    begin(plane, namespace, PEAK | {"start": "02:15", "end": "02:45"})
    assert replicas(plane, namespace) == 1
    clocked.set_to("2026-03-29T01:59:57+01:00")
    keeps(plane, namespace, 4)
    clocked.set_to("2026-03-29T03:30+02:00")
    keeps(plane, namespace, 1)


def test_o22_a_window_in_the_repeated_hour_opens_once(plane: Plane, clocked: ClockedOperator, namespace: str) -> None:
    clocked.set_to("2026-10-25T02:30+02:00")
    begin(plane, namespace, PEAK | {"start": "02:15", "end": "02:45"})
    keeps(plane, namespace, 4)
    clocked.set_to("2026-10-25T02:45+02:00")
    keeps(plane, namespace, 1)
    clocked.set_to("2026-10-25T02:30+01:00")
    time.sleep(3)
    assert replicas(plane, namespace) == 1


def test_o22_a_missed_slot_is_passed_over_and_told_with_its_zone(
    plane: Plane, clocked: ClockedOperator, namespace: str
) -> None:
    clocked.set_to("2026-05-04T07:00+02:00")
    begin(plane, namespace, warmup={"schedules": [MORNING]})
    assert until("a first slot", lambda: slots(plane, namespace)) == {"morning": "2026-05-03T05:45:00Z"}
    clocked.set_to("2026-05-04T07:50+02:00")
    until("the slot", lambda: slots(plane, namespace) == {"morning": "2026-05-04T05:45:00Z"})
    [note] = until("an Event", lambda: told(plane, namespace, "WarmupMissed"))
    assert "morning (45 7 * * *, Europe/Berlin)" in note


def test_r30_a_clock_that_jumps_moves_the_floor_and_no_slot_twice(
    plane: Plane, clocked: ClockedOperator, namespace: str
) -> None:
    clocked.set_to("2026-05-04T07:00+02:00")
    begin(plane, namespace, PEAK, warmup={"schedules": [MORNING]})
    until("a first slot", lambda: slots(plane, namespace))
    for _ in range(3):
        clocked.set_to("2026-05-04T08:00+02:00")
        keeps(plane, namespace, 4)
        clocked.set_to("2026-05-04T07:00+02:00")
        keeps(plane, namespace, 1)
    assert slots(plane, namespace) == {"morning": "2026-05-04T05:45:00Z"}
    assert len(told(plane, namespace, "WarmupMissed")) == 1


def test_at_rest_within_a_window_nothing_is_written(plane: Plane, clocked: ClockedOperator, namespace: str) -> None:
    clocked.set_to("2026-05-04T12:00+02:00")
    begin(plane, namespace, PEAK, warmup={"schedules": [MORNING]})
    shows(plane, namespace, "peak")
    becomes(plane, namespace, "Programmed", "False", "RoutersFailing")  # no node can take a pod, and nobody makes one
    mark = at_rest(plane, namespace)
    for minute in range(3):
        clocked.set_to(f"2026-05-04T12:{30 + minute}+02:00")
        time.sleep(1.5)
    assert plane.writes(mark, namespace) == []


def test_a_schedule_that_never_comes_is_told_in_a_condition(
    plane: Plane, clocked: ClockedOperator, namespace: str
) -> None:
    """The API server cannot see it; the last good spec stays in force."""
    begin(plane, namespace)
    never = {"name": "never", "cron": "0 7 30 2 *", "duration": "1h", "minReplicas": {"small": 9}}
    plane.admin.merge(MODEL_ROUTE, namespace, "chat", {"spec": {"schedules": [never]}})

    message = becomes(plane, namespace, "Accepted", "False", "InvalidSpec")
    assert "spec.schedules[0].cron" in message
    assert "never comes" in message
    assert replicas(plane, namespace) == 1
