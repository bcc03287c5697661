"""Clients that ask on before they have their answer: they are heard when they leave, and held to what is kept of it."""

import asyncio

import pytest

from modelroute.router.http.framing import Limits
from modelroute.router.http.http1 import ClientConnection
from tests.dataplane.conftest import Plane, backend
from tests.dataplane.faults import Held, at_rest, until
from tests.fakes.client import Client, chat, http
from tests.fakes.upstream import Received, Wire, answers, silent

TURNS = 8
"""Requests that wait for the one that is being answered; of what comes then the bytes are kept."""


def ask(n: int) -> bytes:
    return http("POST", "/v1/chat/completions", chat(seed=n))


async def asked(plane: Plane, client: Client, count: int) -> ClientConnection:
    """Send requests, each when the one before it was taken; returns the router's side of the connection."""
    assert plane.router is not None
    await until(lambda: plane.router is not None and bool(plane.router.public.clients))
    (served,) = plane.router.public.clients
    for n in range(count):
        client.send(ask(n))
        await until(lambda: served.running is not None and len(served._turns) == n)  # noqa: B023
    return served


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_client_that_asked_for_twelve_and_hangs_up_is_noticed(plane: Plane, at_once: bool) -> None:
    up = await plane.upstream(silent)
    await plane.route(backend("small", up, weight=1))
    client = await plane.connect()
    if at_once:
        client.send(ask(0) * 12)
    else:
        served = await asked(plane, client, 1 + TURNS)
        client.send(ask(0) * 3)
        await until(lambda: bool(served._turns.unread))
    await up.seen(1)
    client.close()
    await up.left()
    await at_rest(plane)
    assert len(up.received) == 1


async def test_what_is_asked_beyond_what_is_kept_is_not_answered_and_the_connection_says_so(plane: Plane) -> None:
    async def echoes(received: Received, wire: Wire) -> None:
        await answers({"n": received.json["seed"]})(received, wire)

    held = Held(echoes)
    up = await plane.upstream(held)
    await plane.route(backend("small", up, weight=1))
    client = await plane.connect()
    await asked(plane, client, 1 + TURNS)
    client.send(ask(99) * 1000)
    held.go.set()
    replies = [await client.reply() for _ in range(1 + TURNS)]
    assert [r.json for r in replies] == [{"n": n} for n in range(1 + TURNS)]
    assert [r.headers.get("connection") for r in replies] == [None] * TURNS + ["close"]
    assert await client.ended()
    assert len(up.received) == 1 + TURNS


async def test_half_a_request_of_those_who_ask_too_much_is_let_go(plane: Plane) -> None:
    held = Held()
    await plane.route(backend("small", await plane.upstream(held), weight=1))
    client = await plane.connect()
    served = await asked(plane, client, TURNS)
    client.send(ask(8) + ask(9)[:-10])
    await until(lambda: served._reader.partial is not None)
    client.send(ask(99) * 1000)
    await until(lambda: served._reader.deaf)
    assert served._reader.partial is None
    held.go.set()
    assert [(await client.reply()).status for _ in range(9)] == [200] * 9
    assert await client.ended()
    await at_rest(plane)


async def test_a_request_whose_end_is_put_off_is_not_late(plane: Plane) -> None:
    held = Held()
    limits = Limits(read=0.3, head_time=0.3)
    await plane.route(backend("small", await plane.upstream(held), weight=1), limits=limits)
    client = await plane.connect()
    served = await asked(plane, client, TURNS)
    client.send(ask(8) + ask(9)[:-10])
    await until(lambda: len(served._turns) == TURNS)
    client.send(ask(9)[-10:])
    await asyncio.sleep(0.8)
    held.go.set()
    assert [(await client.reply()).status for _ in range(10)] == [200] * 10
