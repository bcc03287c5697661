"""Layered deadlines: connect, first token, silence, total, and the client's own over all of them."""

import asyncio
import json
from typing import Any

import pytest

from modelroute.policy.retry import first_token_limit
from modelroute.snapshot.types import Fallback, Health, Limits, Retry
from tests.dataplane.conftest import Plane, backend, times
from tests.dataplane.faults import (
    FAILS,
    UNWATCHED,
    Held,
    after,
    asking,
    at_rest,
    begins,
    ejected,
    finishes,
    gate,
    until,
)
from tests.fakes.upstream import DONE, Received, Script, Wire, answers, silent, text

ON_TIME = (Fallback("big", ("Timeout", "ServerError", "ConnectFailure")),)
WIDE = times(connect=1000, first_token_streamed=1000, first_token_whole=1000, stream_idle=1000)
BETWEEN_TICKS = {"x_request_timeout_ms": "50.4"}
"""Ends 45.36 ms after the beginning, which a timer that counts whole milliseconds takes for 45."""
SHORT = pytest.mark.parametrize(
    "headers", [{"x_request_timeout_ms": "300"}, {"x_stainless_read_timeout": "0.3"}, {"x_stainless_timeout": "0.3"}]
)


async def drips(_: Received, wire: Wire) -> None:
    """A stream that says something all the time and has no end."""
    while True:
        wire.chunk(text("drip"))
        await asyncio.sleep(0.02)


async def trickles(_: Received, wire: Wire) -> None:
    """A whole answer of which a byte comes now and then."""
    wire.head(content_type="application/json", content_length="100000")
    while True:
        wire.raw(b" ")
        await asyncio.sleep(0.02)


@SHORT
@pytest.mark.parametrize("script", [silent, trickles], ids=["silent", "trickling"])
async def test_deadline_of_a_client_ends_a_whole_answer(plane: Plane, headers: dict[str, str], script: Script) -> None:
    up = await plane.upstream(script)
    await plane.route(backend("small", up, weight=1, timeouts=WIDE, health=Health(1, path="")))
    reply = await asyncio.wait_for(plane.chat(headers=headers), 10)
    assert (reply.status, reply.error["code"]) == (504, "timeout")
    await up.left()
    assert ejected(plane) == [False]  # it is the client who is in a hurry
    await at_rest(plane)


@pytest.mark.parametrize("dialing", [True, False])
async def test_deadline_of_impatient_clients_takes_no_replica_out(
    plane: Plane, dialing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    if dialing:
        monkeypatch.setattr("modelroute.router.flow.attempt.dial", never)
    up = await plane.upstream(silent)
    await plane.route(backend("small", up, weight=1, timeouts=WIDE, health=Health(1, path="")))
    for headers in ({"x_request_timeout_ms": "50"}, {"x_stainless_read_timeout": "0.05"}, BETWEEN_TICKS):
        assert (await plane.chat(headers=headers)).status == 504
    assert ejected(plane) == [False]
    await at_rest(plane)


async def test_deadline_that_is_over_starts_no_other_try(plane: Plane) -> None:
    """A timer that is early by a part of a millisecond leaves no time that anybody could use."""
    asleep, big = await plane.upstream(silent), await plane.upstream(begins(finishes))
    small = backend("small", asleep, weight=1, timeouts=WIDE)
    await plane.route(small, backend("big", big, timeouts=WIDE), fallbacks=ON_TIME, retry=Retry(attempts=1))
    replies = [await plane.chat(headers=BETWEEN_TICKS) for _ in range(9)]
    assert ({r.status for r in replies}, big.received) == ({504}, [])
    await at_rest(plane)


async def test_deadline_of_a_client_leaves_half_of_it_to_who_takes_over(plane: Plane) -> None:
    """The first try is given up while another one can still be in time."""
    asleep, big = await plane.upstream(silent), await plane.upstream(after(0.2, begins(finishes)))
    small = backend("small", asleep, weight=1, timeouts=WIDE)
    await plane.route(small, backend("big", big, timeouts=WIDE), fallbacks=ON_TIME)
    reply = await plane.chat(stream=True, headers={"x_request_timeout_ms": "2000"})
    assert (reply.backend, reply.body[-len(DONE) :]) == ("big", DONE)
    await at_rest(plane)


async def test_deadline_leaves_no_room_for_a_retry_that_would_be_too_late(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelroute.router.flow.retries.backoff", lambda *_: 1000.0)
    up = await plane.upstream(FAILS)
    await plane.route(backend("small", up, weight=1, health=UNWATCHED), retry=Retry(max_wait=1000))
    told = asyncio.wait_for(plane.chat(headers={"x_request_timeout_ms": "900000"}), 10)
    assert (await told).status == 500  # at once, and not at the deadline
    await at_rest(plane)


@pytest.mark.parametrize(
    ("replicas", "fallback", "floor", "half"),
    [
        (1, None, 3, False),
        (1, Fallback("big", ("ColdStart",)), 3, False),
        (1, Fallback("cold", ("Timeout",)), 3, False),
        (1, Fallback("big", ("Timeout",)), 0, True),
        (2, None, 3, True),
        (2, None, 0, False),
    ],
    ids=["nobody", "not for a timeout", "not ready", "a fallback", "another replica", "one that cannot be paid"],
)
async def test_deadline_is_halved_only_where_somebody_can_take_over(
    plane: Plane, monkeypatch: pytest.MonkeyPatch, replicas: int, fallback: Fallback | None, floor: int, half: bool
) -> None:
    def noting(*args: Any, **more: Any) -> float:
        limits.append(first_token_limit(*args, **more))
        return limits[-1]

    limits: list[float] = []
    monkeypatch.setattr("modelroute.router.flow.deadline.first_token_limit", noting)
    ups = [await plane.upstream(begins(finishes)) for _ in range(replicas)]
    big = backend("big", await plane.upstream(), timeouts=WIDE)
    small = backend("small", *ups, weight=1, timeouts=WIDE)
    retry = Retry(budget_percent=0, budget_floor=floor)
    await plane.route(small, big, backend("cold"), fallbacks=(fallback,) if fallback else (), retry=retry)
    assert (await plane.chat(stream=True, headers={"x_request_timeout_ms": "20000"})).backend == "small"
    assert [limit < 10 for limit in limits] == [half]
    await at_rest(plane)


@pytest.mark.parametrize("where", ["route", "backend"])
@pytest.mark.parametrize("stream", [True, False])
async def test_deadline_total_ends_what_never_ends(plane: Plane, where: str, stream: bool) -> None:
    up = await plane.upstream(begins(drips) if stream else trickles)
    total = 0.3 if where == "backend" else None
    small = backend("small", up, weight=1, timeouts=times(total=total) if total else WIDE, health=Health(1, path=""))
    await plane.route(small, total=None if total else 0.3)
    reply = await plane.chat(stream=stream)
    if stream:
        assert reply.chunks[-1].startswith(b'data: {"error":{"message":"the answer took longer than it may"')
        assert DONE not in reply.body
    else:
        assert (reply.status, reply.error["code"]) == (504, "timeout")
    await up.left()
    assert ejected(plane) == [False]
    await at_rest(plane)


async def test_deadline_total_of_one_backend_leaves_time_for_another(plane: Plane) -> None:
    small = backend("small", await plane.upstream(trickles), weight=1, timeouts=times(total=0.2))
    await plane.route(small, backend("big", await plane.upstream()), fallbacks=ON_TIME)
    assert (await plane.chat()).reason == "fallback Timeout"
    await at_rest(plane)


@pytest.mark.parametrize("where", ["route", "client"])
async def test_deadline_bounds_all_tries_together(plane: Plane, where: str) -> None:
    ups = [await plane.upstream(after(0.25, FAILS)) for _ in range(3)]
    backends = [backend(f"b{n}", up, weight=int(n == 0), timeouts=WIDE, health=UNWATCHED) for n, up in enumerate(ups)]
    fallbacks = tuple(Fallback(b.name, ("ServerError",)) for b in backends[1:])
    headers = {"x_request_timeout_ms": "400"} if where == "client" else {}
    await plane.route(*backends, fallbacks=fallbacks, total=None if headers else 0.4)
    assert (await plane.chat(headers=headers)).status == 504
    assert ups[2].received == []
    await at_rest(plane)


@SHORT
async def test_deadline_of_a_client_bounds_its_wait_in_line(plane: Plane, headers: dict[str, str]) -> None:
    held = Held()
    up = await plane.upstream(held)
    await plane.route(backend("small", up, weight=1, limits=Limits(1, max_wait=1000)))
    first = await asking(plane)
    await until(lambda: gate(plane).in_flight == 1)
    assert (await plane.chat(headers=headers)).status == 429
    first.close()
    await at_rest(plane)


async def test_deadline_of_silence_is_over_once_a_stream_has_begun(plane: Plane) -> None:
    """An SDK's read timeout is of the time between two pieces."""

    async def lasts(received: Received, wire: Wire) -> None:
        for _ in range(25):
            wire.chunk(text("a"))
            await asyncio.sleep(0.1)
        await finishes(received, wire)

    await plane.route(backend("small", await plane.upstream(begins(lasts)), weight=1))
    reply = await plane.chat(stream=True, headers={"x_stainless_read_timeout": "2"})
    assert reply.body.endswith(DONE)
    await at_rest(plane)


async def test_deadline_of_silence_holds_inside_a_stream_and_is_not_the_replicas_fault(plane: Plane) -> None:
    up = await plane.upstream(begins(silent))
    await plane.route(backend("small", up, weight=1, timeouts=WIDE, health=Health(1, path="")))
    reply = await asyncio.wait_for(plane.chat(stream=True, headers={"x_stainless_read_timeout": "2"}), 10)
    assert json.loads(reply.chunks[-1].removeprefix(b"data: "))["error"]["code"] == "timeout"
    assert DONE not in reply.body
    await up.left()
    assert ejected(plane) == [False]
    await at_rest(plane)


@pytest.mark.parametrize("value", ["0", "-5", "nan", "inf", "soon", "1e400", ""])
async def test_deadline_that_makes_no_sense_is_none(plane: Plane, value: str) -> None:
    await plane.route(backend("small", await plane.upstream(after(0.05, answers())), weight=1))
    for name in ("x_request_timeout_ms", "x_stainless_read_timeout", "x_stainless_timeout"):
        assert (await plane.chat(headers={name: value})).status == 200
    await at_rest(plane)
