"""What a start takes, learnt from pods as the API server shows them, and told to routers while one is coming."""

from dataclasses import replace
from typing import Any

import pytest

from modelroute.api.status import PastStart, StartStatus
from modelroute.planning import pods
from modelroute.planning.observed import Observed, Pod, WarmUpResult
from modelroute.planning.routing.starts import Learnt, learn, start_of, woken
from modelroute.snapshot.types import Start
from tests.fakes import world
from tests.fakes.manifests import VLLM

BEGAN = world.moment(world.NOW)
LONG_AFTER = BEGAN + 36000


def pod(name: str = "a", created: float = 0, **fields: Any) -> Pod:
    """A gated replica that took 1, 9, 60 and 2 s; times are seconds after ``BEGAN``."""
    times = {"scheduled": created + 1, "started": created + 10, "loaded": created + 70, "warm": created + 72}
    moments = {k: None if v is None else BEGAN + v for k, v in (times | fields).items() if k in times}
    made = Pod(name, "backend", "small", "10.0.0.1", BEGAN + created, gated=True, ready=True)
    return replace(made, **fields | moments)


def took(seconds: int, name: str, created: float) -> Pod:
    return pod(name, created, scheduled=created, started=created, loaded=created + seconds, warm=created + seconds)


def learnt(*replicas: Pod, old: StartStatus | None = None, now: float = LONG_AFTER) -> StartStatus:
    found = learn(old, replicas, now).status
    assert found is not None
    return found


class TestOneStart:
    def test_it_is_split_into_its_phases(self) -> None:
        found = learnt(pod())
        assert (found.scheduling, found.pull, found.load, found.warmup, found.seconds) == (1, 9, 60, 2, 72)
        assert (found.starts, found.newest) == (1, "2026-05-01T08:01:12Z")

    def test_without_a_gate_it_ends_when_the_model_is_loaded(self) -> None:
        found = learnt(pod(gated=False, warm=None))
        assert (found.warmup, found.seconds) == (0, 70)

    @pytest.mark.parametrize("pending", [{"warm": None}, {"loaded": None}, {"gated": False, "loaded": None}])
    def test_a_replica_that_is_not_ready_teaches_nothing(self, pending: dict[str, Any]) -> None:
        assert learn(None, [pod(**pending)], LONG_AFTER) == (None, ())

    def test_a_restart_of_its_container_teaches_nothing(self) -> None:
        assert learn(None, [pod(restarted=True)], LONG_AFTER) == (None, ())

    def test_a_nodes_clock_that_is_behind_takes_nothing_from_the_whole(self) -> None:
        found = learnt(pod(started=-300, loaded=-240))
        assert (found.scheduling, found.pull, found.load, found.warmup, found.seconds) == (1, 0, 0, 71, 72)

    def test_a_nodes_clock_that_is_ahead_adds_nothing_to_the_whole(self) -> None:
        found = learnt(pod(started=400, loaded=460))
        assert (found.scheduling, found.pull, found.load, found.warmup, found.seconds) == (1, 71, 0, 0, 72)

    def test_what_would_have_ended_before_it_began_is_passed_over(self) -> None:
        assert learn(None, [pod(gated=False, loaded=-5)], LONG_AFTER).status is None

    def test_what_ends_in_the_future_is_counted_when_that_comes(self) -> None:
        assert learn(None, [pod()], BEGAN + 60).status is None
        assert learn(None, [pod()], BEGAN + 72).status is not None


class TestManyStarts:
    def test_each_is_counted_once(self) -> None:
        first = learn(None, [pod()], LONG_AFTER)
        assert [start.pod for start in first.counted] == ["a"]
        assert learn(first.status, [pod()], LONG_AFTER) == (first.status, ())

    def test_those_of_one_second_are_counted_once_though_not_all_are_kept(self) -> None:
        many = [pod(name) for name in "abcdefg"]
        assert learn(learnt(*many), many, LONG_AFTER).counted == ()

    def test_a_replica_whose_readiness_comes_and_goes_is_counted_once(self) -> None:
        plain = pod(gated=False, warm=None)
        again = replace(plain, loaded=BEGAN + 500)
        assert learn(learnt(plain), [again], LONG_AFTER).counted == ()

    def test_those_that_come_later_are_added(self) -> None:
        found = learnt(pod(), pod("b", 100), old=learnt(pod()))
        assert (found.starts, [start.pod for start in found.last]) == (2, ["b", "a"])

    def test_the_last_five_are_kept(self) -> None:
        found = learnt(*(pod(name, 100 * n) for n, name in enumerate("abcdefg")))
        assert ([start.pod for start in found.last], found.starts) == (["g", "f", "e", "d", "c"], 7)

    def test_all_that_are_new_are_told_in_their_order(self) -> None:
        found = learn(None, [pod(name, 100 * n) for n, name in enumerate("abcdefg")], LONG_AFTER).counted
        assert [start.pod for start in found] == list("abcdefg")

    def test_one_slow_start_moves_nothing(self) -> None:
        found = learnt(took(60, "a", 0), took(900, "b", 100), took(64, "c", 1100))
        assert found.seconds == 64

    def test_three_in_a_row_do(self) -> None:
        quick = [took(60, f"quick-{n}", 100 * n) for n in range(5)]
        slow = [took(600, f"slow-{n}", 1000 * n + 1000) for n in range(3)]
        assert learnt(*quick, *slow[:2]).seconds == 60
        assert learnt(*quick, *slow).seconds == 600

    def test_what_it_takes_to_wake_is_learnt_from_the_last_that_did(self) -> None:
        known = learn(None, [pod()], LONG_AFTER)
        woke = WarmUpResult(at=5, answer_seconds=0.5, wake_seconds=2.6)
        assert woken(known, [WarmUpResult(at=4, wake_seconds=9), woke, WarmUpResult(at=6)]).status.wake == 4  # type: ignore[union-attr]
        assert woken(known, [WarmUpResult(at=7, wake_seconds=9, error="no")]) == known
        assert woken(Learnt(), [woke]) == Learnt()

    def test_what_it_takes_to_wake_stays(self) -> None:
        old = replace_wake(learnt(pod()), 3)
        assert learnt(pod("b", 100), old=old).wake == 3

    def test_a_clock_that_was_a_month_ahead_hides_nothing(self) -> None:
        wrong = StartStatus(seconds=9, starts=1, newest="2026-06-01T08:00:00Z", last=(PastStart(pod="z", load=9),))
        assert learnt(pod(), old=wrong).starts == 2


def replace_wake(status: StartStatus, wake: int) -> StartStatus:
    return StartStatus(**{f: getattr(status, f) for f in status.__struct_fields__} | {"wake": wake})


KNOWN = learnt(pod())
COMING = pod("b", 200, ready=False, warm=None)


class TestTold:
    def test_nothing_is_said_of_a_start_that_is_unknown(self) -> None:
        assert start_of(None, [COMING]) == Start()

    def test_the_oldest_that_is_coming_counts(self) -> None:
        assert start_of(KNOWN, [replace(COMING, name="c", created=BEGAN + 900), COMING]) == Start(72, BEGAN + 200)

    def test_one_that_cannot_come_does_not_make_a_new_one_late(self) -> None:
        stuck = replace(COMING, name="c", created=BEGAN, scheduled=None, started=None, loaded=None, trouble="no node")
        assert start_of(KNOWN, [stuck, COMING]) == Start(72, BEGAN + 200)

    def test_one_that_cannot_come_is_late_where_no_other_is_coming(self) -> None:
        """Nobody is to wait for it because nothing seems to have begun."""
        stuck = replace(COMING, scheduled=None, started=None, loaded=None, trouble="no node")
        assert start_of(KNOWN, [stuck]) == Start(72, BEGAN + 200)

    @pytest.mark.parametrize(
        ("late", "since"),
        [({"scheduled": 3801, "started": None}, 3800), ({"scheduled": 3801, "started": 4210}, 4200)],
        ids=["for a node", "for an image"],
    )
    def test_what_has_waited_goes_on_from_where_it_is(self, late: dict[str, Any], since: float) -> None:
        """A start of 1, 9, 60 and 2 s."""
        assert start_of(KNOWN, [pod("b", 200, ready=False, warm=None, loaded=None, **late)]) == Start(72, BEGAN + since)

    def test_a_container_that_is_started_again_and_again_does_not_begin_anew_each_time(self) -> None:
        again = pod("b", 200, ready=False, warm=None, loaded=None, started=5000, restarted=True)
        assert start_of(KNOWN, [again]) == Start(72, BEGAN + 200)

    def test_nobody_is_coming(self) -> None:
        assert start_of(KNOWN, []) == Start(72)

    def test_while_one_answers_nobody_waits_for_another(self) -> None:
        assert start_of(KNOWN, [pod(), COMING]) == Start(72)

    @pytest.mark.parametrize("leaving", [{"ending": True}, {"draining": BEGAN}])
    def test_one_that_goes_does_not_count(self, leaving: dict[str, Any]) -> None:
        assert start_of(KNOWN, [pod(**leaving), COMING]) == Start(72, BEGAN + 200)
        assert start_of(KNOWN, [replace(COMING, **leaving)]) == Start(72)

    def test_where_all_sleep_it_is_what_waking_takes(self) -> None:
        assert start_of(replace_wake(KNOWN, 3), [pod(sleeping=BEGAN)]) == Start(3)


class TestInThePlan:
    def test_status_and_routers_know_it(self) -> None:
        planned = world.planned(world.route(backends=[VLLM]), Observed(pods=(pod(),)), now=world.LATER)
        assert planned.status.backends[0].start == KNOWN
        assert planned.snapshot.backends[0].start == Start(72)
        assert [start.pod for start in planned.started] == ["a"]

    def test_at_rest_nothing_is_new(self) -> None:
        seen = Observed(pods=(pod(),))
        old = world.planned(world.route(backends=[VLLM]), seen, now=world.LATER).status
        again = world.planned(world.route(old=old, backends=[VLLM]), seen, now=world.LATER)
        assert (again.status.backends[0].start, again.started) == (KNOWN, ())

    def test_a_pod_that_was_started_again_is_told_from_one_that_was_not(self) -> None:
        def seen(count: int) -> Pod:
            return pods.facts({"metadata": {"name": "a"}, "status": {"containerStatuses": [container(count)]}})

        def container(count: int) -> dict[str, Any]:
            return {"name": "vllm", "image": "v", "ready": True, "restartCount": count}

        assert [seen(count).restarted for count in (0, 1)] == [False, True]
