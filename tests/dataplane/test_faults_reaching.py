"""Backends that cannot be reached, or that are lost before their answer begins: who is asked instead."""

import asyncio
import itertools
import time

import pytest

from modelroute.snapshot.types import Fallback, Health
from tests.dataplane.conftest import Plane, backend, times
from tests.dataplane.faults import UNWATCHED, asking, at_rest, blackhole, ejected, many, nobody
from tests.fakes.upstream import Script, answers, closes, resets, sends, silent

NEVER_ACCEPTED = "it did not accept a connection in time"
ON_ALL = (Fallback("big", ("ConnectFailure", "Timeout", "ServerError")),)


async def test_r01_a_refused_connection_costs_nobody_an_answer_and_counts_toward_ejection(plane: Plane) -> None:
    good = await plane.upstream()
    gone = await nobody()
    await plane.route(backend("small", gone, good, weight=1, health=Health(3, path="", ejection=60)))
    replies = []
    while ejected(plane) != [True, False]:  # chance picks the replica
        replies.append(await plane.chat())
    assert {(r.status, r.backend) for r in replies} == {(200, "small")}
    assert await plane.metric("modelroute_errors_total", backend="small", type="ConnectFailure") == 3
    await at_rest(plane)


async def test_r01_a_fallback_takes_over_from_a_backend_that_refuses(plane: Plane) -> None:
    endless = times(connect=1000, first_token_streamed=1000, first_token_whole=1000)
    small = backend("small", await nobody(), weight=1, timeouts=endless)
    await plane.route(small, backend("big", await plane.upstream()), fallbacks=ON_ALL)
    replies = await many(plane, 20)  # if one of them waited for a timer, it would wait still
    assert {(r.status, r.backend) for r in replies} == {(200, "big")}
    await at_rest(plane)


@pytest.mark.parametrize("stream", [True, False])
async def test_r02_a_blackhole_costs_the_connect_timeout_and_no_more(
    plane: Plane, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    quick = times(connect=0.1, first_token_streamed=1000, first_token_whole=1000)
    small = backend("small", blackhole(plane), weight=1, timeouts=quick)
    await plane.route(small, backend("big", await plane.upstream()), fallbacks=ON_ALL)
    reply = await plane.chat(stream=stream)
    assert (reply.status, reply.reason) == (200, "fallback ConnectFailure")
    assert NEVER_ACCEPTED in caplog.text
    await at_rest(plane)


async def test_r02_another_replica_comes_before_a_fallback(plane: Plane, caplog: pytest.LogCaptureFixture) -> None:
    good = await plane.upstream()
    small = backend("small", blackhole(plane), good, weight=1, timeouts=times(connect=2), health=UNWATCHED)
    await plane.route(small, backend("big", await plane.upstream()), fallbacks=ON_ALL)
    assert {(r.status, r.backend) for r in await many(plane, 10)} == {(200, "small")}
    assert NEVER_ACCEPTED in caplog.text
    await at_rest(plane)


async def test_r03_silence_is_a_504_in_openais_shape_when_nobody_takes_over(plane: Plane) -> None:
    await plane.route(backend("small", await plane.upstream(silent), weight=1, timeouts=times(first_token_whole=0.1)))
    reply = await plane.chat()
    assert (reply.status, reply.error["type"], reply.error["code"]) == (504, "timeout_error", "timeout")
    assert set(reply.error) == {"message", "type", "param", "code"}
    await at_rest(plane)


@pytest.mark.parametrize("stream", [True, False])
async def test_r03_silence_is_taken_over_and_its_connection_closed(plane: Plane, stream: bool) -> None:
    """As of a vLLM that sleeps: it takes the request, and says nothing until it is woken."""
    asleep, big = await plane.upstream(silent), await plane.upstream()
    quick = times(first_token_streamed=0.1, first_token_whole=0.1)
    await plane.route(backend("small", asleep, weight=1, timeouts=quick), backend("big", big), fallbacks=ON_ALL)
    assert (await plane.chat(stream=stream)).reason == "fallback Timeout"
    await asleep.left()
    await at_rest(plane)


@pytest.mark.parametrize(
    "script",
    [resets, closes, sends(b"HTTP/1.1 200 OK\r\ncont", then_close=True)],
    ids=["reset", "closed", "in the head"],
)
async def test_r04_a_reset_before_the_first_byte_is_retried_elsewhere_with_its_key(
    plane: Plane, script: Script
) -> None:
    broken, big = await plane.upstream(script), await plane.upstream()
    await plane.route(backend("small", broken, weight=1), backend("big", big), fallbacks=ON_ALL)
    reply = await plane.chat(headers={"idempotency_key": "k-1"})
    assert (reply.status, reply.backend) == (200, "big")
    assert [up.received[0].headers["idempotency-key"] for up in (broken, big)] == ["k-1", "k-1"]
    assert len(broken.received) == 1
    await at_rest(plane)


async def test_r15_a_flapping_replica_is_out_longer_each_time_and_costs_no_answer(plane: Plane) -> None:
    good, flapping = await plane.upstream(), await plane.upstream()
    health = Health(consecutive_failures=1, ejection=60, max_ejection=10_000, path="")
    router = await plane.route(backend("small", good, flapping, weight=1, health=health))
    assert router.live.route is not None
    vitals = router.live.route.targets["small"].endpoints[1].vitals
    loop = asyncio.get_running_loop()
    statuses: list[int] = []
    out_for: list[float] = []
    for _ in range(4):
        flapping.deafen()
        for writer in list(flapping.open):
            writer.transport.abort()
        while not ejected(plane)[1]:
            statuses.append((await plane.chat()).status)
        out_for.append(vitals.ejected_until - loop.time())
        await flapping.listen()
        vitals.hasten(loop.time())
        while ejected(plane)[1]:
            statuses += [r.status for r in await many(plane, 4)]
    assert set(statuses) == {200}
    assert all(later > 1.5 * sooner for sooner, later in itertools.pairwise(out_for))
    await at_rest(plane)


async def test_r16_a_down_backend_refuses_at_once_and_says_when_to_come_again(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelroute.router.replicas.gate.TRIAL_SECONDS", 1000)
    gone = await nobody()
    await plane.route(backend("small", gone, weight=1, health=Health(1, path="", ejection=1000)))
    first = await plane.chat()
    assert (first.status, first.headers["retry-after"]) == (503, "5")  # it found that nobody is left
    reply = await plane.chat()  # if it waited, then until one of the two times is over
    assert await plane.metric("modelroute_errors_total", backend="small", type="ConnectFailure") == 1
    assert (reply.status, reply.error["code"]) == (503, "no_ready_backend")
    assert int(reply.headers["retry-after"]) >= 1
    await at_rest(plane)


async def test_r16_one_request_a_second_tries_a_backend_of_which_all_is_out(plane: Plane) -> None:
    sick = await plane.upstream(answers({"error": {}}, 500))
    await plane.route(backend("small", sick, weight=1, health=Health(1, path="", ejection=0.01)))
    await plane.chat()
    began = time.monotonic()
    statuses = [r.status for _ in range(12) for r in await many(plane, 5)]
    assert statuses.count(500) <= 1 + (time.monotonic() - began)
    assert set(statuses) <= {500, 503}
    sick.scripts = [answers()]
    while (await plane.chat()).status != 200:  # noqa: ASYNC110 # nothing tells of it
        await asyncio.sleep(0.02)
    assert ejected(plane) == [False]
    assert {r.status for r in await many(plane, 10)} == {200}
    await at_rest(plane)


async def test_r16_the_last_half_is_never_taken_out(plane: Plane) -> None:
    sick = [await plane.upstream(answers({"error": {}}, 500)) for _ in range(4)]
    await plane.route(
        backend("small", *sick, weight=1, health=Health(1, path="", ejection=60)),
        backend("big", await plane.upstream()),
        fallbacks=ON_ALL,
    )
    assert {r.backend for r in await many(plane, 20)} == {"big"}
    assert plane.router is not None
    assert plane.router.live.route is not None
    pool = plane.router.live.route.targets["small"].pool
    assert pool is not None
    assert len(pool.replicas) == 2
    await at_rest(plane)


async def test_r17_a_fallback_that_is_down_too_is_no_storm(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelroute.router.replicas.gate.TRIAL_SECONDS", 1000)
    small, big = await plane.upstream(answers({"error": {}}, 500)), await plane.upstream(resets)
    health = Health(1, path="", ejection=60)
    await plane.route(
        backend("small", small, weight=1, health=health), backend("big", big, health=health), fallbacks=ON_ALL
    )
    first = await plane.chat()
    assert (first.status, first.backend) == (500, "small")  # the last error that a backend gave
    replies = await many(plane, 50)
    assert [(r.status, "retry-after" in r.headers) for r in replies] == [(503, True)] * 50
    assert (len(small.received), len(big.received)) == (1, 1)
    await at_rest(plane)


async def test_r20_a_client_that_leaves_while_its_backend_is_dialed_frees_all(plane: Plane) -> None:
    await plane.route(backend("small", blackhole(plane), weight=1, timeouts=times(connect=1000)))
    client = await asking(plane)
    while not await plane.metric("modelroute_requests_in_flight", backend="small"):  # noqa: ASYNC110 # as above
        await asyncio.sleep(0.01)
    client.close()
    await at_rest(plane)


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_r10_a_misconfigured_backend_is_covered_where_that_is_declared_and_counted(
    plane: Plane, status: int
) -> None:
    small = backend("small", await plane.upstream(answers({"error": {}}, status)), weight=1, health=Health(1, path=""))
    await plane.route(small, backend("big", await plane.upstream()), fallbacks=(Fallback("big", ("Misconfigured",)),))
    assert (await plane.chat()).reason == "fallback Misconfigured"
    assert await plane.metric("modelroute_errors_total", backend="small", type="Misconfigured") == 1
    assert ejected(plane) == [False]
    await at_rest(plane)


@pytest.mark.parametrize(
    "head",
    [b"content-length: 100\r\n", b"content-length: 1\r\ntransfer-encoding: chunked\r\n", b"content-length: x\r\n"],
    ids=["truncated", "both framings", "no number"],
)
async def test_r12_a_wrongly_framed_answer_is_a_502_and_its_connection_not_used_again(
    plane: Plane, head: bytes
) -> None:
    up = await plane.upstream(sends(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n{", then_close=True), answers())
    await plane.route(backend("small", up, weight=1, health=UNWATCHED))
    assert [(await plane.chat()).status for _ in range(2)] == [502, 200]
    assert [r.connection for r in up.received] == [1, 2]
    await at_rest(plane)
