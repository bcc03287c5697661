"""O22: the slots of warm-up schedules: one run each, of every ready replica, told once."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from modelroute.api import types as t
from modelroute.api.status import WarmupStatus
from modelroute.planning.errands import WarmUp
from modelroute.planning.observed import Observed, Pinged, Pod
from modelroute.planning.status.events import Event
from modelroute.planning.times.moments import rfc3339
from modelroute.planning.warming.slots import Slot
from modelroute.planning.warming.warmup import Timetable, Warmth, warmth
from tests.fakes.manifests import HOSTED
from tests.fakes.replicas import MORNING, NOW, SLOT, SMALL, answered, asked, ping, replica, warm
from tests.fakes.world import BEHIND, route

DUE = (Slot(*MORNING),)
TWO = (warm(), warm("small-2", address="10.0.0.2"))
OTHER = ping("small-2", address="10.0.0.2:8000", slot=MORNING)
BOTH: dict[str, Pinged] = {"small-1": answered(NOW - 5, slot=MORNING), "small-2": answered(NOW - 2, 0.5, slot=MORNING)}
FAILED = BOTH | {"small-2": Pinged(NOW - 1, error="no answer within 60 s", slot=MORNING)}
MISSED = Event("Warning", "WarmupMissed", "small: a slot was passed over")
TOLD = "morning: 1 of 2 replicas did not answer: small-2: no answer within 60 s"


def status(found: Warmth) -> WarmupStatus:
    return found.statuses["small"]


def slot(schedule: str, time: float) -> Slot:
    return Slot(schedule, rfc3339(time))


def pods_asked(found: Warmth) -> list[Any]:
    return [errand.pod for errand in found.errands if isinstance(errand, WarmUp)]


def test_every_replica_that_takes_traffic_is_asked() -> None:
    resting = (warm("sleeps", sleeping=NOW), warm("drains", draining=NOW), warm("ends", ending=True))
    assert asked(*TWO, *resting, warm("unready", ready=False), due=DUE).errands == (ping(slot=MORNING), OTHER)


def test_the_endpoints_of_a_service_are_asked_for_the_name_that_clients_use() -> None:
    found = asked(backend=SMALL | BEHIND | {"name": "small", "vllm": None}, due=DUE, endpoints=("10.0.1.1:80",))
    place = "small/10.0.1.1:80"
    assert found.errands == (ping(place, address="10.0.1.1:80", model="chat", slot=MORNING),)


def test_a_hosted_api_is_never_asked() -> None:
    assert asked(backend=HOSTED | {"name": "small"}, due=DUE, endpoints=("api.example.com:443",)).errands == ()


def test_what_has_answered_is_not_asked_again_while_another_has_not() -> None:
    found = asked(*TWO, due=DUE, pinged={"small-1": answered(slot=MORNING)})
    assert (found.errands, found.statuses, found.events) == ((OTHER,), {}, ())


def test_an_answer_to_an_older_slot_does_not_count() -> None:
    noon = slot("noon", NOW - 95)
    old = WarmupStatus(rfc3339(NOW - 90), slots={"noon": noon.time})
    found = asked(warm(), due=DUE, pinged={"small-1": answered(NOW - 90, slot=tuple(noon))}, old=old)
    assert pods_asked(found) == ["small-1"]


def test_when_all_have_answered_it_is_told_once_and_for_all() -> None:
    found = asked(*TWO, due=DUE, pinged=BOTH)
    assert found.errands == ()
    assert status(found) == WarmupStatus(rfc3339(NOW - 2), 500, slots={"morning": SLOT})
    assert found.events == (
        Event("Normal", "WarmedUp", "small, morning: 2 replicas answered, the slowest after 500 ms"),
    )


def test_those_that_failed_are_counted_and_named() -> None:
    found = asked(*TWO, due=DUE, pinged=FAILED)
    assert status(found) == WarmupStatus(rfc3339(NOW - 1), 310, 1, TOLD, {"morning": SLOT})
    assert found.events == (Event("Warning", "WarmupFailed", f"small, {TOLD}"),)


def test_o22_a_slot_that_the_status_has_is_over() -> None:
    done = status(asked(*TWO, due=DUE, pinged=FAILED))
    found = asked(*TWO, pinged=FAILED, old=done)
    assert (found.errands, found.statuses, found.events) == ((), {"small": done}, ())


def test_o22_a_slot_that_has_begun_is_carried_through_though_it_is_due_no_more() -> None:
    assert asked(*TWO, pinged={"small-1": answered(slot=MORNING)}).errands == (OTHER,)
    assert asked(*TWO, under_way=frozenset({OTHER})).errands == (ping(slot=MORNING), OTHER)


def test_it_is_not_over_while_one_is_asked_that_is_not_ready_any_more() -> None:
    pods = (TWO[0], replace(TWO[1], ready=False))
    found = asked(*pods, due=DUE, pinged={"small-1": answered(slot=MORNING)}, under_way=frozenset({OTHER}))
    assert (found.errands, found.statuses) == ((), {})


def test_a_replica_that_failed_and_is_not_ready_any_more_is_counted() -> None:
    assert status(asked(TWO[0], replace(TWO[1], ready=False), due=DUE, pinged=FAILED)).failures == 1


def test_what_a_replica_that_is_not_ready_said_to_an_older_slot_is_not_counted() -> None:
    older = Pinged(NOW - 50, error="no", slot=("morning", rfc3339(NOW - 60)))
    old = WarmupStatus(rfc3339(NOW - 50), slots={"morning": rfc3339(NOW - 60)})
    found = asked(TWO[0], replace(TWO[1], ready=False), due=DUE, pinged=BOTH | {"small-2": older}, old=old)
    assert status(found).failures == 0


def test_a_replica_that_went_meanwhile_is_not() -> None:
    assert status(asked(TWO[0], due=DUE, pinged=FAILED)).failures == 0


def test_o22_slots_of_one_moment_are_one_run_and_both_are_carried_out() -> None:
    due = (*DUE, Slot("noon", SLOT))
    [errand] = asked(warm(), due=due).errands
    assert isinstance(errand, WarmUp)
    assert errand.slot == ("morning, noon", SLOT)
    found = asked(warm(), due=due, pinged={"small-1": answered(slot=errand.slot)})
    assert status(found).slots == {"morning": SLOT, "noon": SLOT}


def test_o22_of_slots_that_overlap_the_older_one_comes_first() -> None:
    noon = slot("noon", NOW - 20)
    [errand] = asked(warm(), due=(*DUE, noon)).errands
    assert isinstance(errand, WarmUp)
    assert errand.slot == noon
    found = asked(warm(), due=(*DUE, noon), pinged={"small-1": answered(slot=tuple(noon))})
    assert status(found).slots == {"noon": noon.time}


def test_where_no_replica_is_ready_the_slot_is_passed_without_a_word_to_anybody() -> None:
    found = asked(replica(gated=False), due=DUE)
    assert status(found) == WarmupStatus(rfc3339(NOW), message="morning: no replica was ready", slots={"morning": SLOT})
    assert found.events == ()


def test_slots_of_schedules_that_are_no_more_are_forgotten() -> None:
    old = WarmupStatus(rfc3339(NOW - 500), slots={"evening": SLOT, "noon": rfc3339(NOW - 500)})
    found = asked(*TWO, due=DUE, pinged=BOTH, old=old)
    assert status(found).slots == {"morning": SLOT, "noon": rfc3339(NOW - 500)}


def test_a_slot_of_a_schedule_that_went_meanwhile_is_not_carried_through() -> None:
    gone = answered(slot=("evening", SLOT))
    assert asked(*TWO, pinged={"small-1": gone}).errands == ()


def test_a_first_answer_does_not_take_the_place_of_a_slots_results() -> None:
    pods = (warm(), replica("small-2", loaded=None))
    done = status(asked(*pods, due=DUE, pinged={"small-1": answered(NOW - 5, slot=MORNING)}))
    again = asked(*pods, old=done, pinged={"small-1": answered(NOW - 5, slot=MORNING), "small-2": answered(NOW - 6)})
    assert status(again) == done


class TestTheTimetable:
    """What ``slots`` is asked, and what becomes of its answers."""

    def plan(self, *pods: Pod, **seen: Any) -> tuple[Warmth, set[Slot]]:
        """And which slots it was told have begun."""
        begun: set[Slot] = set()

        def account(
            backend: t.Backend, status: WarmupStatus | None, slots: Collection[Slot], now: float
        ) -> tuple[WarmupStatus | None, tuple[Event, ...]]:
            begun.update(slots)
            return WarmupStatus(SLOT, message="accounted", slots=status.slots if status else {}), (MISSED,)

        timetable = Timetable(lambda *_: DUE, account, lambda *_: NOW + 30)
        found = warmth(route(backends=[SMALL]), Observed(pods=pods, **seen), {}, NOW, timetable)
        return found, begun

    def test_it_is_told_of_a_slot_until_that_is_carried_out(self) -> None:
        assert self.plan(*TWO, pinged={"small-1": answered(slot=MORNING)})[1] == set(DUE)
        assert self.plan(*TWO, pinged=BOTH)[1] == set()

    def test_it_has_the_last_word_on_the_status_and_its_news_are_told(self) -> None:
        found, _ = self.plan(*TWO, pinged=BOTH)
        assert status(found) == WarmupStatus(SLOT, message="accounted", slots={"morning": SLOT})
        assert [event.reason for event in found.events] == ["WarmedUp", "WarmupMissed"]

    def test_the_route_is_looked_at_again_when_it_says(self) -> None:
        assert self.plan(*TWO)[0].look_again == NOW + 30
