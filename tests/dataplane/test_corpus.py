"""Each request of the corpus on a real socket, with another right behind it that is served or must never be seen."""

import pytest

from tests.dataplane.conftest import Plane, backend
from tests.dataplane.corpus_requests import LAST, REFUSED, SERVED
from tests.fakes.client import Client, chat, http
from tests.fakes.upstream import Upstream

NEXT = http("POST", "/v1/chat/completions", chat(content="the next"))


async def asked(plane: Plane, data: bytes) -> tuple[Client, Upstream]:
    """A client that has sent ``data`` and the next request, and the backend that there is."""
    up = await plane.upstream()
    await plane.route(backend("small", up, weight=1))
    client = await plane.connect()
    client.send(data + NEXT)
    return client, up


@pytest.mark.parametrize("name", REFUSED)
async def test_g8_a_hostile_request_is_refused_and_nothing_behind_it_is_read(plane: Plane, name: str) -> None:
    data, status = REFUSED[name]
    client, up = await asked(plane, data)
    reply = await client.reply()
    assert (reply.status, reply.headers["connection"]) == (status, "close")
    assert await client.ended()
    assert up.received == []


@pytest.mark.parametrize("name", LAST)
async def test_a_request_that_closes_is_answered_and_is_the_last(plane: Plane, name: str) -> None:
    data, status = LAST[name]
    client, up = await asked(plane, data)
    reply = await client.reply()
    assert (reply.status, reply.headers["connection"]) == (status, "close")
    assert await client.ended()
    assert not any(b"the next" in r.body for r in up.received)


@pytest.mark.parametrize("name", SERVED)
async def test_a_clean_request_is_served_and_so_is_the_next(plane: Plane, name: str) -> None:
    data, status = SERVED[name]
    client, up = await asked(plane, data)
    assert [(await client.reply()).status for _ in range(2)] == [status, 200]
    assert up.received[-1].json["messages"][0]["content"] == "the next"
