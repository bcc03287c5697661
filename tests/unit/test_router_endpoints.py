"""What a router remembers of replicas over its snapshots."""

import math

from modelroute.router.replicas.endpoints import Endpoint, Endpoints
from modelroute.snapshot.types import Backend, Timeouts

CAME = 100.0


def backend(*addresses: str) -> Backend:
    return Backend(name="small", weight=1, timeouts=Timeouts(1, 1, 1, 1), endpoints=addresses)


def known(endpoints: Endpoints, *addresses: str) -> tuple[Endpoint, ...]:
    """The snapshot has these."""
    found = endpoints.of(backend(*addresses))
    endpoints.keep(found)
    for endpoint in found:
        endpoint.since = CAME if endpoint.since == math.inf else endpoint.since
    return found


def test_a_replica_that_is_new_has_come_to_no_share_yet() -> None:
    [new] = Endpoints(lambda _: None).of(backend("10.0.0.1:8000"))
    assert new.since == math.inf


def test_a_replica_that_stays_keeps_its_share() -> None:
    endpoints = Endpoints(lambda _: None)
    [first] = known(endpoints, "10.0.0.1:8000")
    same, _ = known(endpoints, "10.0.0.1:8000", "10.0.0.2:8000")
    assert (same, same.since) == (first, CAME)


def test_a_replica_that_slept_while_it_answered_comes_back_as_a_new_one() -> None:
    endpoints = Endpoints(lambda _: None)
    [slept] = known(endpoints, "10.0.0.1:8000")
    slept.in_flight = 1
    known(endpoints, "10.0.0.2:8000")
    [woken] = endpoints.of(backend("10.0.0.1:8000"))
    assert (woken, woken.in_flight, woken.since) == (slept, 1, math.inf)
