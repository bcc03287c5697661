"""Backends that share a route by weight and have no fallbacks: when one fails, who else may answer the same request."""

import pytest

from modelroute.snapshot.types import Rule, When
from tests.dataplane.conftest import NO_RETRY, Plane, backend
from tests.dataplane.faults import FAILS, QUICK, UNWATCHED, at_rest, nobody
from tests.fakes.upstream import Script, Upstream, answers

ALWAYS = 10**9
"""The weight of who is drawn first; of the other it is 1."""
BUSY = answers({"error": {"message": "slow down"}}, 429, retry_after="30")
FAULTS = pytest.mark.parametrize("fault", [None, FAILS, BUSY], ids=["refuses", "500", "429"])
CLOSED = Rule("private", When(headers={"x-data": "secret"}), fail_closed=True)


async def share(plane: Plane, fault: Script | None) -> tuple[str, Upstream]:
    """A route by weight on one that has a fault (None: nobody listens) and an External one that has none."""
    first = await nobody() if fault is None else (await plane.upstream(fault)).address
    other = await plane.upstream()
    await plane.route(
        backend("a", first, weight=ALWAYS, health=UNWATCHED),
        backend("b", other, weight=1, data_policy="External"),
        rules=(CLOSED,),
        retry=QUICK if fault is FAILS else NO_RETRY,  # who has done no work for it costs nothing of the budget
    )
    return first, other


@FAULTS
async def test_another_backend_that_has_a_weight_answers_for_one_that_fails(plane: Plane, fault: Script | None) -> None:
    await share(plane, fault)
    reply = await plane.chat()
    assert (reply.status, reply.backend, reply.headers["x-modelroute-attempts"]) == (200, "b", "2")
    await at_rest(plane)


@FAULTS
async def test_another_backend_does_not_answer_where_a_rule_keeps_it_out(plane: Plane, fault: Script | None) -> None:
    _, other = await share(plane, fault)
    assert (await plane.chat(headers={"x_data": "secret"})).status in (429, 500, 502)
    assert other.received == []
    await at_rest(plane)


@pytest.mark.parametrize("status", [400, 401, 404, 413, 422])
async def test_another_backend_is_not_asked_what_one_has_refused(plane: Plane, status: int) -> None:
    _, other = await share(plane, answers({"error": {"message": "no"}}, status))
    assert (await plane.chat()).backend == "a"
    assert other.received == []
    await at_rest(plane)
