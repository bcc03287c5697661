"""Replicas that nobody needs sleep, and wake before new ones are started."""

from dataclasses import replace
from typing import Any

from modelroute.api import types as t
from modelroute.planning.errands import Sleep, Wake
from modelroute.planning.observed import Pod, Told
from modelroute.planning.scaling.demand import Sample, after
from modelroute.planning.scaling.scale import Scaled
from tests.fakes.scaled import NOW, SLEEPS, decided, demanded, pod, said, seen, told


class TestSleeping:
    IDLE = NOW - 1800

    def idle(self, *pods: Pod, number: int, asleep: tuple[int, ...] = (), floor: int = 0, **more: Any) -> Scaled:
        world_ = seen(*pods, number=number, asleep=asleep, demand=demanded(0, quiet=self.IDLE), **more)
        return decided(world_, old=said(number), **SLEEPS | {"minReplicas": floor})

    def old(self, number: int, **more: Any) -> Pod:
        return pod(number, created=NOW - 9000, loaded=NOW - 8000, **more)

    def test_those_beyond_the_floor_are_marked_and_stay(self) -> None:
        found = self.idle(self.old(1), self.old(2), number=2, floor=1)
        assert (found.replicas, told(found.errands)) == (2, [("sleeping", "small-1")])

    def test_a_marked_one_sleeps_when_routers_have_let_go_of_it(self) -> None:
        marked = self.old(1, sleeping=NOW - 2)
        found = self.idle(marked, number=1)
        assert found.errands == (Sleep("small", "small-1", "10.0.0.1:8000", NOW - 2, NOW - 900),)
        assert found.sleeping == 1
        assert self.idle(marked, number=1, busy={1: 1}).errands == ()
        assert self.idle(marked, number=1, told={"router": Told("old")}).errands == ()

    def test_one_that_sleeps_is_left_alone(self) -> None:
        assert self.idle(self.old(1, sleeping=NOW - 2), number=1, asleep=(1,)).errands == ()

    def test_one_that_was_started_anew_is_awake_and_sleeps_again(self) -> None:
        starting = self.old(1, sleeping=NOW - 500, ready=False)
        assert self.idle(starting, number=1).errands == ()
        assert told(self.idle(replace(starting, ready=True), number=1).errands) == [("Sleep", "small-1")]

    def test_one_that_sleeps_without_a_mark_is_marked(self) -> None:
        assert told(self.idle(self.old(1), number=1, asleep=(1,)).errands) == [("sleeping", "small-1")]

    def test_what_has_yet_to_start_does_not_keep_the_only_one_that_answers_from_answering(self) -> None:
        found = self.idle(self.old(1), self.old(2, ready=False), number=2, floor=1)
        assert found.errands == ()

    def test_demand_wakes_before_it_starts(self) -> None:
        pods = tuple(self.old(n, sleeping=NOW - 900) for n in (1, 2, 3))
        busy = seen(*pods, number=3, asleep=(1, 2, 3), demand={"small": after(None, Sample(NOW, cold=1), t.Scaling())})
        found = decided(busy, old=said(3), **SLEEPS)
        assert (found.replicas, told(found.errands)) == (3, [("Wake", "small-1")])
        [wake] = found.errands
        assert isinstance(wake, Wake)
        asked = wake.warm_up
        assert (asked.address, asked.model, asked.prompt, asked.max_tokens) == ("10.0.0.1:8000", "small", "ping", 1)

    def test_load_beyond_those_that_sleep_starts_more(self) -> None:
        pods = (self.old(1), self.old(2, sleeping=NOW - 900))
        found = decided(seen(*pods, number=2, asleep=(2,), demand=demanded(30)), old=said(2), **SLEEPS)
        assert (found.replicas, told(found.errands)) == (4, [("Wake", "small-2")])

    def test_little_load_lets_the_others_sleep_rather_than_go(self) -> None:
        pods = (self.old(1), self.old(2), self.old(3))
        found = decided(seen(*pods, number=3, busy={1: 4}, demand=demanded(4)), old=said(3), **SLEEPS)
        assert (found.replicas, told(found.errands)) == (3, [("sleeping", "small-2"), ("sleeping", "small-3")])

    def test_a_lower_most_lets_sleepers_go_first(self) -> None:
        pods = (self.old(1), *(self.old(n, sleeping=NOW - 900) for n in (2, 3, 4)))
        most = SLEEPS | {"maxReplicas": 2}
        found = decided(seen(*pods, number=4, asleep=(2, 3, 4), demand=demanded(4)), old=said(4), **most)
        assert told(found.errands) == [("draining", "small-2"), ("draining", "small-3")]
        pods = tuple(replace(p, draining=NOW - 1) if p.name in ("small-2", "small-3") else p for p in pods)
        lowered = decided(seen(*pods, number=2, asleep=(2, 3, 4), demand=demanded(0)), old=said(2), **most)
        assert (lowered.replicas, lowered.errands) == (2, ())

    def test_another_action_wakes_those_that_stay(self) -> None:
        found = decided(seen(self.old(1, sleeping=NOW - 900), number=1, asleep=(1,)), old=said(1))
        assert (told(found.errands), found.sleeping) == ([("Wake", "small-1")], 1)

    def test_what_never_sleeps_has_no_number_of_sleepers(self) -> None:
        assert decided(seen(self.old(1), number=1), old=said(1)).sleeping is None
        assert self.idle(self.old(1), number=1).sleeping == 0
