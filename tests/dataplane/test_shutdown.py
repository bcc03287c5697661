"""The end of a router: unready first, running answers to their end, the rest told."""

import asyncio
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process, create_subprocess_exec
from pathlib import Path

import pytest

from tests.dataplane.conftest import Plane, backend
from tests.fakes.client import Client, chat, http
from tests.fakes.upstream import DONE, OPENER, Received, Wire, text

ROOT = Path(__file__).resolve().parents[2]
STREAM = http("POST", "/v1/chat/completions", chat(stream=True))


class Held:
    """A stream that goes on when it is told to."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()

    async def __call__(self, _: Received, wire: Wire) -> None:
        wire.stream()
        wire.chunk(OPENER)
        await self.go_on.wait()
        wire.chunk(text("late") + DONE)
        wire.end()


async def streaming(plane: Plane) -> Client:
    client = await plane.connect()
    client.send(STREAM)
    await client.head()
    await client.chunk()
    return client


async def test_r29_a_router_that_ends_is_unready_while_it_still_answers(plane: Plane) -> None:
    plane.write(backend("small", await plane.upstream(), weight=1))
    router = await plane.start(delay=20)
    router.end()
    await asyncio.sleep(0)
    for admin in (False, True):
        reply = await plane.ask("GET", "/readyz", admin=admin)
        assert (reply.status, reply.body) == (503, b"draining\n")
    reply = await plane.chat()
    assert (reply.status, reply.headers["connection"]) == (200, "close")


async def test_r29_running_streams_come_to_their_end(plane: Plane) -> None:
    held = Held()
    plane.write(backend("small", await plane.upstream(held), weight=1))
    router = await plane.start(grace=20)
    client = await streaming(plane)
    router.end()
    await asyncio.sleep(0)
    held.go_on.set()
    assert await client.chunk() == text("late") + DONE
    assert await client.chunk() == b""
    assert await client.ended()
    assert plane.running is not None
    await plane.running


async def test_a_stream_that_was_not_told_of_the_end_may_be_followed_by_a_request(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its head went out before: who asks again right after it must not meet a closed connection."""
    monkeypatch.setattr("modelroute.router.http.http1.NEXT_REQUEST_SECONDS", 20)
    held = Held()
    plane.write(backend("small", await plane.upstream(held), weight=1))
    router = await plane.start(grace=20)
    client = await streaming(plane)
    router.end()
    await asyncio.sleep(0)
    held.go_on.set()
    while await client.chunk():
        pass
    client.send(http("GET", "/v1/models"))
    reply = await client.reply()
    assert (reply.status, reply.headers["connection"]) == (200, "close")


async def test_idle_connections_are_closed(plane: Plane) -> None:
    plane.write(backend("small", weight=1))
    router = await plane.start(grace=20)
    client = await plane.connect()
    client.send(http("GET", "/healthz"))
    await client.reply()
    router.end()
    assert await client.ended()
    assert plane.running is not None
    await plane.running


async def test_a_request_that_is_on_its_way_at_the_end_is_answered(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelroute.router.app.NEXT_REQUEST_SECONDS", 20)
    plane.write(backend("small", await plane.upstream(), weight=1))
    router = await plane.start(grace=20)
    client = await plane.connect()
    client.send(http("GET", "/healthz"))
    await client.reply()
    router.end()
    while router._servers[0].is_serving():  # noqa: ASYNC110
        await asyncio.sleep(0)
    client.send(http("POST", "/v1/chat/completions", chat()))
    reply = await client.reply()
    assert (reply.status, reply.headers["connection"]) == (200, "close")
    assert plane.running is not None
    await plane.running


async def test_a_request_that_is_half_sent_at_the_end_is_answered(plane: Plane) -> None:
    plane.write(backend("small", await plane.upstream(), weight=1))
    router = await plane.start(grace=20)
    idle, client = await plane.connect(), await plane.connect()
    client.send(http("POST", "/v1/chat/completions", expect="100-continue", content_length=str(len(chat()))))
    await client.reader.readuntil(b"\r\n\r\n")
    router.end()
    assert await idle.ended()
    client.send(chat())
    assert (await client.reply()).status == 200


async def test_r29_streams_that_outlast_the_grace_are_told(plane: Plane) -> None:
    plane.write(backend("small", await plane.upstream(Held()), weight=1))
    router = await plane.start(grace=0.05)
    client = await streaming(plane)
    router.end()
    event = await client.chunk()
    assert event.startswith(b'data: {"error":{"message":"the router is shutting down')
    assert await client.chunk() == b""
    assert await client.ended()


async def test_requests_that_outlast_the_grace_are_told(plane: Plane) -> None:
    async def never(_: Received, wire: Wire) -> None:
        await wire.gone()

    up = await plane.upstream(never)
    plane.write(backend("small", up, weight=1))
    router = await plane.start(grace=0.05)
    client = await plane.connect()
    client.send(http("POST", "/v1/chat/completions", chat()))
    await up.seen(1)
    router.end()
    reply = await client.reply()
    assert (reply.status, reply.error["code"], reply.headers["connection"]) == (503, "overloaded", "close")
    assert reply.headers["retry-after"] == "5"


async def test_a_second_end_does_not_wait(plane: Plane) -> None:
    plane.write(backend("small", await plane.upstream(Held()), weight=1))
    router = await plane.start(grace=1000, delay=1000)
    await streaming(plane)
    router.end()
    router.end()
    assert plane.running is not None
    await plane.running


MAIN = """
import logging, sys, uvloop
from pathlib import Path
from modelroute.router.app import Options, run
from modelroute.router.source import FileSource
from modelroute.snapshot.codec import decode
logging.basicConfig(level=logging.INFO)
uvloop.run(run(FileSource(Path(sys.argv[1]), decode), Options(0, 0, "127.0.0.1", grace=20)))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_process_in_good_order(plane: Plane, number: signal.Signals) -> None:
    held = Held()
    plane.write(backend("small", await plane.upstream(held), weight=1))
    command = (sys.executable, "-c", MAIN, str(plane.file))
    process = await create_subprocess_exec(*command, env={"PYTHONPATH": str(ROOT / "operator")}, stderr=PIPE)
    client = await plane.connect(await _port(process))
    client.send(STREAM)
    await client.head()
    await client.chunk()
    process.send_signal(number)
    held.go_on.set()
    assert await client.chunk() == text("late") + DONE
    assert await client.chunk() == b""
    _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")


async def _port(process: Process) -> int:
    """The port that the router says it listens on."""
    assert process.stderr is not None
    while line := await process.stderr.readline():
        if found := re.search(rb"listening on port (\d+)", line):
            return int(found[1])
    raise AssertionError("the router did not start")
