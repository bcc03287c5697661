"""Tries of one request: how many, how far apart, within which budget, and never after the first byte."""

import asyncio
import time

import pytest

from modelroute.api.types import FailureKind
from modelroute.snapshot.types import Canary, Fallback, Health, Limits, Retry, Rule, When
from tests.dataplane.conftest import Plane, backend, times
from tests.dataplane.faults import (
    DRAINS,
    FAILS,
    QUICK,
    UNWATCHED,
    Held,
    asking,
    at_rest,
    begins,
    gate,
    many,
    nobody,
    thaw,
    until,
)
from tests.fakes.upstream import Received, Script, Upstream, Wire, answers, resets, silent

FULL = Retry(min_wait=0.001, max_wait=0.01, budget_percent=100)


def limited(seconds: str, status: int = 429) -> Script:
    return answers({"error": {"message": "slow down"}}, status, retry_after=seconds)


@pytest.mark.parametrize("script", [FAILS, resets, limited("0"), answers({"error": {}}, 503)])
async def test_retry_the_same_backend_when_there_is_no_other(plane: Plane, script: Script) -> None:
    up = await plane.upstream(script, script, answers({"n": 3}))
    await plane.route(backend("small", up, weight=1, health=UNWATCHED), retry=QUICK)
    reply = await plane.chat(headers={"idempotency_key": "k-1"})
    assert (reply.status, reply.json, reply.headers["x-modelroute-attempts"]) == (200, {"n": 3}, "3")
    assert [r.headers["idempotency-key"] for r in up.received] == ["k-1"] * 3
    assert len({r.body for r in up.received}) == 1
    await at_rest(plane)


@pytest.mark.parametrize(("said", "tries"), [("0", 3), ("1", 2), ("2", 1), ("9", 1), ("-1", 3), ("many", 3)])
async def test_retry_less_when_the_sdk_does_so_itself(plane: Plane, said: str, tries: int) -> None:
    up = await plane.upstream(FAILS)
    await plane.route(backend("small", up, weight=1, health=UNWATCHED), retry=QUICK)
    assert (await plane.chat(headers={"x_stainless_retry_count": said})).status == 500
    assert len(up.received) == tries
    await at_rest(plane)


async def test_retry_waits_are_drawn_from_nought_to_a_bound_that_doubles(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    def noting(retry: Retry, number: int, draw: float) -> float:
        waits.append(number)
        assert 0 <= draw < 1
        return 0.0

    monkeypatch.setattr("modelroute.router.flow.retries.backoff", noting)
    await plane.route(backend("small", await plane.upstream(FAILS), weight=1, health=UNWATCHED), retry=Retry(4))
    await plane.chat()
    assert waits == [1, 2, 3, 4][:3]


@pytest.mark.parametrize(("script", "health"), [(FAILS, UNWATCHED), (resets, Health())], ids=["500", "reset"])
@pytest.mark.parametrize("replicas", [1, 2])
async def test_retry_budget_cannot_be_passed_by_a_crowd_of_failures(
    plane: Plane, script: Script, health: Health, replicas: int
) -> None:
    """All replicas fail all of a hundred requests at once: they are asked a fifth more, and what is tried thrice."""
    held = Held(script)
    ups = [await plane.upstream(held) for _ in range(replicas)]
    router = await plane.route(backend("small", *ups, weight=1, health=health), retry=Retry(3, 0.01, 0.05))
    running = asyncio.create_task(many(plane, 100))
    await until(lambda: held.now == 100)
    held.go.set()
    assert {r.status for r in await running} <= {500, 502, 503}
    assert 100 <= sum(len(up.received) for up in ups) <= 140
    assert router.live.budget.retrying == 0
    await at_rest(plane)


@pytest.mark.parametrize("most", [2, 3, 4])
async def test_retry_budget_is_not_passed_by_who_waits_in_line_for_another_try(plane: Plane, most: int) -> None:
    """A retry is one of the budget while it stands in line, or all who come out of it would be tried again."""
    held = Held(FAILS)
    up = await plane.upstream(held)
    limits = Limits(most, max_wait=1000)
    await plane.route(backend("small", up, weight=1, limits=limits, health=UNWATCHED), retry=QUICK)
    running = asyncio.create_task(many(plane, 100))
    await until(lambda: gate(plane).waiting == 100 - most)
    held.go.set()
    assert {r.status for r in await running} == {500}
    assert 100 < len(up.received) <= 140
    await at_rest(plane)


async def test_retry_a_crowd_that_meets_a_draining_replica_goes_to_another_whatever_the_budget(plane: Plane) -> None:
    """It has done no work for them, and says so at once."""
    held, well = Held(DRAINS), Held()
    ending, other = await plane.upstream(held), await plane.upstream(well)
    await plane.route(backend("small", ending, other, weight=1))
    running = asyncio.create_task(many(plane, 40))
    await until(lambda: held.now + well.now == 40)
    held.go.set()
    well.go.set()
    assert {r.status for r in await running} == {200}
    asked = len(ending.received)
    assert {r.status for r in await many(plane, 10)} == {200}
    assert len(ending.received) == asked  # it was out at once
    await at_rest(plane)


@pytest.mark.parametrize("script", [limited("0.2"), answers({"error": {}}, 503, retry_after="0.2")])
async def test_retry_after_is_waited_for(plane: Plane, script: Script) -> None:
    up = await plane.upstream(script, answers())
    hosted = backend("small", up, weight=1, external=True, loopback_allowed=True)
    await plane.route(hosted, retry=Retry(min_wait=0, max_wait=5))
    began = time.monotonic()
    reply = await plane.chat()
    assert (reply.status, reply.headers["x-modelroute-attempts"]) == (200, "2")
    assert time.monotonic() - began > 0.19
    await at_rest(plane)


@pytest.mark.parametrize("retry", [Retry(max_wait=0.1), Retry(max_wait=8)])
async def test_retry_after_that_is_too_long_is_told_to_the_client(plane: Plane, retry: Retry) -> None:
    up = await plane.upstream(limited("7"))
    await plane.route(backend("small", up, weight=1, external=True, loopback_allowed=True), retry=retry)
    patience = {} if retry.max_wait < 1 else {"x_request_timeout_ms": "6000"}
    reply = await plane.chat(headers=patience)
    assert (reply.status, reply.headers["retry-after"], len(up.received)) == (429, "7", 1)
    await at_rest(plane)


@pytest.mark.parametrize(
    ("script", "cools"),
    [
        (limited("30"), True),
        (limited("30", 500), True),
        (limited("30", 503), True),
        (limited("30", 529), True),
        (FAILS, False),
    ],
)
async def test_r09_a_hosted_api_that_says_when_is_left_alone_until_then(
    plane: Plane, script: Script, cools: bool
) -> None:
    api = await plane.upstream(script, answers())
    hosted = backend("api", api, weight=1, external=True, loopback_allowed=True, health=UNWATCHED)
    kinds: tuple[FailureKind, ...] = ("RateLimited", "ServerError", "Overloaded")
    await plane.route(hosted, backend("big", await plane.upstream()), fallbacks=(Fallback("big", kinds),))
    assert [(await plane.chat()).backend for _ in range(2)] == ["big", "big" if cools else "api"]
    assert len(api.received) == (1 if cools else 2)
    if cools:
        assert 20 < gate(plane, "api").cooling - asyncio.get_running_loop().time() <= 30
        thaw(gate(plane, "api"))
    assert (await plane.chat()).backend == "api"
    await at_rest(plane)


async def test_r09_the_header_is_passed_when_nobody_is_left(plane: Plane) -> None:
    api = await plane.upstream(limited("30"))
    await plane.route(backend("api", api, weight=1, external=True, loopback_allowed=True))
    replies = [await plane.chat() for _ in range(2)]
    assert [r.status for r in replies] == [429, 429]
    assert replies[0].headers["retry-after"] == "30"
    assert 25 <= int(replies[1].headers["retry-after"]) <= 30
    assert len(api.received) == 1
    await at_rest(plane)


async def test_r09_a_cooling_backend_that_goes_and_comes_back_serves_again(plane: Plane) -> None:
    api = await plane.upstream(limited("0.3"), answers())
    hosted = backend("api", api, weight=1, external=True, loopback_allowed=True)
    other = backend("other", await plane.upstream(), weight=1)
    await plane.route(hosted)
    assert (await plane.chat()).status == 429
    await plane.route(other)
    await plane.route(hosted)
    while (reply := await plane.chat()).status == 429:  # noqa: ASYNC110 # nothing tells of it
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.4)  # past the moment in which it would have been let through
    assert (reply.status, (await plane.chat()).status) == (200, 200)
    await at_rest(plane)


async def test_retry_elsewhere_before_the_first_byte_only(plane: Plane) -> None:
    broken, other = await plane.upstream(begins(resets)), await plane.upstream()
    await plane.route(backend("small", broken, other, weight=1), retry=FULL)
    replies = []
    while not broken.received:  # chance picks the replica
        replies.append(await plane.chat(stream=True))
    assert replies[-1].body.endswith(b'"code":"upstream_error"}}\n\n')
    assert len(broken.received) + len(other.received) == len(replies)
    await at_rest(plane)


async def test_retry_takes_another_replica_first_and_within_the_budget(plane: Plane) -> None:
    sick, other = await plane.upstream(FAILS), await plane.upstream()
    await plane.route(backend("small", sick, other, weight=1, health=UNWATCHED), retry=FULL)
    replies = [await plane.chat() for _ in range(8)]
    assert {r.status for r in replies} == {200}
    assert len(other.received) == 8
    assert await plane.metric("modelroute_retries_total", backend="small", reason="ServerError") == len(sick.received)
    await at_rest(plane)


async def test_retry_client_that_leaves_between_two_tries_is_forgotten(plane: Plane) -> None:
    up = await plane.upstream(FAILS)
    await plane.route(backend("small", up, weight=1, health=UNWATCHED), retry=Retry(3, 500, 1000))
    client = await asking(plane)
    await until(lambda: len(gate(plane).sleepers) == 1)
    client.close()
    await at_rest(plane)
    assert len(up.received) == 1


async def test_retry_is_called_off_when_its_backend_goes_down(plane: Plane) -> None:
    up = await plane.upstream(FAILS)
    await plane.route(backend("small", up, weight=1, health=Health(2, path="")), retry=Retry(3, 500, 1000))
    sleeper = await asking(plane)
    await until(lambda: len(gate(plane).sleepers) == 1)
    assert (await plane.chat()).status == 500
    assert (await sleeper.reply()).status == 500
    await at_rest(plane)


async def test_closed_data_never_leaves_by_fallback_retry_or_canary(plane: Plane) -> None:
    outside = [await plane.upstream() for _ in range(2)]
    inside = await plane.upstream(FAILS, silent, answers({}, 400))
    quick = times(first_token_whole=0.1)
    await plane.route(
        backend("in", inside, await nobody(), weight=1, timeouts=quick, health=UNWATCHED),
        backend("out", outside[0], weight=99, data_policy="External"),
        backend("big", outside[1], data_policy="External"),
        rules=(Rule("private", When(headers={"x-data": "secret"}), fail_closed=True),),
        canary=Canary("out", 100),
        fallbacks=(Fallback("big", ("ServerError", "Timeout", "ConnectFailure", "ColdStart", "RateLimited")),),
        retry=Retry(1),
    )
    for _ in range(6):
        assert (await plane.chat(headers={"x_data": "secret"}, user="u")).status >= 400
    assert [len(up.received) for up in outside] == [0, 0]
    assert (await plane.chat(user="u")).backend == "out"
    await at_rest(plane)


async def test_closed_data_is_refused_where_no_backend_may_have_it(plane: Plane) -> None:
    async with Upstream() as up:
        out = backend("out", up, weight=1, data_policy="External")
        await plane.route(out, rules=(Rule("private", When(), fail_closed=True),))
        reply = await plane.chat()
        assert (reply.status, reply.reason, up.received) == (503, "no_allowed_backend", [])


async def test_g4_all_that_a_lost_replica_had_is_answered_by_another_within_the_budget(plane: Plane) -> None:
    async def dies(_: Received, wire: Wire) -> None:
        await lost.wait()
        wire.reset()

    lost = asyncio.Event()
    one, other = await plane.upstream(dies), await plane.upstream()
    patient = Retry(attempts=3, min_wait=0.02, max_wait=0.5)
    router = await plane.route(backend("small", one, other, weight=1), retry=patient)
    asked = [asyncio.create_task(plane.chat()) for _ in range(60)]
    await until(lambda: len(one.received) + len(other.received) == 60)
    lost.set()
    one.deafen()
    most = 0
    while not all(task.done() for task in asked):
        most = max(most, router.live.budget.retrying)
        await asyncio.sleep(0)
    assert {task.result().status for task in asked} == {200}
    assert 0 < most <= 12  # a fifth of sixty
    await at_rest(plane)
