"""What a backend's gate says of it, at moments that are hard to meet with sockets."""

import asyncio

from modelroute.policy.facts import Trouble
from modelroute.router.replicas.gate import Gate
from modelroute.snapshot.types import Backend, Limits, Timeouts
from tests.fakes.clock import InstantLoop

TIMEOUTS = Timeouts(connect=1, first_token_streamed=60, first_token_whole=600, stream_idle=60)


def gate_in(loop: asyncio.AbstractEventLoop, troubles: dict[str, Trouble], most: int) -> Gate:
    gate = Gate("small", troubles, loop)
    gate.adopt(Backend("small", 1, TIMEOUTS, ("10.0.0.1:80",), limits=Limits(max_in_flight=most)), 0.0)
    return gate


def test_a_cool_down_that_is_over_lets_no_more_in_than_there_is_place_for() -> None:
    """Its moment may have come before its timer: who asks then must not pass for the trouble being over."""
    loop, troubles = InstantLoop(), dict[str, Trouble]()
    gate = gate_in(loop, troubles, most=2)
    gate.enter()
    gate.cool(5.0, "RateLimited")
    assert troubles["small"] == Trouble("RateLimited", 5.0)
    gate.enter()
    assert troubles["small"] == Trouble("RateLimited")
    gate.leave()
    assert troubles["small"] == Trouble("RateLimited", 5.0)
    loop.close()
