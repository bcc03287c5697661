"""How many replicas: each rule, and the sentence that tells of it. Targets are of 8 requests a replica."""

import math
from typing import Any

import pytest

from modelroute.api import types as t
from modelroute.planning.scaling.demand import Demand, Sample, after
from modelroute.planning.scaling.number import Number, Standing, wanted
from modelroute.planning.times.schedule import Floor

NOW = 10_000.0


def asked(most: int | None = 6, *, least: int = 0, down: str = "5m", **more: Any) -> t.Scaling:
    return t.Scaling(min_replicas=least, max_replicas=most, scale_down=t.ScaleDown(stabilization=down), **more)


def loads(*spans: tuple[float, int], scaling: t.Scaling | None = None, **last: Any) -> Demand:
    """Samples up to NOW, one a second: for so many seconds so many requests in flight; ``last`` is of the last span."""
    at, found = NOW - sum(seconds for seconds, _ in spans), None
    for index, (seconds, in_flight) in enumerate(spans):
        extra = last if index == len(spans) - 1 else {}
        for _ in range(round(seconds)):
            at += 1
            found = after(found, Sample(at, in_flight=in_flight, **extra), scaling or asked())
    assert found is not None
    return found


def number(
    demand: Demand | None, awake: int = 1, *, scaling: t.Scaling | None = None, floor: Floor | None = None, **more: Any
) -> Number:
    scaling = scaling or asked()
    standing = {"ready": awake, "able": 0.0, "newest": 0.0, **more}
    floor = floor or Floor(scaling.min_replicas)
    return wanted(scaling, floor, Standing(awake, **standing), demand, NOW)


class TestFloor:
    def test_a_fixed_number_is_the_floor_whatever_the_load(self) -> None:
        fixed = asked(None, least=2)
        assert number(loads((100, 900)), 5, scaling=fixed) == Number(2, "minReplicas is 2")

    def test_a_schedule_raises_it_at_once(self) -> None:
        assert number(None, 1, floor=Floor(3, ("morning",))) == Number(3, "schedule morning asks for 3")

    def test_two_schedules_are_both_named(self) -> None:
        assert number(None, 1, floor=Floor(3, ("a", "b"))).reason == "schedules a and b ask for 3"

    def test_one_above_the_most_wins(self) -> None:
        assert number(loads((100, 900)), 9, floor=Floor(9, ("morning",))).replicas == 9

    def test_nothing_goes_below_it(self) -> None:
        found = number(loads((400, 0)), 4, scaling=asked(least=2))
        assert found == Number(2, "at most 0 requests in flight for 5m, target 8 a replica")

    def test_a_most_that_was_lowered(self) -> None:
        assert number(None, 5, scaling=asked(3)) == Number(3, "maxReplicas is 3")


class TestMore:
    def test_a_load_above_the_target(self) -> None:
        assert number(loads((70, 19)), 2) == Number(3, "19 requests in flight, target 8 a replica")

    @pytest.mark.parametrize(("load", "replicas"), [(17, 2), (18, 3)])
    def test_a_little_more_than_the_target_is_tolerated(self, load: int, replicas: int) -> None:
        assert number(loads((70, load)), 2).replicas == replicas

    def test_not_before_a_minute_was_seen(self) -> None:
        assert number(loads((59, 19)), 2) == Number(2)

    def test_the_most_is_said_where_it_is_reached(self) -> None:
        reason = "90 requests in flight, target 8 a replica; maxReplicas is 6"
        assert number(loads((70, 90)), 5, ready=50) == Number(6, reason)

    def test_at_the_most_there_is_nothing_to_say_of_a_change(self) -> None:
        assert number(loads((70, 900)), 6).replicas == 6

    def test_a_window_upwards_is_waited_for(self) -> None:
        slow = asked(scale_up=t.ScaleUp(stabilization="1m"))
        assert number(loads((100, 8), (50, 19), scaling=slow), 2, scaling=slow) == Number(2)
        assert number(loads((100, 8), (130, 19), scaling=slow), 2, scaling=slow).replicas == 3

    def test_half_a_picture_may_bring_more(self) -> None:
        assert number(loads((70, 19), complete=False), 2).replicas == 3

    def test_stale_news_brings_nothing(self) -> None:
        demand = loads((70, 19))
        assert wanted(asked(), Floor(0), Standing(2, 2), demand, NOW + 16) == Number(2)


class TestBurst:
    def test_it_is_acted_on_by_the_last_six_seconds(self) -> None:
        found = number(loads((70, 2), (6, 40)))
        assert found == Number(5, "a burst of 40 requests in flight, target 8 a replica")

    @pytest.mark.parametrize(("load", "replicas"), [(31, 2), (32, 4)])
    def test_it_is_twice_what_those_that_are_ready_should_have(self, load: int, replicas: int) -> None:
        assert number(loads((70, 2), (6, load)), 2).replicas == replicas

    def test_what_starts_yet_is_no_capacity(self) -> None:
        assert number(loads((70, 2), (6, 31)), 2, ready=1).replicas == 4

    def test_replicas_that_find_no_node_are_not_asked_for_again(self) -> None:
        assert number(loads((70, 31)), 4, ready=1) == Number(4)

    def test_six_seconds_must_have_been_seen(self) -> None:
        assert number(loads((6, 40))) == Number(1)
        assert number(loads((7, 40))).replicas == 5

    def test_the_next_step_waits_for_new_six_seconds(self) -> None:
        demand = loads((70, 2), (6, 40))
        assert number(demand, changed=NOW - 5) == Number(1)
        assert number(demand, changed=NOW - 6).replicas == 5

    def test_a_window_upwards_does_not_hold_it_up(self) -> None:
        slow = asked(scale_up=t.ScaleUp(stabilization="10m"))
        assert number(loads((70, 2), (6, 40), scaling=slow), scaling=slow).replicas == 5

    def test_none_goes_in_the_minute_in_which_it_was(self) -> None:
        """Though there were enough for it."""
        assert number(loads((380, 1), (6, 30), (53, 1)), 5, ready=1) == Number(5)
        assert number(loads((380, 1), (6, 30), (60, 1)), 5, ready=1).replicas == 1

    def test_none_goes_for_a_minute_after_more_came(self) -> None:
        quick = asked(down="0s")
        demand = loads((100, 2), scaling=quick)
        assert number(demand, 4, scaling=quick, changed=NOW - 59) == Number(4)
        assert number(demand, 4, scaling=quick, changed=NOW - 60).replicas == 1


class TestEngines:
    QUEUES = "requests queue within the replicas with 6 requests in flight: target 8 is too high for them"

    def test_a_queue_within_replicas_brings_one(self) -> None:
        assert number(loads((70, 6), queued=2)) == Number(2, self.QUEUES)

    def test_a_full_cache_brings_one(self) -> None:
        assert number(loads((70, 6), cache=0.99)).reason.startswith("the cache of a replica is full with 6")

    def test_one_at_a_time(self) -> None:
        demand = loads((70, 6), queued=2)
        assert number(demand, 2, ready=1) == Number(2)
        assert number(demand, 2, newest=NOW - 59) == Number(2)
        assert number(demand, 2, newest=NOW - 60).replicas == 3

    def test_without_a_ready_one_it_says_nothing(self) -> None:
        assert number(loads((70, 6), queued=2), 1, ready=0, newest=math.inf) == Number(1)

    def test_none_goes_while_they_queue(self) -> None:
        assert number(loads((400, 6), queued=2), 3, newest=NOW) == Number(3)

    def test_the_one_that_came_for_it_does_not_go_for_what_was_too_much(self) -> None:
        """Else it would come and go every few minutes."""
        crowd = loads((70, 6), (500, 6), queued=1, ready=1)
        for at in range(1, 500):
            crowd = after(crowd, Sample(NOW + at, in_flight=6, ready=2), asked())
        standing = Standing(2, 2, able=0, newest=NOW)
        assert wanted(asked(), Floor(0), standing, crowd, NOW + 499) == Number(2)
        for at in range(500, 1000):
            crowd = after(crowd, Sample(NOW + at, in_flight=4, ready=2), asked())
        assert wanted(asked(), Floor(0), standing, crowd, NOW + 999).replicas == 1


class TestFewer:
    def test_when_fewer_were_enough_all_the_time(self) -> None:
        reason = "at most 9 requests in flight for 5m, target 8 a replica"
        assert number(loads((380, 9)), 4) == Number(2, reason)

    def test_what_was_wanted_within_the_window_stays(self) -> None:
        assert number(loads((60, 30), (300, 9)), 4) == Number(4)

    def test_not_before_the_window_was_seen(self) -> None:
        """Such as after a restart of the operator."""
        assert number(loads((300, 9)), 4) == Number(4)
        assert number(loads((307, 9)), 4).replicas == 2

    def test_not_by_half_a_picture(self) -> None:
        assert number(loads((380, 9), (1, 9), complete=False), 4) == Number(4)

    def test_not_without_news(self) -> None:
        demand = loads((380, 9))
        assert wanted(asked(), Floor(0), Standing(4, 4), demand, NOW + 16) == Number(4)
        assert number(None, 4) == Number(4)

    @pytest.mark.parametrize(("load", "replicas"), [(137, 20), (136, 19)])
    def test_those_that_are_left_have_a_little_less_than_the_target(self, load: int, replicas: int) -> None:
        assert number(loads((380, load)), 20, scaling=asked(20)).replicas == replicas

    def test_a_window_of_less_than_a_minute_is_a_minute(self) -> None:
        quick = asked(down="10s")
        assert number(loads((70, 9), scaling=quick), 4, scaling=quick).reason.startswith(
            "at most 9 requests in flight for 60s"
        )
        assert number(loads((60, 9), scaling=quick), 4, scaling=quick) == Number(4)

    def test_the_last_stays_until_nobody_has_asked_for_long(self) -> None:
        assert number(loads((1700, 0)), 4).replicas == 1


class TestZero:
    IDLE = loads((1810, 0), scaling=asked())

    def test_nobody_asked_for_so_long(self) -> None:
        assert number(self.IDLE) == Number(0, "no request for 30m")

    def test_a_moment_before(self) -> None:
        assert number(loads((1800, 0))) == Number(1)

    def test_one_short_request_is_one(self) -> None:
        assert number(loads((1700, 0), (1, 1), (109, 0))) == Number(1)

    def test_after_a_restart_what_routers_know_counts_once_a_minute_was_seen(self) -> None:
        assert number(loads((61, 0), quiet_for=1740)).replicas == 0
        assert number(loads((60, 0), quiet_for=1750)).replicas == 1
        assert number(loads((61, 0), quiet_for=1739)).replicas == 1

    def test_not_by_half_a_picture(self) -> None:
        assert number(loads((1810, 0), (1, 0), complete=False)) == Number(1)

    def test_not_within_a_minute_of_a_change(self) -> None:
        assert number(self.IDLE, changed=NOW - 59) == Number(1)

    def test_not_while_requests_queue_within_the_replicas(self) -> None:
        assert number(loads((70, 0), queued=1), newest=NOW) == Number(1)

    def test_it_counts_from_when_it_could_be_asked(self) -> None:
        """Else a start that takes longer would never end."""
        assert number(self.IDLE, able=NOW - 1799) == Number(1)
        assert number(self.IDLE, able=math.inf) == Number(1)

    def test_all_go_at_once_that_are_above_the_floor(self) -> None:
        assert number(self.IDLE, 4, scaling=asked(least=2)) == Number(2, "no request for 30m")

    def test_the_window_downwards_is_not_waited_for(self) -> None:
        slow = asked(idle=t.Idle(after="1m"))
        assert number(loads((200, 30), (61, 0), scaling=slow), 4, scaling=slow).replicas == 0
        assert number(loads((200, 30), (60, 0), scaling=slow), 4, scaling=slow) == Number(4)

    def test_none_stays_at_one(self) -> None:
        stays = asked(idle=t.Idle(action="None"))
        assert number(loads((1900, 0), scaling=stays), 4, scaling=stays).replicas == 1

    def test_sleep_needs_none_awake(self) -> None:
        sleeps = asked(idle=t.Idle(action="Sleep"))
        assert number(self.IDLE, 2, scaling=sleeps) == Number(0, "no request for 30m")

    def test_never_within_a_minute_of_the_last_request(self) -> None:
        short = asked(down="0s", idle=t.Idle(after="1s"))
        assert number(loads((90, 1), (59, 0), scaling=short), scaling=short) == Number(1)


class TestFromZero:
    FIRST = "requests came, and no replica is awake"

    @pytest.mark.parametrize("sign", [{"waiting": 1}, {"cold": 1}, {"in_flight": 1}])
    def test_one_comes_at_once(self, sign: dict[str, Any]) -> None:
        slow = asked(scale_up=t.ScaleUp(stabilization="10m"))
        demand = after(None, Sample(NOW, **sign), slow)
        assert number(demand, 0, scaling=slow) == Number(1, self.FIRST)

    def test_half_a_picture_is_enough(self) -> None:
        assert number(after(None, Sample(NOW, cold=1, complete=False), asked()), 0).replicas == 1

    def test_a_sample_between_two_looks_is_not_missed(self) -> None:
        demand = loads((10, 0))
        demand = after(demand, Sample(NOW + 1, cold=1), asked())
        demand = after(demand, Sample(NOW + 2), asked())
        assert wanted(asked(), Floor(0), Standing(0, 0), demand, NOW + 2).replicas == 1

    def test_nobody_asks_nobody_comes(self) -> None:
        assert number(loads((100, 0)), 0) == Number(0)

    def test_many_that_wait_bring_as_many_as_they_need(self) -> None:
        assert number(loads((70, 0), (6, 30)), 0) == Number(4, "a burst of 30 requests in flight, target 8 a replica")
