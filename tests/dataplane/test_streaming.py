"""Streams: piece by piece as they come, in order, at the client's pace, and never ended as if they were whole."""

import asyncio
import json

import pytest

from modelroute.router.http.framing import Limits
from tests.dataplane.conftest import TIMES, Plane, backend, times
from tests.fakes.client import Client, Reply, chat, http
from tests.fakes.upstream import DONE, OPENER, Received, Wire, answers, streams, text

ASK = http("POST", "/v1/chat/completions", chat(stream=True))


def error_in(event: bytes) -> dict[str, object]:
    assert event.startswith(b"data: ")
    assert event.endswith(b"\n\n")
    error: dict[str, object] = json.loads(event.removeprefix(b"data: "))["error"]
    return error


async def begun(plane: Plane) -> tuple[Client, Reply]:
    """A client that has the head of its stream."""
    client = await plane.connect()
    client.send(ASK)
    return client, await client.head()


async def rest(client: Client) -> bytes:
    """All further chunks of an answer."""
    pieces = []
    while data := await client.chunk():
        pieces.append(data)
    return b"".join(pieces)


async def test_each_piece_is_passed_on_before_the_next_one_comes(plane: Plane) -> None:
    taken = asyncio.Event()

    async def one_by_one(_: Received, wire: Wire) -> None:
        wire.stream()
        for piece in (OPENER, text("a"), text("b"), DONE):
            wire.chunk(piece)
            await taken.wait()
            taken.clear()
        wire.end()

    await plane.route(backend("small", await plane.upstream(one_by_one), weight=1))
    client, head = await begun(plane)
    assert head.headers["content-type"] == "text/event-stream"
    for piece in (OPENER, text("a"), text("b"), DONE):
        assert await client.chunk() == piece
        taken.set()
    assert await client.chunk() == b""


async def test_a_stream_arrives_whole_and_the_connection_serves_on(plane: Plane) -> None:
    events = [OPENER, *(text(str(n)) for n in range(500)), DONE]
    await plane.route(backend("small", await plane.upstream(streams(*events)), weight=1))
    client = await plane.connect()
    for _ in range(2):
        client.send(ASK)
        assert (await client.reply()).body == b"".join(events)


async def test_a_client_of_http_1_0_gets_the_plain_bytes(plane: Plane) -> None:
    await plane.route(backend("small", await plane.upstream(streams()), weight=1))
    client = await plane.connect()
    client.send(ASK.replace(b"HTTP/1.1", b"HTTP/1.0"))
    reply = await client.reply()
    assert "transfer-encoding" not in reply.headers
    assert reply.body == OPENER + text("a") + text("b") + DONE


async def test_a_client_that_leaves_in_mid_stream_ends_it_at_the_backend(plane: Plane) -> None:
    cancelled = asyncio.Event()

    async def endless(_: Received, wire: Wire) -> None:
        wire.stream()
        wire.chunk(OPENER + text("a"))
        await wire.gone()
        cancelled.set()

    await plane.route(backend("small", await plane.upstream(endless), weight=1))
    client, _ = await begun(plane)
    await client.chunk()
    client.close()
    await cancelled.wait()
    assert await plane.metric("modelroute_requests_in_flight", backend="small") == 0
    assert await plane.metric("modelroute_tokens_total", backend="small", kind="completion") == 1


@pytest.mark.parametrize("end", ["reset", "close", "early end", "malformed", "stall"])
async def test_a_stream_that_breaks_ends_with_an_error_and_never_with_done(plane: Plane, end: str) -> None:
    async def breaks(_: Received, wire: Wire) -> None:
        wire.stream()
        wire.chunk(OPENER + text("a"))
        await seen.wait()
        if end == "reset":
            wire.reset()
        elif end == "close":
            wire.writer.close()
        elif end == "early end":
            wire.end()
        elif end == "malformed":
            wire.raw(b"zzz\r\n")
        else:
            await wire.gone()

    seen = asyncio.Event()
    timeouts = times(stream_idle=0.2) if end == "stall" else TIMES
    await plane.route(backend("small", await plane.upstream(breaks), weight=1, timeouts=timeouts))
    client, _ = await begun(plane)
    assert await client.chunk() == OPENER + text("a")
    seen.set()
    error = error_in(await client.chunk())
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] == ("timeout" if end == "stall" else "upstream_error")
    assert await client.chunk() == b""
    assert await client.ended()
    kind = "StreamIdle" if end == "stall" else "StreamLost"
    assert await plane.metric("modelroute_errors_total", backend="small", type=kind) == 1


async def test_of_a_broken_event_the_client_gets_the_error_alone(plane: Plane) -> None:
    async def half(_: Received, wire: Wire) -> None:
        wire.stream()
        wire.chunk(OPENER + b'data: {"choices":[{"del')
        await wire.writer.drain()
        wire.writer.close()

    await plane.route(backend("small", await plane.upstream(half), weight=1))
    client, _ = await begun(plane)
    assert await client.chunk() == OPENER
    assert (await client.chunk()).startswith(b'data: {"error":')


async def test_a_stream_that_finished_without_done_is_whole(plane: Plane) -> None:
    last = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    await plane.route(backend("small", await plane.upstream(streams(OPENER, text("a"), last)), weight=1))
    assert (await plane.chat(stream=True)).body == OPENER + text("a") + last


async def test_a_stream_whose_last_line_has_no_end_is_whole(plane: Plane) -> None:
    events = b'data: {"choices":[]}\n\n', b"data: [DONE]"
    await plane.route(backend("small", await plane.upstream(streams(*events)), weight=1))
    assert (await plane.chat(stream=True)).body == b"".join(events)


async def test_a_comment_that_keeps_the_connection_alive_passes_at_once(plane: Plane) -> None:
    async def waits(_: Received, wire: Wire) -> None:
        wire.stream()
        wire.chunk(b": wait\n\n")
        await seen.wait()
        wire.chunk(OPENER + DONE)
        wire.end()

    seen = asyncio.Event()
    await plane.route(backend("small", await plane.upstream(waits), weight=1))
    client, _ = await begun(plane)
    assert await client.chunk() == b": wait\n\n"
    seen.set()
    assert await rest(client) == OPENER + DONE


async def test_a_plain_body_that_breaks_is_cut(plane: Plane) -> None:
    async def breaks(_: Received, wire: Wire) -> None:
        wire.head(content_type="application/json", content_length="1000000")
        wire.raw(b'{"x":"' + b"x" * 400_000)
        await seen.wait()
        wire.reset()

    seen = asyncio.Event()
    await plane.route(backend("small", await plane.upstream(breaks), weight=1))
    client, _ = await begun(plane)
    await client.chunk()
    seen.set()
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await rest(client)


async def test_nothing_cuts_a_stream_by_its_age(plane: Plane) -> None:
    """Longer than each of its deadlines, but never silent for as long as one."""

    async def steady(_: Received, wire: Wire) -> None:
        wire.stream()
        wire.chunk(OPENER)
        for n in range(25):
            await asyncio.sleep(0.1)
            wire.chunk(text(str(n)))
        wire.chunk(DONE)
        wire.end()

    timeouts = times(first_token_streamed=2, first_token_whole=2, stream_idle=2)
    await plane.route(backend("small", await plane.upstream(steady), weight=1, timeouts=timeouts))
    assert (await plane.chat(stream=True)).body.endswith(DONE)


class Flood:
    """A backend that sends as fast as it is read, and tells how much it could send."""

    PIECE = text("x" * 8000)

    def __init__(self) -> None:
        self.stuck = asyncio.Event()
        self.sent = 0

    async def __call__(self, _: Received, wire: Wire) -> None:
        wire.stream()
        for _piece in range(4000):
            wire.chunk(self.PIECE)
            self.sent += 1
            try:
                await asyncio.wait_for(wire.writer.drain(), 0.2)
            except TimeoutError:
                self.stuck.set()
                await wire.writer.drain()
        wire.chunk(DONE)
        wire.end()


async def test_a_client_that_does_not_read_stops_the_backend_and_loses_nothing(plane: Plane) -> None:
    flood = Flood()
    await plane.route(backend("small", await plane.upstream(flood), weight=1))
    client, _ = await begun(plane)
    await flood.stuck.wait()
    assert flood.sent < 4000
    assert len(await rest(client)) == 4000 * len(Flood.PIECE) + len(DONE)


async def test_a_slow_client_is_not_taken_for_a_silent_backend(plane: Plane) -> None:
    flood = Flood()
    up = await plane.upstream(flood)
    await plane.route(backend("small", up, weight=1, timeouts=times(stream_idle=2)))
    client, _ = await begun(plane)
    await flood.stuck.wait()
    await asyncio.sleep(2.5)  # longer than the silence that a backend is allowed
    assert (await rest(client)).endswith(DONE)


async def test_a_client_that_takes_nothing_for_too_long_is_cut(plane: Plane) -> None:
    flood = Flood()
    up = await plane.upstream(flood)
    await plane.route(backend("small", up, weight=1), limits=Limits(write=0.3))
    (await plane.connect()).send(ASK)
    await up.seen(1)
    await up.left()
    assert await plane.metric("modelroute_requests_total", backend="small", code="499") == 1


async def test_a_client_that_ends_its_side_is_gone_though_it_left_much_unread(plane: Plane) -> None:
    flood = Flood()
    up = await plane.upstream(flood)
    await plane.route(backend("small", up, weight=1))
    client, _ = await begun(plane)
    await flood.stuck.wait()
    client.writer.write_eof()
    await up.left()
    assert await plane.metric("modelroute_requests_total", backend="small", code="499") == 1


async def test_a_backend_that_paused_for_a_slow_client_serves_others_after(plane: Plane) -> None:
    """A connection that was not read from when its answer ended is read from again."""
    long = answers(b'{"x":"' + b"x" * 3_000_000 + b'"}')
    up = await plane.upstream(long, answers({"n": 2}))
    await plane.route(backend("small", up, weight=1))
    client = await plane.connect()
    client.send(http("POST", "/v1/chat/completions", chat()))
    assert (await client.reply()).whole
    assert (await plane.chat()).json == {"n": 2}
    assert [r.connection for r in up.received] == [1, 1]
