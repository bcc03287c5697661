"""A day of load in a few seconds: replicas that start slowly, bursts, pauses; what it costs and what it breaks."""

import itertools
import random
from typing import Any

import pytest

from tests.fakes import world
from tests.fakes.fleet import Fleet


def fleet(rate: Any, seconds: float, **scaling: Any) -> Fleet:
    fields = {"minReplicas": 0, "maxReplicas": 6, **scaling}
    return Fleet(world.of_vllm(scaling=fields), rate).run(seconds)


def turns(found: Fleet) -> int:
    """How often it went the other way."""
    ways = [1 if d.after > d.before else -1 for d in found.decisions]
    return sum(a != b for a, b in itertools.pairwise(ways))


def busy_day(at: float) -> float:
    """A morning peak with a burst in it, a pause, and a little in the evening."""
    if at < 300 or 2700 < at < 4200:
        return 0.0
    if at < 2700:
        return 6.0 if 1500 < at < 1540 else 2.2
    return 0.5


@pytest.fixture(scope="module")
def day() -> Fleet:
    return fleet(busy_day, 5000, idle={"after": "10m"})


def test_no_request_is_cut_off_by_a_replica_that_goes(day: Fleet) -> None:
    assert day.lost == 0
    assert min(day.numbers[300:]) == 0 < max(day.numbers)


def test_a_day_with_three_ways_up_and_down_turns_no_more_often(day: Fleet) -> None:
    assert turns(day) <= 6


def test_replicas_cost_no_more_than_twice_what_the_load_needs(day: Fleet) -> None:
    """The target is 8 at once, and a request lasts ten seconds; idle replicas wait ten minutes for the next one."""
    needed = sum(-(-busy_day(at) * 10 // 8) for at in range(5000))
    assert needed < day.seconds < 2 * needed


def test_each_change_tells_its_reason(day: Fleet) -> None:
    reasons = " / ".join(d.reason for d in day.decisions)
    assert "requests came, and no replica is awake" in reasons
    assert "a burst of" in reasons
    assert "at most" in reasons
    assert "no request for 10m" in reasons


@pytest.mark.parametrize("seed", range(4))
def test_a_noisy_load_does_not_flap(seed: int) -> None:
    chance = random.Random(seed)
    found = fleet(lambda _: chance.choice([0, 1, 2, 3, 4]), 4000)
    assert turns(found) <= 1
    assert set(found.numbers[-500:]) in ({3}, {4}, {3, 4})


def test_short_pauses_do_not_flap() -> None:
    """A load that comes for a minute and goes for two keeps what its minutes need."""
    found = fleet(lambda at: 2.4 if at % 180 < 60 else 0.0, 4000)
    assert turns(found) <= 1
    assert len(set(found.numbers[-600:])) == 1


def test_replicas_without_a_gpu_are_asked_for_once() -> None:
    found = Fleet(world.of_vllm(scaling={"minReplicas": 1, "maxReplicas": 9}), lambda _: 2.5, gpus=2).run(3600)
    assert turns(found) <= 1
    assert found.number == 4
    assert sum(r.pod.ready for r in found.replicas) == 2


def test_sleepers_come_and_go_while_the_number_stays() -> None:
    """A night's pause: all sleep, the first request wakes one, and nobody is asked while asleep."""
    scaling = {"idle": {"after": "5m", "action": "Sleep"}}
    found = fleet(lambda at: 0.0 if 1200 < at < 3000 else 2.0, 2900, **scaling)
    assert [r.asleep for r in found.replicas] == [True] * (found.number or 0)
    number = found.number
    found.run(700)
    assert (found.number, sum(not r.asleep for r in found.replicas), found.lost) == (number, 3, 0)
