"""What clients may take of the router: time, connections, memory. Rows R21 to R24 of the list of faults."""

import asyncio
import contextlib
import resource
import socket
from collections.abc import AsyncIterator

import pytest

from modelroute.router.app import Router
from modelroute.router.http.framing import Limits
from tests.dataplane.conftest import Plane, backend
from tests.dataplane.faults import until
from tests.fakes.client import Client, chat, http
from tests.fakes.upstream import Received, Wire, silent

CHAT = "/v1/chat/completions"
CHUNKED = b"POST /v1/chat/completions HTTP/1.1\r\nhost: r\r\ntransfer-encoding: chunked\r\n\r\n"
HALF_HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: r\r\nx: "
BODY = chat(content="x" * 400_000)


async def drip(client: Client, piece: bytes, seconds: float) -> None:
    """Send ``piece`` again and again, until the router has had enough."""
    while not client.reader.at_eof() and not client.writer.transport.is_closing():
        client.send(piece)
        await asyncio.sleep(seconds)


def room(plane: Plane) -> tuple[int, int]:
    """Connections and bytes of bodies of the public port."""
    assert plane.router is not None
    return plane.router.public.room.connections, plane.router.public.room.held


# Time.


@pytest.mark.parametrize(
    ("sent", "piece", "limits"),
    [
        (HALF_HEAD, b"y", Limits(head_time=0.3)),
        (http("POST", CHAT, content_length="1000000"), b"y", Limits(head_time=0.1, stall=0.2, rate=1000)),
        (http("POST", CHAT, content_length="1000000"), b"y" * 100, Limits(head_time=0.1, stall=0.1, rate=1, read=0.5)),
    ],
    ids=["a head", "a body with too little progress", "a body that takes too long"],
)
async def test_r22_what_comes_slowly_is_a_408(plane: Plane, sent: bytes, piece: bytes, limits: Limits) -> None:
    await plane.route(backend("small", weight=1), limits=limits)
    client = await plane.connect()
    client.send(sent)
    dripping = asyncio.create_task(drip(client, piece, 0.02))
    reply = await client.reply()
    assert (reply.status, reply.error["type"], reply.headers["connection"]) == (408, "timeout_error", "close")
    await dripping


async def test_r22_a_body_that_comes_slowly_and_steadily_is_served(plane: Plane) -> None:
    """It takes longer than the 2.5 s that it would have if nothing came, and is never silent for as long."""
    limits = Limits(head_time=1, stall=1.5, rate=100)
    await plane.route(backend("small", await plane.upstream(), weight=1), limits=limits)
    client = await plane.connect()
    body = chat(content="x" * 1400)
    client.send(http("POST", CHAT, content_length=str(len(body))))
    for at in range(0, len(body), 50):
        client.send(body[at : at + 50])
        await asyncio.sleep(0.1)
    assert (await client.reply()).status == 200


async def test_r22_the_head_of_a_second_request_has_no_more_time_than_the_first(plane: Plane) -> None:
    await plane.route(backend("small", weight=1), limits=Limits(head_time=0.3))
    client = await plane.connect()
    client.send(http("GET", "/healthz"))
    assert (await client.reply()).status == 200
    await asyncio.sleep(0.5)
    client.send(HALF_HEAD)
    assert (await client.reply()).status == 408


async def test_r22_others_are_answered_while_slow_clients_hang(plane: Plane) -> None:
    patient = Limits(head_time=1000, stall=1000, read=1000)
    await plane.route(backend("small", await plane.upstream(), weight=1), limits=patient)
    slow = [await plane.connect() for _ in range(500)]
    for number, client in enumerate(slow):
        client.send(HALF_HEAD if number % 2 else http("POST", CHAT, content_length="100"))
    assert [(await plane.chat()).status for _ in range(20)] == [200] * 20
    assert room(plane)[0] >= 500  # they hang still


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (http("POST", CHAT, content_length=str(2**24 + 1)), 413),
        (
            http("POST", CHAT, transfer_encoding="chunked").replace(b"content-length: 0\r\n", b"") + b"%x\r\n" % 2**25,
            413,
        ),
        (b"GET /healthz HTTP/1.1\r\nhost: r\r\nx: ", 431),
    ],
    ids=["a length", "chunks", "a head"],
)
async def test_r23_what_is_too_large_is_refused_before_it_is_read_whole(plane: Plane, head: bytes, status: int) -> None:
    await plane.route(backend("small", weight=1))
    client = await plane.connect()
    client.send(head)
    if b"content-length" not in head:
        client.send(b"y" * (2**24 + 2**18))
    assert (await client.reply()).status == status
    assert await client.ended()
    await until(lambda: room(plane) == (0, 0))


# Slow readers.


async def gushes(_: Received, wire: Wire) -> None:
    wire.stream()
    while True:
        wire.chunk(b"data: " + b"x" * 2**20 + b"\n\n")
        await wire.writer.drain()


@contextlib.asynccontextmanager
async def slow_reader(router: Router) -> AsyncIterator[socket.socket]:
    """A client that asked for a stream, takes nothing of it, and whose kernel takes little; once the router noticed."""
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        await loop.sock_connect(sock, ("127.0.0.1", router.port))
        await loop.sock_sendall(sock, http("POST", CHAT, chat(stream=True)))
        await until(lambda: any(c.paused for c in router.public.clients))
        yield sock


@pytest.mark.parametrize("size", [0, 1], ids=["reads nothing", "reads a byte at a time"])
async def test_r21_a_slow_reader_has_little_in_memory_and_is_cut(plane: Plane, size: int) -> None:
    up = await plane.upstream(gushes)
    router = await plane.route(backend("small", up, weight=1), limits=Limits(write=2, take=50_000))
    most = 0
    async with slow_reader(router) as sock:
        while router.public.clients:
            most = max(most, *(c.waiting for c in router.public.clients))
            with contextlib.suppress(OSError):
                sock.recv(size)
            await asyncio.sleep(0.01)
        await up.left()
    assert 0 < most <= 256 * 1024


async def test_r21_others_are_served_while_one_does_not_read(plane: Plane) -> None:
    router = await plane.route(backend("small", await plane.upstream(gushes), weight=1))
    async with slow_reader(router):
        await plane.route(backend("quick", await plane.upstream(), weight=1))
        assert (await plane.chat()).status == 200


# Connections.


async def test_r24_a_connection_too_many_is_told_and_closed(plane: Plane) -> None:
    up = await plane.upstream(silent)
    await plane.route(backend("small", up, weight=1), limits=Limits(connections=2))
    busy = [await plane.connect() for _ in range(2)]
    for client in busy:
        client.send(http("POST", CHAT, chat()))
    await up.seen(2)
    for _ in range(3):
        late = await plane.connect()
        late.send(http("GET", "/healthz"))
        reply = await late.reply()
        assert (reply.status, reply.error["code"], reply.headers["retry-after"]) == (503, "overloaded", "1")
        assert await late.ended()
        late.close()
    assert (await plane.ask("GET", "/healthz", admin=True)).status == 200
    busy.pop().close()
    await until(lambda: room(plane)[0] < 2)
    assert (await plane.ask("GET", "/healthz")).status == 200


async def test_r24_idle_connections_give_way(plane: Plane) -> None:
    await plane.route(backend("small", weight=1), limits=Limits(connections=3))
    idle = [await plane.connect() for _ in range(3)]
    while (await plane.ask("GET", "/healthz")).status != 200:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    assert [await client.ended() for client in idle] == [True] * 3


async def test_r24_those_turned_away_without_a_word_do_not_stay(plane: Plane) -> None:
    up = await plane.upstream(silent)
    await plane.route(backend("small", up, weight=1), limits=Limits(connections=1))
    busy = await plane.connect()
    busy.send(http("POST", CHAT, chat()))
    await up.seen(1)
    late = [await plane.connect() for _ in range(300)]
    assert [await client.ended() for client in late] == [True] * 300
    assert room(plane)[0] == 1
    polite = await plane.ask("GET", "/healthz")  # there is time for a word again
    assert polite.status == 503


async def test_r24_there_is_a_file_for_each_connection_and_its_backends(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelroute.router.app.resource.getrlimit", lambda _: (1512, 4096))
    router = await plane.route(backend("small", weight=1))
    assert (router.public.limits.connections, router.admin.limits.connections) == (500, 500)


async def test_r24_out_of_files_it_goes_on_and_recovers(plane: Plane, caplog: pytest.LogCaptureFixture) -> None:
    unhandled: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: unhandled.append(context))
    router = await plane.route(backend("small", weight=1))
    stays = await plane.connect()
    stays.send(http("GET", "/healthz"))
    assert (await stays.reply()).status == 200
    socks = [socket.socket() for _ in range(20)]
    usual = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, usual[1]))
        for sock in socks:
            sock.setblocking(False)
            await loop.sock_connect(sock, ("127.0.0.1", router.port))
        for _ in range(3):
            stays.send(http("GET", "/healthz"))
            assert (await stays.reply()).status == 200
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, usual)
        for sock in socks:
            sock.close()
    assert (await plane.ask("GET", "/healthz")).status == 200
    assert unhandled == []
    assert len(caplog.records) < 10


# Memory.


async def uploads(plane: Plane, size: int) -> Client:
    """A client that has sent so much of a body."""
    client = await plane.connect()
    client.send(http("POST", CHAT, content_length=str(len(BODY))) + BODY[:size])
    return client


async def test_bodies_in_memory_are_bounded_and_small_ones_still_fit(plane: Plane) -> None:
    up = await plane.upstream()
    await plane.route(backend("small", up, weight=1), limits=Limits(held=1_480_000))
    started = [await uploads(plane, 200_000) for _ in range(4)]
    await until(lambda: room(plane)[1] == 800_000)
    for data in (http("POST", CHAT, BODY), CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)):
        late = await plane.connect()
        late.send(data)
        reply = await late.reply()
        assert (reply.status, reply.error["code"], reply.headers["retry-after"]) == (503, "overloaded", "1")
    assert (await plane.chat()).status == 200
    for client in started[1:]:
        client.close()
    await until(lambda: room(plane)[1] == 200_000)
    started[0].send(BODY[200_000:])
    assert (await started[0].reply()).status == 200
    assert (await plane.ask("POST", CHAT, BODY)).status == 200
    await until(lambda: room(plane)[1] == 0)


@pytest.mark.parametrize("path", [CHAT, "/v1/nope"])
@pytest.mark.parametrize("end", ["answered", "gone", "late", "malformed"])
async def test_what_a_body_took_is_given_back_however_it_ends(plane: Plane, path: str, end: str) -> None:
    limits = Limits(head_time=0.1, stall=1000, rate=1e9)
    router = await plane.route(backend("small", await plane.upstream(), weight=1), limits=limits)
    client = await plane.connect()
    client.send(CHUNKED.replace(CHAT.encode(), path.encode()))
    client.send(b"%x\r\n%b" % (len(BODY), BODY[:300_000]))
    if path == CHAT:
        await until(lambda: room(plane)[1] == 300_000)
    if end == "answered":
        client.send(BODY[300_000:] + b"\r\n0\r\n\r\n")
        assert (await client.reply()).status == (200 if path == CHAT else 404)
    elif end == "gone":
        client.close()
    elif end == "malformed":
        client.send(BODY[300_000:] + b"!")
        assert (await client.reply()).status == 400
    else:
        router.public.limits = Limits(head_time=0.1, stall=0.1, rate=1e9)
        assert (await client.reply()).status == 408
    await until(lambda: room(plane)[1] == 0)
