"""Slots of warm-up schedules: each is due once, a missed one is passed over or made up for, as the route says."""

from typing import Any

import pytest

from modelroute.api import types as t
from modelroute.api.status import WarmupStatus
from modelroute.planning.warming import slots
from modelroute.planning.warming.slots import Slot
from tests.fakes import world
from tests.fakes.manifests import VLLM

MORNING = {"name": "morning", "cron": "45 7 * * *", "timeZone": "Asia/Shanghai"}
TODAY, YESTERDAY = "2026-05-04T23:45:00Z", "2026-05-03T23:45:00Z"
NOW = world.moment(TODAY)
SEEN = WarmupStatus(slots={"morning": YESTERDAY})
SENTENCE = "morning (45 7 * * *, Asia/Shanghai): a slot could not begin within 60 s and was passed over"


def backend(*schedules: dict[str, Any], missed: str = "Skip") -> t.Backend:
    asked = {"schedules": list(schedules or (MORNING,)), "onMissed": missed}
    return world.route(backends=[VLLM | {"warmup": asked}]).spec.backends[0]


class TestDue:
    def test_a_slot_is_due_from_its_moment_on(self) -> None:
        found = [slots.due(backend(), SEEN, NOW + late) for late in (-1, 0, 59)]
        assert found == [(), (Slot("morning", TODAY),), (Slot("morning", TODAY),)]

    def test_what_was_carried_out_is_not_due_again(self) -> None:
        assert slots.due(backend(), WarmupStatus(slots={"morning": TODAY}), NOW + 1) == ()

    def test_schedules_are_apart(self) -> None:
        both = backend(MORNING, MORNING | {"name": "other"})
        done = WarmupStatus(slots={"morning": TODAY, "other": YESTERDAY})
        assert slots.due(both, done, NOW) == (Slot("other", TODAY),)

    @pytest.mark.parametrize("missed", ["Skip", "RunOnce"])
    def test_a_schedule_that_is_new_has_no_past(self, missed: str) -> None:
        assert slots.due(backend(missed=missed), None, NOW + 1) == ()

    def test_o22_a_missed_slot_is_passed_over(self) -> None:
        assert slots.due(backend(), SEEN, NOW + 60) == ()

    def test_o22_of_missed_slots_the_newest_is_made_up_for(self) -> None:
        old = WarmupStatus(slots={"morning": "2026-05-01T23:45:00Z"})
        assert slots.due(backend(missed="RunOnce"), old, NOW + 7200) == (Slot("morning", TODAY),)

    @pytest.mark.parametrize("missed", ["Skip", "RunOnce"])
    def test_r30_a_clock_that_goes_back_brings_nothing_twice(self, missed: str) -> None:
        done = WarmupStatus(slots={"morning": TODAY})
        assert [slots.due(backend(missed=missed), done, NOW + after) for after in (-3600, -86390, 0)] == [(), (), ()]

    def test_a_clock_that_was_a_month_ahead_silences_nothing(self) -> None:
        wrong = WarmupStatus(slots={"morning": "2026-06-04T23:45:00Z"})
        before, _ = slots.account(backend(), wrong, (), NOW - 100)
        assert slots.due(backend(), before, NOW) == (Slot("morning", TODAY),)


class TestAccount:
    def test_a_schedule_that_is_new_begins_with_the_slot_before(self) -> None:
        found, told = slots.account(backend(), None, (), NOW - 60)
        assert found == WarmupStatus(slots={"morning": YESTERDAY})
        assert told == ()

    def test_a_slot_that_is_due_is_left_to_be_carried_out(self) -> None:
        assert slots.account(backend(), SEEN, (), NOW + 59) == (SEEN, ())

    def test_a_slot_that_has_begun_is_not_missed(self) -> None:
        assert slots.account(backend(), SEEN, [Slot("morning", TODAY)], NOW + 300) == (SEEN, ())

    def test_o22_a_missed_slot_is_told_with_its_zone(self) -> None:
        found, [event] = slots.account(backend(), SEEN, (), NOW + 60)
        assert found is not None
        assert (found.slots, found.message) == ({"morning": TODAY}, SENTENCE)
        assert (event.type, event.reason, event.message) == ("Warning", "WarmupMissed", f"small: {SENTENCE}")

    def test_the_next_one_that_is_missed_is_no_news(self) -> None:
        found, _ = slots.account(backend(), SEEN, (), NOW + 60)
        again, told = slots.account(backend(), found, (), NOW + 86460)
        assert again is not None
        assert (again.slots["morning"], told) == ("2026-05-05T23:45:00Z", ())

    def test_what_is_to_be_made_up_for_is_not_passed_over(self) -> None:
        assert slots.account(backend(missed="RunOnce"), SEEN, (), NOW + 7200) == (SEEN, ())

    def test_slots_of_schedules_that_are_gone_are_forgotten(self) -> None:
        old = WarmupStatus(slots={"morning": TODAY, "gone": TODAY})
        found, _ = slots.account(backend(), old, (), NOW + 1)
        assert found == WarmupStatus(slots={"morning": TODAY})

    def test_a_backend_without_schedules_has_no_status(self) -> None:
        plain = world.route(backends=[VLLM]).spec.backends[0]
        assert slots.account(plain, None, (), NOW) == (None, ())


class TestNextLook:
    def test_it_is_the_next_slot(self) -> None:
        assert slots.next_look(backend(), SEEN, NOW - 100) == NOW

    def test_it_is_the_end_of_a_slots_minute(self) -> None:
        assert slots.next_look(backend(), SEEN, NOW) == NOW + 60

    def test_there_is_none_without_schedules(self) -> None:
        assert slots.next_look(world.route(backends=[VLLM]).spec.backends[0], None, NOW) is None


ASKED: dict[str, Any] = {"backends": [VLLM | {"warmup": {"schedules": [MORNING]}}]}


class TestInThePlan:
    def test_the_status_keeps_what_came_before(self) -> None:
        planned = world.planned(world.route(**ASKED), now="2026-05-04T12:00:00Z")
        assert planned.status.backends[0].warmup == SEEN
        assert planned.look_again == NOW

    def test_a_missed_slot_is_an_event(self) -> None:
        old = world.planned(world.route(**ASKED), now="2026-05-04T12:00:00Z").status
        planned = world.planned(world.route(old=old, **ASKED), now="2026-05-05T00:00:00Z")
        assert [event.reason for event in planned.events] == ["WarmupMissed"]
