"""Large bodies are looked at aside: their requests end as all others do, whatever happens meanwhile."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from modelroute.router import service
from modelroute.snapshot.types import Rule, When
from tests.dataplane.clientkeys import BEARER, opened
from tests.dataplane.conftest import Plane, backend
from tests.dataplane.faults import at_rest, until
from tests.fakes.client import Client, chat, http

LARGE = chat(content="x" * 2_000_000)


class Looks:
    """Looking at a body that takes as long as it is let."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.began = self.ended = False
        self.go_on = threading.Event()
        self._look: Callable[..., Any] = service._look
        monkeypatch.setattr(service, "_look", self)

    def __call__(self, *given: Any) -> Any:
        self.began = True
        self.go_on.wait(60)
        try:
            return self._look(*given)
        finally:
            self.ended = True


async def looked_at(plane: Plane, looks: Looks, **headers: str) -> Client:
    """A client whose body is being looked at."""
    client = await plane.connect()
    client.send(http("POST", "/v1/chat/completions", LARGE, **headers))
    await until(lambda: looks.began)
    return client


async def test_others_are_answered_while_a_large_body_is_looked_at(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    await plane.route(backend("small", await plane.upstream(), weight=1))
    looks = Looks(monkeypatch)
    client = await looked_at(plane, looks)
    assert (await plane.ask("GET", "/v1/models")).status == 200
    looks.go_on.set()
    assert (await client.reply()).status == 200
    await at_rest(plane)


async def test_a_large_body_that_is_of_no_use_is_refused(plane: Plane) -> None:
    await plane.route(backend("small", await plane.upstream(), weight=1))
    client = await plane.connect()
    client.send(http("POST", "/v1/chat/completions", LARGE[:-1]))
    assert (await client.reply()).status == 400
    client.send(http("POST", "/v1/chat/completions", LARGE))
    assert (await client.reply()).status == 200


async def test_a_client_that_leaves_while_its_body_is_looked_at_leaves_nothing(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    up = await opened(plane, limits={"maxInFlight": 1})
    looks = Looks(monkeypatch)
    client = await looked_at(plane, looks, **BEARER)
    client.close()
    looks.go_on.set()
    await until(lambda: looks.ended)
    await at_rest(plane)
    assert (await plane.chat(headers=BEARER)).status == 200
    assert len(up.received) == 1


async def test_a_client_whose_body_is_looked_at_is_told_of_the_routers_end(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    plane.write(backend("small", await plane.upstream(), weight=1))
    router = await plane.start(grace=0)
    looks = Looks(monkeypatch)
    client = await looked_at(plane, looks)
    router.end()
    reply = await client.reply()
    looks.go_on.set()
    assert (reply.status, reply.headers["connection"]) == (503, "close")


async def test_a_snapshot_that_comes_while_a_body_is_looked_at_decides(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was inside is outside now, and a rule says that this request stays inside."""
    up = await plane.upstream()
    await plane.route(backend("small", up, weight=1))
    looks = Looks(monkeypatch)
    client = await looked_at(plane, looks)
    rule = Rule("inside", When(min_chars=1), fail_closed=True)
    await plane.route(backend("small", up, weight=1, data_policy="External"), rules=(rule,))
    looks.go_on.set()
    assert (await client.reply()).status == 503
    assert up.received == []


async def test_what_breaks_the_look_costs_its_connection_alone(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    await plane.route(backend("small", await plane.upstream(), weight=1))
    with monkeypatch.context() as broken:
        broken.setattr(service, "_look", lambda *_: 1 / 0)
        client = await plane.connect()
        client.send(http("POST", "/v1/chat/completions", LARGE))
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await client.reply()
    assert (await plane.chat()).status == 200
