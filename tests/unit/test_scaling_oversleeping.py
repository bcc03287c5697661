"""Sleepers that do not wake, or do not say that they sleep; and those that sleep while nobody is there to answer."""

from dataclasses import replace
from typing import Any

import pytest

from modelroute.planning.errands import Sleep
from modelroute.planning.observed import Engine, Pod
from modelroute.planning.scaling.scale import Scaled
from tests.fakes.scaled import NOW, SLEEPS, decided, demanded, pod, said, seen, told


def old(number: int, **more: Any) -> Pod:
    return pod(number, created=NOW - 9000 + number, loaded=NOW - 8000, **more)


def asleep(*numbers: int) -> tuple[Pod, ...]:
    return tuple(old(n, sleeping=NOW - 900) for n in numbers)


class TestNobodyThere:
    """One is to be awake and two asleep; the node of the one that was is gone, and its successor starts."""

    def found(self, *pods: Pod) -> Scaled:
        which = tuple(int(p.name[-1]) for p in pods if p.sleeping)
        world = seen(*pods, number=3, asleep=which, demand=demanded(1))
        return decided(world, old=said(3), **SLEEPS | {"minReplicas": 1})

    def test_a_sleeper_wakes(self) -> None:
        """Else it would wait for ever where the sleepers have the GPUs."""
        found = self.found(*asleep(1, 2), pod(4, ready=False))
        assert (found.replicas, told(found.errands)) == (3, [("Wake", "small-1")])

    def test_while_the_successor_starts_no_other_sleeps(self) -> None:
        assert self.found(old(1), *asleep(2), pod(4, ready=False)).errands == ()

    def test_when_it_is_ready_one_sleeps_again(self) -> None:
        assert told(self.found(old(1), *asleep(2), pod(4)).errands) == [("sleeping", "small-4")]


class TestOneThatDoesNotWake:
    """Of replicas that sleep, with load that wants one awake; small-1 was told to wake and has not."""

    def found(self, *pods: Pod, load: int = 4, number: int | None = None, **more: Any) -> Scaled:
        scaling = SLEEPS | {"minReplicas": 1} | more.pop("scaling", {})
        which = tuple(int(p.name[-1]) for p in pods if p.sleeping)
        fields: dict[str, Any] = {"oversleeping": frozenset({"small-1"})} | more
        there = len(pods) if number is None else number
        world = seen(*pods, number=there, asleep=which, demand=demanded(load), **fields)
        return decided(world, old=said(there), **scaling)

    def test_the_next_is_woken_and_it_is_told_again(self) -> None:
        assert told(self.found(*asleep(1, 2, 3)).errands) == [("Wake", "small-2"), ("Wake", "small-1")]

    def test_it_is_no_capacity_so_another_comes(self) -> None:
        found = self.found(*asleep(1))
        assert (found.replicas, told(found.errands)) == (2, [("Wake", "small-1")])
        assert found.status is not None
        assert found.status.decisions[0].reason == "requests came, and no replica is awake; a replica does not wake up"

    def test_when_the_other_answers_it_is_left_alone(self) -> None:
        found = self.found(*asleep(1), old(2))
        assert (found.replicas, found.errands) == (2, ())

    def test_one_that_was_started_again_is_waited_for(self) -> None:
        assert self.found(replace(*asleep(1), ready=False)).replicas == 1

    def test_where_there_is_no_room_it_goes_first(self) -> None:
        found = self.found(*asleep(1), scaling={"maxReplicas": 1})
        assert (found.replicas, told(found.errands)) == (1, [("draining", "small-1")])
        marked = replace(*asleep(1), draining=NOW - 2)
        gone = self.found(marked, scaling={"maxReplicas": 1}, oversleeping=frozenset())
        assert (gone.replicas, gone.errands) == (0, ())
        assert gone.status is not None
        assert gone.status.decisions[0].reason == "requests came, and no replica is awake; a replica does not wake up"

    def test_no_other_comes_before_it_has_ended(self) -> None:
        marked = replace(*asleep(1), draining=NOW - 2)
        for pods, replicas in (((marked,), 0), ((replace(marked, ending=True),), 1), ((), 1)):
            found = self.found(*pods, number=0, scaling={"maxReplicas": 1}, oversleeping=frozenset())
            assert (found.replicas, found.errands) == (replicas, ())

    def test_of_several_sleepers_it_goes(self) -> None:
        found = self.found(*asleep(2, 1), load=14, scaling={"maxReplicas": 2})
        assert told(found.errands) == [("draining", "small-1"), ("Wake", "small-2")]

    def test_none_goes_while_others_start_which_would_go_in_its_place(self) -> None:
        found = self.found(*asleep(1), pod(2, ready=False), scaling={"maxReplicas": 2}, load=14)
        assert (found.replicas, told(found.errands)) == (2, [("Wake", "small-1")])
        found = self.found(*asleep(1), number=2, scaling={"maxReplicas": 2}, load=14)
        assert (found.replicas, told(found.errands)) == (2, [("Wake", "small-1")])

    def test_the_most_is_never_exceeded(self) -> None:
        found = self.found(*asleep(1), load=40, scaling={"maxReplicas": 3})
        assert found.replicas == 3


class TestOneThatDoesNotSayThatItSleeps:
    SLEPT = Sleep("small", "small-1", "10.0.0.1:8000", NOW - 900, NOW - 900)

    def errands(self, *, says: bool | None = None, slept: Sleep = SLEPT, **more: Any) -> list[tuple[str, str]]:
        told_: dict[str, Any] = {"engines": {"small-1": Engine(sleeping=says)}, "slept": {"small-1": slept}}
        world = seen(old(1, sleeping=NOW - 900, **more), number=1, demand=demanded(0, quiet=NOW - 5000), **told_)
        return told(decided(world, old=said(1), **SLEEPS).errands)

    def test_it_is_told_once(self) -> None:
        assert self.errands() == []

    def test_one_that_says_that_it_is_awake_is_told_again(self) -> None:
        assert self.errands(says=False) == [("Sleep", "small-1")]

    @pytest.mark.parametrize("of_old", [{"marked": NOW - 950}, {"started": NOW - 950}])
    def test_another_mark_or_start_is_another_sleep(self, of_old: dict[str, Any]) -> None:
        assert self.errands(slept=replace(self.SLEPT, **of_old)) == [("Sleep", "small-1")]
