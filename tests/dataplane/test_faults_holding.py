"""A cold backend: who is held, for how long, what the client sees meanwhile, and who takes over."""

import asyncio
import time

import pytest

from modelroute.snapshot.types import Backend, ColdStart, Fallback, Limits, Rule, Start, When
from tests.dataplane.conftest import Plane, backend, times
from tests.dataplane.faults import (
    QUICK,
    Held,
    asked_long_ago,
    asking,
    at_rest,
    gate,
    many,
    nobody,
    patience_ends,
    until,
)
from tests.fakes.upstream import DONE, OPENER, answers, resets, streams, text

COMMENT = b": waiting for a replica\n\n"
ON_COLD = (Fallback("big", ("ColdStart",)),)


def cold(policy: str = "Hold", *, start: Start | None = None, **settings: float) -> Backend:
    """The backend before it has a replica; None is not given."""
    held = ColdStart(policy=policy, **settings)  # type: ignore[arg-type]
    return backend("small", weight=1, cold_start=held, start=start or Start())


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comments come so often that a test need not wait for them."""
    monkeypatch.setattr("modelroute.router.flow.waiting.COMMENT_SECONDS", 0.02)


async def test_hold_a_stream_hears_comments_and_then_the_answer_on_the_same_response(plane: Plane, often: None) -> None:
    await plane.route(cold())
    client = await asking(plane, stream=True)
    head = await client.head()
    assert (head.status, head.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert [await client.chunk() for _ in range(2)] == [COMMENT] * 2
    await plane.route(backend("small", await plane.upstream(streams()), weight=1))
    pieces: list[bytes] = []
    while (piece := await client.chunk()) and len(pieces) < 100:
        pieces.append(piece)
    assert b"".join(pieces).replace(COMMENT, b"") == OPENER + text("a") + text("b") + DONE
    await at_rest(plane)


async def test_hold_a_whole_answer_is_held_without_a_word(plane: Plane, often: None) -> None:
    await plane.route(cold())
    client = await asking(plane)
    await until(lambda: gate(plane).waiting == 1)
    await asyncio.sleep(0.1)  # several times what a stream would hear a comment after
    await plane.route(backend("small", await plane.upstream(answers({"n": 1})), weight=1))
    reply = await client.reply()
    assert (reply.status, reply.json, reply.reason) == (200, {"n": 1}, "held ColdStart")
    await at_rest(plane)


async def test_hold_all_that_are_held_are_let_go_and_counted_meanwhile(plane: Plane) -> None:
    await plane.route(cold())
    waiting = [await asking(plane, user=f"u-{n}") for n in range(20)]
    await until(lambda: gate(plane).waiting == 20)
    assert await plane.metric("modelroute_requests_waiting", backend="small") == 20
    [told] = (await plane.status())["backends"]
    assert (told["waiting"], told["trouble"]) == (20, "ColdStart")
    await plane.route(backend("small", await plane.upstream(), weight=1))
    assert [(await client.reply()).status for client in waiting] == [200] * 20
    assert await plane.metric("modelroute_requests_waiting", backend="small") == 0
    await at_rest(plane)


async def test_hold_is_bounded_in_number(plane: Plane) -> None:
    await plane.route(cold(max_held=3))
    waiting = [await asking(plane) for _ in range(3)]
    await until(lambda: gate(plane).waiting == 3)
    reply = await plane.chat()
    assert (reply.status, reply.error["code"], reply.headers["retry-after"]) == (503, "no_ready_backend", "5")
    for client in waiting:
        client.close()
    await at_rest(plane)


@pytest.mark.parametrize("policy", ["Hold", "HoldThenFallback"])
async def test_hold_is_bounded_in_time(plane: Plane, policy: str) -> None:
    await plane.route(cold(policy, max_wait=0.1))
    reply = await plane.chat()
    assert (reply.status, reply.error["code"]) == (504, "timeout")
    await at_rest(plane)


async def test_hold_a_stream_that_heard_a_comment_is_told_by_an_event_when_it_fails(plane: Plane, often: None) -> None:
    await plane.route(cold(max_wait=1000))
    client = await asking(plane, stream=True)
    assert (await client.head()).status == 200
    pieces = [await client.chunk()]
    patience_ends(gate(plane))
    while piece := await client.chunk():
        pieces.append(piece)
    assert set(pieces[:-1]) == {COMMENT}
    assert pieces[-1].startswith(b'data: {"error":{"message":"backend \\"small\\" was not ready in time')
    assert DONE not in pieces
    await at_rest(plane)


async def test_hold_an_opened_stream_whose_backend_then_fails_is_told_by_an_event(plane: Plane, often: None) -> None:
    await plane.route(cold())
    client = await asking(plane, stream=True)
    await client.head()
    await plane.route(backend("small", await plane.upstream(resets), weight=1))
    while (piece := await client.chunk()) == COMMENT:
        pass
    assert piece.startswith(b'data: {"error":')
    assert await client.chunk() == b""
    await at_rest(plane)


async def test_hold_an_estimate_that_is_over_lets_nobody_in_before_there_is_a_replica(plane: Plane) -> None:
    """A start that takes longer than it was thought to, and a snapshot that changes something else."""
    late = Start(seconds=1, since=time.time() - 60)
    await plane.route(cold(start=late))
    client = await asking(plane)
    await until(lambda: gate(plane).waiting == 1)
    await plane.route(cold(start=late), backend("other", await nobody()))
    assert gate(plane).waiting == 1
    await plane.route(backend("small", await plane.upstream(), weight=1))
    assert (await client.reply()).status == 200
    await at_rest(plane)


async def test_hold_a_client_that_leaves_frees_its_place(plane: Plane, often: None) -> None:
    await plane.route(cold())
    for stream in (True, False):
        client = await asking(plane, stream=stream)
        await until(lambda: gate(plane).waiting == 1)
        client.close()
        await at_rest(plane)
    assert await plane.metric("modelroute_requests_total", backend="small", code="499") == 2


async def test_hold_then_fallback_holds_while_the_rest_of_the_start_fits(plane: Plane) -> None:
    big = backend("big", await plane.upstream())
    soon = Start(seconds=60, since=time.time() - 55)
    await plane.route(cold("HoldThenFallback", start=soon, max_wait=20), big, fallbacks=ON_COLD)
    client = await asking(plane)
    await until(lambda: gate(plane).waiting == 1)
    await plane.route(backend("small", await plane.upstream(), weight=1), big, fallbacks=ON_COLD)
    assert (await client.reply()).backend == "small"
    await at_rest(plane)


@pytest.mark.parametrize(
    ("start", "headers"),
    [(Start(seconds=600, since=0), {}), (Start(seconds=15), {"x_stainless_read_timeout": "5"})],
    ids=["longer than it may wait", "longer than its client waits"],
)
async def test_hold_then_fallback_overflows_at_once_where_it_does_not_fit(
    plane: Plane, start: Start, headers: dict[str, str]
) -> None:
    began = Start(start.seconds, None if start.since is None else time.time())
    big = backend("big", await plane.upstream())
    await plane.route(cold("HoldThenFallback", start=began, max_wait=20), big, fallbacks=ON_COLD)
    reply = await plane.chat(headers=headers)
    assert (reply.status, reply.backend, reply.reason) == (200, "big", "fallback ColdStart")
    await at_rest(plane)


async def test_hold_then_fallback_at_zero_goes_by_what_a_start_takes(plane: Plane) -> None:
    big = backend("big", await plane.upstream())
    await plane.route(cold("HoldThenFallback", start=Start(180), max_wait=20), big, fallbacks=ON_COLD)
    assert (await plane.chat()).reason == "fallback ColdStart"
    await plane.route(cold("HoldThenFallback", start=Start(15), max_wait=20), big, fallbacks=ON_COLD)
    client = await asking(plane)
    await until(lambda: gate(plane).waiting == 1)
    await plane.route(backend("small", await plane.upstream(), weight=1), big, fallbacks=ON_COLD)
    assert (await client.reply()).backend == "small"
    await at_rest(plane)


@pytest.mark.parametrize("seconds", [60, None], ids=["known", "unknown"])
async def test_hold_then_fallback_waits_no_more_for_a_start_that_is_late(plane: Plane, seconds: float | None) -> None:
    """Its gate never opens, or nobody starts it: each request would wait for as long as it may, for ever."""
    big = backend("big", await plane.upstream())
    late = Start(seconds, seconds and time.time() - 3600)
    await plane.route(cold("HoldThenFallback", start=late, max_wait=1000), big, fallbacks=ON_COLD)
    if seconds is None:
        client = await asking(plane)  # it may come at once
        await until(lambda: gate(plane).waiting == 1)
        asked_long_ago(gate(plane))
        patience_ends(gate(plane))
        assert (await client.reply()).reason == "fallback ColdStart"
    assert (await plane.chat()).reason == "fallback ColdStart"
    await at_rest(plane)


async def test_hold_then_fallback_overflows_when_the_wait_is_over(plane: Plane, often: None) -> None:
    big = backend("big", await plane.upstream(streams()))
    await plane.route(cold("HoldThenFallback", max_wait=1000), big, fallbacks=ON_COLD)
    client = await asking(plane, stream=True)
    await client.head()
    assert await client.chunk() == COMMENT
    patience_ends(gate(plane))
    pieces: list[bytes] = []
    while piece := await client.chunk():
        pieces.append(piece)
    assert b"".join(pieces).replace(COMMENT, b"") == OPENER + text("a") + text("b") + DONE
    assert await plane.metric("modelroute_fallbacks_total", from_="small", to="big", reason="ColdStart") == 1
    await at_rest(plane)


@pytest.mark.parametrize("headers", [{"x_request_timeout_ms": "3000"}, {"x_stainless_read_timeout": "3"}])
async def test_hold_then_fallback_leaves_half_of_its_clients_time_to_the_fallback(
    plane: Plane, headers: dict[str, str]
) -> None:
    big = backend("big", await plane.upstream())
    await plane.route(cold("HoldThenFallback", max_wait=1000), big, fallbacks=ON_COLD)
    client = await asking(plane, headers=headers)
    await until(lambda: gate(plane).waiting == 1)
    reply = await client.reply()
    assert (reply.status, reply.reason) == (200, "fallback ColdStart")
    await at_rest(plane)


@pytest.mark.parametrize(("policy", "status"), [("Fallback", 200), ("Reject", 503)])
async def test_hold_policies_that_do_not_hold_answer_at_once(plane: Plane, policy: str, status: int) -> None:
    await plane.route(cold(policy), backend("big", await plane.upstream()), fallbacks=ON_COLD)
    reply = await plane.chat()
    assert reply.status == status
    assert gate(plane).waiting == 0
    await at_rest(plane)


async def test_hold_a_cold_fallback_is_passed_over(plane: Plane) -> None:
    both = (Fallback("big", ("ColdStart",)), Fallback("last", ("ColdStart",)))
    await plane.route(cold("Fallback"), backend("big"), backend("last", await plane.upstream()), fallbacks=both)
    assert (await plane.chat()).backend == "last"


async def test_hold_a_deadline_of_the_client_ends_it(plane: Plane) -> None:
    await plane.route(cold(max_wait=1000))
    assert (await plane.chat(headers={"x_request_timeout_ms": "200"})).status == 504
    await at_rest(plane)


@pytest.mark.parametrize("covered", [True, False])
async def test_hold_a_backend_that_is_taken_off_the_route_is_waited_for_no_more(plane: Plane, covered: bool) -> None:
    big = backend("big", await plane.upstream(), weight=1)
    await plane.route(cold(), big, fallbacks=(Fallback("big", ("Timeout",)),) if not covered else ON_COLD)
    clients = [await asking(plane) for _ in range(20)]
    await until(lambda: gate(plane).waiting > 0)
    await plane.route(big)
    replies = [await client.reply() for client in clients]
    assert {r.status for r in replies} <= ({200} if covered else {200, 503})
    await at_rest(plane)


async def test_hold_under_a_rule_that_fails_closed_does_not_go_to_what_has_become_external(plane: Plane) -> None:
    rules = (Rule("private", When(headers={"x-data": "secret"}), fail_closed=True),)
    await plane.route(cold(), rules=rules)
    client = await asking(plane, headers={"x_data": "secret"})
    await until(lambda: gate(plane).waiting == 1)
    up = await plane.upstream()
    await plane.route(backend("small", up, weight=1, data_policy="External"), rules=rules)
    assert (await client.reply()).status == 503
    assert up.received == []
    await at_rest(plane)


async def test_hold_ends_with_the_router(plane: Plane, often: None) -> None:
    plane.write(cold(max_wait=1000))
    router = await plane.start(grace=0.1)
    whole, stream = await asking(plane), await asking(plane, stream=True)
    await stream.head()
    router.end()
    assert ((await whole.reply()).status, gate(plane).waiting) == (503, 0)
    while (piece := await stream.chunk()) == COMMENT:
        pass
    assert b"shutting down" in piece
    await at_rest(plane)


async def test_hold_lets_in_no_more_at_once_than_the_limit(plane: Plane) -> None:
    await plane.route(cold())
    running = asyncio.create_task(many(plane, 12))
    await until(lambda: gate(plane).waiting == 12)
    held = Held()
    limits = Limits(max_in_flight=3)
    up = await plane.upstream(held)
    await plane.route(backend("small", up, weight=1, limits=limits, timeouts=times()), retry=QUICK)
    await up.seen(3)
    held.go.set()
    assert [r.status for r in await running] == [200] * 12
    assert held.most == 3
    await at_rest(plane)
