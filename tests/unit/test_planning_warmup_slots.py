"""O22: the slots of warm-up schedules: one run each, of every ready replica, told once."""

from dataclasses import replace
from typing import Any

from modelroute.api.status import WarmupStatus
from modelroute.planning.errands import WarmUp
from modelroute.planning.observed import Pod, WarmUpResult
from modelroute.planning.status.events import Event
from modelroute.planning.times.moments import rfc3339
from modelroute.planning.warming.warmup import Warmth
from tests.fakes.manifests import HOSTED
from tests.fakes.replicas import MORNING, NOW, SLOT, SLOT_BEFORE, SMALL, answered, asked, replica, warm, warm_up
from tests.fakes.world import BEHIND

DUE = WarmupStatus(slots={"morning": SLOT_BEFORE})
"""What the status says when the slot of this morning is due."""
TWO = (warm(), warm("small-2", address="10.0.0.2"))
OTHER = warm_up("small-2", address="10.0.0.2:8000", slot=MORNING)
BOTH: dict[str, WarmUpResult] = {
    "small-1": answered(NOW - 5, slot=MORNING),
    "small-2": answered(NOW - 2, 0.5, slot=MORNING),
}
FAILED = BOTH | {"small-2": WarmUpResult(NOW - 1, error="no answer within 60 s", slot=MORNING)}
TOLD = "morning: 1 of 2 replicas did not answer: small-2: no answer within 60 s"


def status(found: Warmth) -> WarmupStatus:
    return found.statuses["small"]


def at_slot(*pods: Pod, **seen: Any) -> Warmth:
    """Ten seconds after the slot has come."""
    usual: dict[str, Any] = {"backend": SMALL, "old": DUE}
    return asked(*pods, **usual | seen)


def scheduled(missed: str = "Skip", **crons: str) -> dict[str, Any]:
    """With these schedules beside that of the morning."""
    schedules = [{"name": name, "cron": cron} for name, cron in {"morning": "45 7 * * *", **crons}.items()]
    return SMALL | {"warmup": {"schedules": schedules, "onMissed": missed}}


def pods_asked(found: Warmth) -> list[Any]:
    return [errand.pod for errand in found.errands if isinstance(errand, WarmUp)]


def test_every_replica_that_takes_traffic_is_asked() -> None:
    resting = (warm("sleeps", sleeping=NOW), warm("drains", draining=NOW), warm("ends", ending=True))
    assert at_slot(*TWO, *resting, warm("unready", ready=False)).errands == (warm_up(slot=MORNING), OTHER)


def test_the_endpoints_of_a_service_are_asked_for_the_name_that_clients_use() -> None:
    found = at_slot(backend=SMALL | BEHIND | {"name": "small", "vllm": None}, endpoints=("10.0.1.1:80",))
    place = "small/10.0.1.1:80"
    assert found.errands == (warm_up(place, address="10.0.1.1:80", model="chat", slot=MORNING),)


def test_a_backend_that_has_become_a_hosted_api_has_no_warm_ups() -> None:
    found = at_slot(backend=HOSTED | {"name": "small"}, endpoints=("api.example.com:443",))
    assert (found.errands, found.statuses) == ((), {})


def test_what_has_answered_is_not_asked_again_while_another_has_not() -> None:
    found = at_slot(*TWO, warm_ups={"small-1": answered(slot=MORNING)})
    assert (found.errands, found.statuses, found.events) == ((OTHER,), {"small": DUE}, ())


def test_an_answer_to_an_older_slot_does_not_count() -> None:
    found = at_slot(warm(), warm_ups={"small-1": answered(NOW - 86400, slot=("morning", SLOT_BEFORE))})
    assert pods_asked(found) == ["small-1"]


def test_when_all_have_answered_it_is_told_once_and_for_all() -> None:
    found = at_slot(*TWO, warm_ups=BOTH)
    assert found.errands == ()
    assert status(found) == WarmupStatus(rfc3339(NOW - 2), 500, slots={"morning": SLOT})
    assert found.events == (
        Event("Normal", "WarmedUp", "small, morning: 2 replicas answered, the slowest after 500 ms"),
    )


def test_those_that_failed_are_counted_and_named() -> None:
    found = at_slot(*TWO, warm_ups=FAILED)
    assert status(found) == WarmupStatus(rfc3339(NOW - 1), 310, 1, TOLD, {"morning": SLOT})
    assert found.events == (Event("Warning", "WarmupFailed", f"small, {TOLD}"),)


def test_o22_a_slot_that_the_status_has_is_over() -> None:
    done = status(at_slot(*TWO, warm_ups=FAILED))
    found = at_slot(*TWO, warm_ups=FAILED, old=done)
    assert (found.errands, found.statuses, found.events) == ((), {"small": done}, ())


def test_o22_a_slot_that_has_begun_is_carried_through_though_it_is_due_no_more() -> None:
    assert at_slot(*TWO, now=NOW + 60).errands == ()
    assert at_slot(*TWO, now=NOW + 60, warm_ups={"small-1": answered(slot=MORNING)}).errands == (OTHER,)
    assert at_slot(*TWO, now=NOW + 60, under_way=frozenset({OTHER})).errands == (warm_up(slot=MORNING), OTHER)


def test_it_is_not_over_while_one_is_asked_that_is_not_ready_any_more() -> None:
    pods = (TWO[0], replace(TWO[1], ready=False))
    found = at_slot(*pods, warm_ups={"small-1": answered(slot=MORNING)}, under_way=frozenset({OTHER}))
    assert (found.errands, found.statuses) == ((), {"small": DUE})


def test_a_replica_that_failed_and_is_not_ready_any_more_is_counted() -> None:
    assert status(at_slot(TWO[0], replace(TWO[1], ready=False), warm_ups=FAILED)).failures == 1


def test_what_a_replica_that_is_not_ready_said_to_an_older_slot_is_not_counted() -> None:
    older = WarmUpResult(NOW - 86400, error="no", slot=("morning", SLOT_BEFORE))
    found = at_slot(TWO[0], replace(TWO[1], ready=False), warm_ups=BOTH | {"small-2": older})
    assert status(found).failures == 0


def test_a_replica_that_went_meanwhile_is_not() -> None:
    assert status(at_slot(TWO[0], warm_ups=FAILED)).failures == 0


def test_o22_slots_of_one_moment_are_one_run_and_both_are_carried_out() -> None:
    twice, old = scheduled(noon="45 7 * * *"), WarmupStatus(slots=dict.fromkeys(("morning", "noon"), SLOT_BEFORE))
    [errand] = at_slot(warm(), backend=twice, old=old).errands
    assert isinstance(errand, WarmUp)
    assert errand.slot == ("morning, noon", SLOT)
    found = at_slot(warm(), backend=twice, old=old, warm_ups={"small-1": answered(slot=errand.slot)})
    assert status(found).slots == {"morning": SLOT, "noon": SLOT}


def test_o22_of_slots_that_overlap_the_older_one_comes_first() -> None:
    both, old = scheduled("RunOnce", before="44 7 * * *"), WarmupStatus(slots=DUE.slots | {"before": SLOT_BEFORE})
    [errand] = at_slot(warm(), backend=both, old=old).errands
    assert isinstance(errand, WarmUp)
    assert errand.slot == ("before", "2026-05-01T07:44:00Z")
    found = at_slot(warm(), backend=both, old=old, warm_ups={"small-1": answered(slot=errand.slot)})
    assert status(found).slots == DUE.slots | {"before": errand.slot[1]}


def test_where_no_replica_is_ready_the_slot_is_passed_without_a_word_to_anybody() -> None:
    found = at_slot(replica(gated=False))
    assert status(found) == WarmupStatus(rfc3339(NOW), message="morning: no replica was ready", slots={"morning": SLOT})
    assert found.events == ()


def test_slots_of_schedules_that_are_no_more_are_forgotten() -> None:
    noon = {"noon": "2026-04-30T12:00:00Z"}
    old = WarmupStatus(slots=DUE.slots | noon | {"evening": SLOT})
    found = at_slot(*TWO, backend=scheduled(noon="0 12 * * *"), warm_ups=BOTH, old=old)
    assert status(found).slots == noon | {"morning": SLOT}


def test_a_slot_of_a_schedule_that_went_meanwhile_is_not_carried_through() -> None:
    gone = answered(slot=("evening", SLOT))
    assert at_slot(*TWO, warm_ups={"small-1": gone}, now=NOW - 60).errands == ()


def test_a_first_answer_does_not_take_the_place_of_a_slots_results() -> None:
    pods = (warm(), replica("small-2", loaded=None))
    done = status(at_slot(*pods, warm_ups={"small-1": answered(NOW - 5, slot=MORNING)}))
    again = at_slot(
        *pods, old=done, warm_ups={"small-1": answered(NOW - 5, slot=MORNING), "small-2": answered(NOW - 6)}
    )
    assert status(again) == done


class TestOtherSlots:
    """What comes of those that are not carried out."""

    OLD = WarmupStatus(slots={"morning": SLOT_BEFORE, "before": "2026-04-30T07:00:00Z"})

    def test_a_slot_is_not_missed_while_it_is_carried_out(self) -> None:
        found = at_slot(*TWO, warm_ups={"small-1": answered(slot=MORNING)}, now=NOW + 60)
        assert (found.statuses, found.events) == ({"small": DUE}, ())

    def test_one_that_is_missed_is_told_beside_the_one_that_was_carried_out(self) -> None:
        found = at_slot(*TWO, backend=scheduled(before="0 7 * * *"), old=self.OLD, warm_ups=BOTH)
        assert status(found).slots == {"morning": SLOT, "before": "2026-05-01T07:00:00Z"}
        assert status(found).message.startswith("before (0 7 * * *, UTC): ")
        assert [event.reason for event in found.events] == ["WarmedUp", "WarmupMissed"]

    def test_the_route_is_looked_at_again_when_the_slot_is_missed(self) -> None:
        assert at_slot(*TWO).look_again == NOW + 50
