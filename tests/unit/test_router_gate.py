"""What a backend's gate says of it, at moments that are hard to meet with sockets."""

import asyncio
import math
from collections.abc import Iterator

import pytest

from modelroute.policy.facts import Trouble
from modelroute.router.flow.waiting import Wait
from modelroute.router.replicas.gate import Gate
from modelroute.snapshot.types import Backend, Limits, Start, Timeouts
from tests.fakes.clock import InstantLoop

TIMEOUTS = Timeouts(connect=1, first_token_streamed=60, first_token_whole=600, stream_idle=60)


def gate_in(loop: asyncio.AbstractEventLoop, troubles: dict[str, Trouble], most: int) -> Gate:
    gate = Gate("small", troubles, loop)
    gate.adopt(Backend("small", 1, TIMEOUTS, ("10.0.0.1:80",), limits=Limits(max_in_flight=most)), 0.0)
    return gate


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = InstantLoop()
    yield loop
    loop.close()


class Cold:
    """A backend without a replica, at moment 0 of the loop's clock."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.troubles = dict[str, Trouble]()
        self.gate = Gate("small", self.troubles, loop)

    def told(self, start: Start, *endpoints: str, now: float = 1000.0) -> float:
        """When it is expected to be over, once a snapshot has come."""
        self.gate.adopt(Backend("small", 1, TIMEOUTS, endpoints, start=start), now)
        return self.until

    @property
    def until(self) -> float:
        return self.troubles["small"].until if self.troubles else 0.0


class TestStart:
    """Until when a replica is expected, on the loop's clock."""

    def test_what_has_not_begun_does_not_run_down(self, loop: asyncio.AbstractEventLoop) -> None:
        """At zero: what a start takes is counted from the first request that asks for one, however late that comes."""
        cold = Cold(loop)
        assert cold.told(Start(180)) == math.inf
        cold.gate.meant(3600.0)
        assert cold.until == 3780.0
        cold.gate.meant(3700.0)
        assert (cold.told(Start(180)), cold.gate.cold) == (3780.0, 2)

    def test_one_of_which_nothing_is_known_is_late_from_the_first_request_on(
        self, loop: asyncio.AbstractEventLoop
    ) -> None:
        cold = Cold(loop)
        assert cold.told(Start()) == math.inf
        cold.gate.meant(5.0)
        assert cold.until == 5.0

    @pytest.mark.parametrize(
        ("since", "until"), [(990.0, 170.0), (500.0, -320.0), (2000.0, 180.0)], ids=["runs", "late", "another clock"]
    )
    def test_one_that_runs_is_counted_from_its_beginning(
        self, loop: asyncio.AbstractEventLoop, since: float, until: float
    ) -> None:
        cold = Cold(loop)
        cold.told(Start(180))
        cold.gate.meant(3600.0)
        assert cold.told(Start(180, since)) == until

    def test_a_replica_ends_it_and_the_next_begins_anew(self, loop: asyncio.AbstractEventLoop) -> None:
        cold = Cold(loop)
        cold.told(Start(180, 990.0))
        assert cold.told(Start(180), "10.0.0.1:80") == 0.0
        cold.gate.meant(10.0)
        assert (cold.told(Start(180)), cold.gate.cold) == (math.inf, 0)

    def test_a_replica_that_is_gone_for_a_moment_is_no_start_that_is_hours_late(
        self, loop: asyncio.AbstractEventLoop
    ) -> None:
        """Requests are held for it from then on, and not for longer than for a start of which nothing is known."""
        cold = Cold(loop)
        cold.told(Start(180), "10.0.0.1:80")
        assert cold.told(Start(180, -20_000.0)) == 0.0
        assert cold.told(Start(180, 1000.0)) == 180.0  # a new one

    def test_one_that_is_taken_off_the_route_counts_nothing_and_comes_back_as_new(
        self, loop: asyncio.AbstractEventLoop
    ) -> None:
        cold = Cold(loop)
        cold.told(Start(180, 500.0))
        cold.gate.close()
        cold.gate.meant(10.0)
        assert (cold.told(Start(180)), cold.gate.cold) == (math.inf, 0)


class TestQuiet:
    """For how many seconds nobody has asked."""

    def test_what_came_before_it_began_to_count_is_not_known(self, loop: InstantLoop) -> None:
        loop._instant.passed = 50.0
        assert gate_in(loop, {}, most=2).quiet_for(55.0) == 5.0

    def test_it_begins_when_the_last_answer_ends(self, loop: InstantLoop) -> None:
        gate = gate_in(loop, {}, most=2)
        gate.enter()
        assert gate.quiet_for(600.0) == 0.0
        loop._instant.passed = 600.0
        gate.leave()
        assert gate.quiet_for(601.0) == 1.0

    def test_it_begins_when_the_last_one_gives_up_waiting(self, loop: InstantLoop) -> None:
        cold = Cold(loop)
        cold.told(Start(180))
        wait = Wait(None, cold.gate, "ColdStart", loop)  # type: ignore[arg-type]  # nobody is told of anything
        wait.in_line("u-17", 60.0)
        assert cold.gate.quiet_for(20.0) == 0.0
        loop._instant.passed = 20.0
        wait.stop()
        assert cold.gate.quiet_for(21.0) == 1.0

    def test_one_that_met_no_replica_ends_it_whoever_answered(self, loop: InstantLoop) -> None:
        cold = Cold(loop)
        cold.told(Start(180))
        cold.gate.meant(3600.0)
        assert cold.gate.quiet_for(3601.0) == 1.0


def test_a_cool_down_that_is_over_lets_no_more_in_than_there_is_place_for(loop: asyncio.AbstractEventLoop) -> None:
    """Its moment may have come before its timer: who asks then must not pass for the trouble being over."""
    troubles = dict[str, Trouble]()
    gate = gate_in(loop, troubles, most=2)
    gate.enter()
    gate.cool(5.0, "RateLimited")
    assert troubles["small"] == Trouble("RateLimited", 5.0)
    gate.enter()
    assert troubles["small"] == Trouble("RateLimited")
    gate.leave()
    assert troubles["small"] == Trouble("RateLimited", 5.0)
