"""A backend at its limits: never more at once than it may have, a bounded line, turns between users, then a 429."""

import asyncio

import pytest

from modelroute.snapshot.types import Fallback, Health, Limits
from tests.dataplane.conftest import Plane, backend
from tests.dataplane.faults import FAILS, UNWATCHED, Held, asking, at_rest, gate, many, until
from tests.fakes.client import Client
from tests.fakes.upstream import Received, Wire, answers, streams

ONE = Limits(max_in_flight=1, max_waiting=100, max_wait=20)


async def test_limits_are_never_exceeded_by_a_crowd(plane: Plane) -> None:
    held = Held()
    up = await plane.upstream(held)
    await plane.route(backend("small", up, up.address.replace("127.0.0.1", "localhost"), weight=1, limits=Limits(5)))
    running = asyncio.create_task(many(plane, 60))
    await until(lambda: gate(plane).waiting == 55)
    held.go.set()
    assert [r.status for r in await running] == [200] * 60
    assert held.most == 5
    await at_rest(plane)


@pytest.mark.parametrize("waiting", [0, 2])
async def test_limits_a_full_line_is_a_429_that_says_when_to_come_again(plane: Plane, waiting: int) -> None:
    held = Held()
    await plane.route(backend("small", await plane.upstream(held), weight=1, limits=Limits(1, waiting)))
    running = asyncio.create_task(many(plane, 1 + waiting))
    await until(lambda: (gate(plane).in_flight, gate(plane).waiting) == (1, waiting))
    reply = await plane.chat()
    assert (reply.status, reply.error["code"]) == (429, "rate_limit_exceeded")
    assert int(reply.headers["retry-after"]) >= 1
    held.go.set()
    assert {r.status for r in await running} == {200}
    await at_rest(plane)


async def test_limits_who_waits_too_long_is_a_429(plane: Plane) -> None:
    held = Held()
    await plane.route(backend("small", await plane.upstream(held), weight=1, limits=Limits(1, 10, max_wait=0.1)))
    first = await asking(plane)
    await until(lambda: gate(plane).in_flight == 1)
    reply = await plane.chat()
    assert (reply.status, "retry-after" in reply.headers) == (429, True)
    first.close()
    await at_rest(plane)


async def test_limits_users_take_turns_in_the_line(plane: Plane) -> None:
    order: list[str] = []

    async def noting(received: Received, wire: Wire) -> None:
        order.append(received.json["user"])
        await go.wait()
        await answers()(received, wire)

    go = asyncio.Event()
    await plane.route(backend("small", await plane.upstream(noting), weight=1, limits=ONE))
    clients: list[Client] = []
    for user in ["greedy"] * 20 + ["modest", "other"]:
        clients.append(await asking(plane, user=user))
        await until(lambda: gate(plane).in_flight + gate(plane).waiting == len(clients))
    go.set()
    assert {(await client.reply()).status for client in clients} == {200}
    assert {"modest", "other"} <= set(order[:5])
    await at_rest(plane)


async def test_limits_a_greedy_user_does_not_keep_others_out_of_a_full_line(plane: Plane) -> None:
    held = Held()
    await plane.route(backend("small", await plane.upstream(held), weight=1, limits=Limits(1, 4)))
    greedy = [await asking(plane, user="greedy")]
    for n in range(4):
        greedy.append(await asking(plane, user="greedy"))
        await until(lambda: gate(plane).waiting == n + 1)  # noqa: B023
    modest = await asking(plane, user="modest")
    assert (await greedy[-1].reply()).status == 429  # the last of who has most
    held.go.set()
    assert (await modest.reply()).status == 200
    assert [(await client.reply()).status for client in greedy[:-1]] == [200] * 4
    await at_rest(plane)


@pytest.mark.parametrize("stream", [True, False])
async def test_limits_a_place_is_returned_when_its_client_leaves(plane: Plane, stream: bool) -> None:
    up = await plane.upstream(Held(), streams() if stream else answers())
    await plane.route(backend("small", up, weight=1, limits=ONE))
    inside, waiting = await asking(plane, stream=stream), None
    await up.seen(1)
    waiting = await asking(plane, stream=stream)
    last = await asking(plane, stream=stream)
    await until(lambda: gate(plane).waiting == 2)
    waiting.close()
    await until(lambda: gate(plane).waiting == 1)
    inside.close()
    assert (await last.reply()).status == 200
    await at_rest(plane)


async def test_limits_an_overflow_that_is_declared_goes_over_at_once(plane: Plane) -> None:
    held = Held()
    small = backend("small", await plane.upstream(held), weight=1, limits=ONE)
    await plane.route(small, backend("big", await plane.upstream()), fallbacks=(Fallback("big", ("Overloaded",)),))
    first = await asking(plane)
    await until(lambda: gate(plane).in_flight == 1)
    reply = await plane.chat()
    assert (reply.backend, reply.reason, gate(plane).waiting) == ("big", "fallback Overloaded", 0)
    first.close()
    await at_rest(plane)


@pytest.mark.parametrize("covered", [True, False])
async def test_limits_who_waits_for_a_backend_that_goes_down_is_handed_over_at_once(
    plane: Plane, covered: bool
) -> None:
    held = Held(FAILS)
    limits = Limits(1, max_wait=1000)
    small = backend("small", await plane.upstream(held), weight=1, limits=limits, health=Health(1, path=""))
    kinds = ("ServerError",) if covered else ("Timeout",)
    await plane.route(small, backend("big", await plane.upstream()), fallbacks=(Fallback("big", kinds),))  # type: ignore[arg-type]
    first = await asking(plane)
    await until(lambda: gate(plane).in_flight == 1)
    running = asyncio.create_task(many(plane, 5))
    await until(lambda: gate(plane).waiting == 5)
    held.go.set()
    assert (await first.reply()).status == (200 if covered else 500)
    replies = await running
    assert [r.status for r in replies] == [200 if covered else 503] * 5
    assert all(covered or r.headers["retry-after"] for r in replies)
    await at_rest(plane)


async def test_limits_of_a_new_snapshot_hold_for_those_who_wait(plane: Plane) -> None:
    held = Held()
    up = await plane.upstream(held)
    await plane.route(backend("small", up, weight=1, limits=ONE))
    running = asyncio.create_task(many(plane, 6))
    await until(lambda: gate(plane).waiting == 5)
    await plane.route(backend("small", up, weight=1, limits=Limits(4)))
    await up.seen(4)
    assert (gate(plane).in_flight, gate(plane).waiting) == (4, 2)
    held.go.set()
    assert [r.status for r in await running] == [200] * 6
    await at_rest(plane)


async def test_limits_a_backend_that_goes_and_comes_back_counts_those_that_stayed_inside(plane: Plane) -> None:
    held = Held()
    up, other = await plane.upstream(held), backend("other", await plane.upstream(), weight=1)
    small = backend("small", up, weight=1, limits=Limits(2), health=UNWATCHED)
    await plane.route(small)
    inside = [await asking(plane) for _ in range(2)]
    await up.seen(2)
    router = await plane.route(other)
    assert (await plane.chat()).backend == "other"
    assert router.live._troubles == {}
    await plane.route(small)
    waiting = await asking(plane)
    await until(lambda: gate(plane).waiting == 1)
    held.go.set()
    assert [(await client.reply()).status for client in (*inside, waiting)] == [200] * 3
    assert held.most == 2
    assert (await plane.chat()).status == 200
    await at_rest(plane)


async def test_limits_are_not_exceeded_by_who_tries_a_backend_that_is_down(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelroute.router.replicas.gate.TRIAL_SECONDS", 0.05)
    held = Held()
    up = await plane.upstream(held, FAILS, held)
    health = Health(1, path="", ejection=60)
    await plane.route(backend("small", up, weight=1, limits=Limits(2), health=health))
    inside = await asking(plane)
    await up.seen(1)
    assert (await plane.chat()).status == 500
    trials = [await asking(plane) for _ in range(2)]
    while gate(plane).in_flight < 2:
        trials.append(await asking(plane))
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)  # the next one would be due
    assert [(await plane.chat()).status for _ in range(3)] == [503] * 3
    assert held.most == 2
    for client in (inside, *trials):
        client.close()
    await at_rest(plane)
