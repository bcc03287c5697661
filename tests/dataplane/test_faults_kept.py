"""Connections to backends that are kept between two requests: which of them never serve another one."""

import asyncio
import os

import pytest

from tests.dataplane.conftest import Plane, backend, times
from tests.dataplane.faults import at_rest
from tests.fakes.client import chat, http
from tests.fakes.upstream import Received, Wire, answers

ASK = http("POST", "/v1/chat/completions", chat())
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 7\r\n\r\n"


@pytest.mark.parametrize("stray", [ANSWER + b'{"n":9}', ANSWER[:20]], ids=["an answer", "a part of one"])
async def test_r13_bytes_that_lie_unread_on_an_idle_connection_are_no_answer(plane: Plane, stray: bytes) -> None:
    wires: list[Wire] = []

    async def counts(received: Received, wire: Wire) -> None:
        wires.append(wire)
        await answers({"n": len(wires)})(received, wire)

    up = await plane.upstream(counts)
    await plane.route(backend("small", up, weight=1))
    client = await plane.connect()
    client.send(ASK)
    assert (await client.reply()).json == {"n": 1}
    # Past the loop, which has no turn in between: it finds both at once, and the request first.
    for writer, data in ((client.writer, ASK), (wires[0].writer, stray)):
        os.write(writer.get_extra_info("socket").fileno(), data)
    assert (await client.reply()).json == {"n": 2}
    assert [r.connection for r in up.received] == [1, 2]
    await at_rest(plane)


async def test_r13_a_connection_on_which_a_body_lies_unread_is_not_kept(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who answers before it has read all of a body would take the rest of it for the next request."""

    async def only_the_head(reader: asyncio.StreamReader, connection: int) -> Received:
        return Received((await reader.readuntil(b"\r\n\r\n")).decode(), {}, b"", connection)

    async def hasty(received: Received, wire: Wire) -> None:
        await answers({"n": received.connection})(received, wire)
        await answered.wait()
        await wire.gone()

    answered = asyncio.Event()
    monkeypatch.setattr("tests.fakes.upstream._read", only_the_head)
    up = await plane.upstream(hasty)
    await plane.route(backend("small", up, weight=1, timeouts=times(first_token_whole=5)))
    assert (await plane.chat("x" * 12_000_000)).json == {"n": 1}
    answered.set()
    assert (await plane.chat()).json == {"n": 2}
    await at_rest(plane)
