"""Bytes that nobody should send, by the hundred: whatever comes, answers are clean, slots come back, others are served.

Each case is made from a number, so that one that fails can be run again.
"""

import asyncio
import random

import pytest

from modelroute.router.http.framing import Limits
from modelroute.snapshot.types import Fallback
from tests.dataplane.conftest import Plane, backend, times
from tests.fakes.client import Reply, chat, http
from tests.fakes.upstream import Received, Wire, answers

EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
ANSWERS = [
    b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 14\r\n\r\n{"choices":[]}',
    EVENTS + b'14\r\ndata: {"a":"bcdef"}\n\r\ne\r\ndata: [DONE]\n\n\r\n0\r\n\r\n',
    b"HTTP/1.1 500 No\r\ncontent-length: 2\r\n\r\n{}",
    b"HTTP/1.1 429 No\r\nretry-after: 3\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\nabc",
]
REQUESTS = [
    http("POST", "/v1/chat/completions", chat()),
    http("GET", "/v1/models"),
    http("POST", "/v1/chat/completions", chat(stream=True), expect="100-continue"),
    b"POST /v1/completions HTTP/1.1\r\nhost: r\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    http("GET", "/healthz", connection="upgrade", upgrade="h2c"),
]
PIECES = [
    *(
        b"\r\n",
        b"\n",
        b"\0",
        b"0",
        b"ffffffffffffffff",
        b"-1",
        b": ",
        b"HTTP/1.1 ",
        b"chunked",
        b"content-length: 5\r\n",
    ),
    *(
        b"\xff",
        b"data: ",
        b'{"error":{"message":"m"}}',
        b" ",
        b"\r\n\r\n",
        b"transfer-encoding: chunked\r\n",
        b"x" * 70_000,
    ),
]


def spoiled(chance: random.Random, data: bytes) -> bytes:
    """``data`` with up to four things wrong."""
    changed = bytearray(data)
    for _ in range(chance.randint(0, 4)):
        at = chance.randint(0, len(changed))
        what = chance.randint(0, 3)
        if what == 0:
            del changed[at : at + chance.randint(1, 8)]
        elif what == 1:
            changed[at:at] = chance.choice(PIECES)
        elif what == 2:
            changed[at : at + 1] = bytes([chance.randint(0, 255)])
        else:
            del changed[at + chance.randint(0, 200) :]
    return bytes(changed)


def surprises() -> list[object]:
    """What the event loop is told of from now on that nobody handled."""
    found: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: found.append(context))
    return found


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_a_backend_answers_the_client_gets_a_clean_answer(plane: Plane, seed: int) -> None:
    chance = random.Random(seed)

    async def spoils(_: Received, wire: Wire) -> None:
        wire.raw(spoiled(chance, chance.choice(ANSWERS)))
        await wire.writer.drain()
        end = chance.randint(0, 2)
        if end == 0:
            wire.writer.close()
        elif end == 1:
            wire.reset()

    unhandled = surprises()
    quick = times(first_token_streamed=0.02, first_token_whole=0.02, stream_idle=0.02)
    first = backend("small", await plane.upstream(spoils), weight=1, timeouts=quick)
    big = backend("big", await plane.upstream())
    router = await plane.route(first, big, fallbacks=(Fallback("big", ("Timeout",)),))
    replies = [await plane.chat(stream=chance.random() < 0.5) for _ in range(60)]
    assert all(200 <= r.status < 600 for r in replies)
    assert all(r.json["error"]["message"] for r in replies if r.status >= 400)
    assert router.live.route is not None
    assert [e.in_flight for t in router.live.route.targets.values() for e in t.endpoints] == [0, 0]
    assert unhandled == []


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_clients_send_is_answered_or_closed_in_time(plane: Plane, seed: int) -> None:
    chance = random.Random(seed)

    async def sends_nonsense() -> list[int]:
        client, statuses = await plane.connect(), []
        client.send(b"".join(spoiled(chance, chance.choice(REQUESTS)) for _ in range(chance.randint(1, 3))))
        try:
            while True:
                statuses.append((await client.reply()).status)
        except (asyncio.IncompleteReadError, ConnectionError):
            return statuses

    unhandled = surprises()
    impatient = Limits(read=0.5, idle=1, body=9999)
    router = await plane.route(backend("small", await plane.upstream(), weight=1), limits=impatient)
    statuses = [s for each in await asyncio.gather(*(sends_nonsense() for _ in range(100))) for s in each]
    assert set(statuses) <= {100, 200, 400, 404, 405, 408, 413, 415, 417, 431, 505}
    assert unhandled == []
    router.public.limits = Limits()
    assert (await plane.chat()).status == 200


async def test_answers_reach_those_who_asked(plane: Plane) -> None:
    async def echoes(received: Received, wire: Wire) -> None:
        await asyncio.sleep(chance.random() / 200)
        mark = received.json["mark"]
        if received.json.get("stream"):
            wire.stream()
            for part in (b'data: {"mark":', b"%d" % mark, b'}\n\ndata: {"choices":[{"finish_reason":"stop"}]}\n\n'):
                wire.chunk(part)
                await asyncio.sleep(chance.random() / 200)
            wire.end()
        else:
            await answers({"mark": mark})(received, wire)

    async def ask(mark: int) -> Reply:
        reply = await plane.chat(mark=mark, stream=mark % 2 == 0)
        assert b'"mark": %d}' % mark in reply.body or b'"mark":%d}' % mark in reply.body
        return reply

    chance = random.Random(1)
    ups = [await plane.upstream(echoes) for _ in range(3)]
    await plane.route(backend("small", *ups, weight=1))
    replies = await asyncio.gather(*(ask(mark) for mark in range(300)))
    assert {r.status for r in replies} == {200}
    assert sum(len(up.received) for up in ups) == 300


async def test_clients_that_send_slowly_do_not_hold_others_up(plane: Plane) -> None:
    await plane.route(backend("small", await plane.upstream(), weight=1))
    slow = [await plane.connect() for _ in range(200)]
    for client in slow:
        client.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: r\r\ncontent-length: 100\r\n\r\n{")
    assert (await plane.chat()).status == 200
