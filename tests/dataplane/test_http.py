"""HTTP as clients may and may not speak it: paths, methods, framing, sizes, deadlines, order."""

import asyncio
import json

import pytest

from modelroute.router.http.framing import Limits
from tests.dataplane.conftest import Plane, backend
from tests.fakes.client import Client, chat, http
from tests.fakes.upstream import Received, Wire, answers

CHAT = "/v1/chat/completions"
KEYS = {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/v1", "/v1/", "/v1/models/", "/v1/files", "/v1/chat/completions/", "/v1/../metrics", "//v1/models"),
        *("/V1/models", "/%6detrics", "/metrics", "/status", "/sleep", "/wake_up", "/v1/load_lora_adapter"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_other_paths_are_not_found_and_never_go_upstream(plane: Plane, method: str, path: str) -> None:
    up = await plane.upstream()
    await plane.route(backend("small", up, weight=1))
    reply = await plane.ask(method, path, chat() if method == "POST" else b"")
    assert (reply.status, reply.error["code"]) == (404, "model_not_found")
    assert set(reply.error) == KEYS
    assert up.received == []


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", CHAT, "POST"),
        ("DELETE", "/v1/models", "GET, HEAD"),
        ("PUT", "/v1/models/chat", "GET, HEAD"),
        ("POST", "/healthz", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(plane: Plane, method: str, path: str, allow: str) -> None:
    await plane.route(backend("small", weight=1))
    reply = await plane.ask(method, path)
    assert (reply.status, reply.headers["allow"], reply.error["code"]) == (405, allow, "method_not_allowed")


async def test_every_answer_carries_the_routers_headers(plane: Plane) -> None:
    await plane.route(backend("small", await plane.upstream(), weight=1))
    client = await plane.connect()
    client.send(b"nonsense\r\n\r\n")
    replies = [
        await client.reply(),
        await plane.chat(),
        await plane.ask("GET", "/nope"),
        await plane.ask("GET", "/v1/models"),
    ]
    for reply in replies:
        assert {"x-request-id", "x-modelroute-backend", "x-modelroute-reason", "x-modelroute-attempts"} <= set(
            reply.headers
        )
    assert [r.backend for r in replies] == ["-", "small", "-", "-"]
    assert [r.reason for r in replies] == ["bad_request", "weight 1", "model_not_found", "router"]


async def test_models_are_listed_though_none_has_a_replica(plane: Plane) -> None:
    await plane.route(backend("small", weight=1), models=("chat", "Qwen/Qwen2.5"))
    listed = await plane.ask("GET", "/v1/models")
    assert [m["id"] for m in listed.json["data"]] == ["chat", "Qwen/Qwen2.5"]
    assert listed.json["object"] == "list"
    for path in ("/v1/models/Qwen/Qwen2.5", "/v1/models/Qwen%2FQwen2.5?x=1"):
        assert (await plane.ask("GET", path)).json["id"] == "Qwen/Qwen2.5"


async def test_a_model_that_is_not_served_is_refused_with_those_that_are(plane: Plane) -> None:
    await plane.route(backend("small", weight=1), models=("chat", "code"))
    for reply in (await plane.chat(model="chatt"), await plane.ask("GET", "/v1/models/chatt")):
        assert (reply.status, reply.error["code"], reply.error["param"]) == (404, "model_not_found", "model")
        assert "'chatt'" in reply.error["message"]
        assert "chat, code" in reply.error["message"]


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (CHAT, b"", None),
        (CHAT, b"{", None),
        (CHAT, b"[]", None),
        (CHAT, b"\xff\xfe", None),
        (CHAT, b'{"model":"chat","messages":[' + b"[" * 100_000, None),
        (CHAT, b'{"messages":[{}]}', "model"),
        (CHAT, b'{"model":7,"messages":[{}]}', "model"),
        (CHAT, b'{"model":"","messages":[{}]}', "model"),
        (CHAT, b'{"model":"chat"}', "messages"),
        (CHAT, b'{"model":"chat","messages":[]}', "messages"),
        (CHAT, b'{"model":"chat","messages":[ \n ]}', "messages"),
        (CHAT, b'{"model":"chat","messages":{}}', "messages"),
        (CHAT, b'{"model":"chat","messages":[{}],"stream":"yes"}', "stream"),
        (CHAT, b'{"model":"chat","messages":[{}],"user":{}}', "user"),
        ("/v1/completions", b'{"model":"chat"}', "prompt"),
        ("/v1/embeddings", b'{"model":"chat"}', "input"),
    ],
)
async def test_a_body_that_cannot_be_served_is_told_what_to_change(
    plane: Plane, path: str, body: bytes, param: str | None
) -> None:
    await plane.route(backend("small", await plane.upstream(), weight=1))
    reply = await plane.ask("POST", path, body)
    assert (reply.status, reply.error["type"], reply.error["param"]) == (400, "invalid_request_error", param)
    assert set(reply.error) == KEYS


HEAD = b"POST /v1/chat/completions HTTP/1.1\r\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (HEAD + b"host: r\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (HEAD + b"host: r\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n", 400),
        (HEAD + b"host: r\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n", 400),
        (HEAD + b"host: r\r\ncontent-length: -1\r\n\r\n", 400),
        (HEAD + b"host: r\r\ncontent-length: 1 1\r\n\r\n", 400),
        (HEAD + b"host: r\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
        (HEAD + b"host: r\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
        (HEAD + b"host: r\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400),
        (HEAD + b"host: r\r\nx: a\r\n folded\r\n\r\n", 400),
        (HEAD + b"host : r\r\n\r\n", 400),
        (HEAD + b"host: r\r\nx: a\x00b\r\n\r\n", 400),
        (HEAD + b"host: a\r\nhost: b\r\ncontent-length: 0\r\n\r\n", 400),
        (HEAD + b"content-length: 0\r\n\r\n", 400),
        (b"GET /v1/models HTTP/2.0\r\nhost: r\r\n\r\n", 505),
        (b"GET /v1/models HTTP/0.9\r\nhost: r\r\n\r\n", 505),
        (b"GET http://elsewhere/v1/models HTTP/1.1\r\nhost: r\r\n\r\n", 400),
        (b"CONNECT elsewhere:443 HTTP/1.1\r\nhost: r\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET /v1/models HTTP/1.1\r\nhost: r\r\n" + b"x: y\r\n" * 101 + b"\r\n", 431),
        (b"GET /v1/models HTTP/1.1\r\nhost: r\r\nx: " + b"y" * 40_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"y" * 40_000 + b" HTTP/1.1\r\nhost: r\r\n\r\n", 431),
        (HEAD + b"host: r\r\ncontent-length: 16777217\r\n\r\n", 413),
        (HEAD + b"host: r\r\ncontent-length: 99999999999999999999\r\n\r\n", 400),
    ],
)
async def test_what_is_not_clean_is_refused_and_the_connection_closed(plane: Plane, data: bytes, status: int) -> None:
    up = await plane.upstream()
    await plane.route(backend("small", up, weight=1))
    client = await plane.connect()
    client.send(data)
    reply = await client.reply()
    assert (reply.status, reply.headers["connection"]) == (status, "close")
    assert set(reply.error) == KEYS
    assert await client.ended()
    assert up.received == []


async def test_a_header_that_never_ends_is_refused_before_it_does(plane: Plane) -> None:
    await plane.route(backend("small", weight=1))
    client = await plane.connect()
    client.send(b"GET /v1/models HTTP/1.1\r\nhost: r\r\nx: ")
    for _ in range(3):
        client.send(b"y" * 300_000)
    assert (await client.reply()).status == 431


async def test_a_body_in_chunks_is_refused_once_it_is_too_large(plane: Plane) -> None:
    await plane.route(backend("small", weight=1), limits=Limits(body=100_000))
    client = await plane.connect()
    client.send(HEAD + b"host: r\r\ntransfer-encoding: chunked\r\n\r\n")
    for _ in range(11):
        client.send(b"%x\r\n%b\r\n" % (10_000, b"y" * 10_000))
    reply = await client.reply()
    assert (reply.status, reply.error["code"]) == (413, "request_too_large")


async def test_an_upgrade_is_never_taken_up(plane: Plane) -> None:
    await plane.route(backend("small", weight=1))
    client = await plane.connect()
    client.send(http("GET", "/v1/models", connection="upgrade", upgrade="websocket"))
    reply = await client.reply()
    assert (reply.status, reply.headers["connection"]) == (200, "close")
    assert await client.ended()


async def test_a_content_encoding_is_refused(plane: Plane) -> None:
    await plane.route(backend("small", weight=1))
    assert (await plane.ask("POST", CHAT, b"\x1f\x8b", content_encoding="gzip")).status == 415


@pytest.mark.parametrize(
    "sent", [b"", b"POST /v1/cha", HEAD + b"host: r\r\n", HEAD + b"host: r\r\ncontent-length: 9\r\n\r\n{"]
)
async def test_a_request_that_does_not_come_whole_in_time_is_a_408(plane: Plane, sent: bytes) -> None:
    await plane.route(backend("small", weight=1), limits=Limits(read=0.2, idle=1000 if sent else 0.5))
    client = await plane.connect()
    client.send(sent)
    if sent:
        reply = await client.reply()
        assert (reply.status, reply.error["type"]) == (408, "timeout_error")
    assert await client.ended()


async def test_a_connection_is_kept_and_closed_when_it_is_idle(plane: Plane) -> None:
    router = await plane.route(backend("small", weight=1), limits=Limits(idle=1000, write=0.1))  # looks each 0.1 s
    client = await plane.connect()
    for _ in range(2):
        client.send(http("GET", "/healthz"))
        assert (await client.reply()).status == 200
    router.public.limits = Limits(idle=0.1)
    assert await client.ended()


@pytest.mark.parametrize(
    "line", [b"GET /healthz HTTP/1.0\r\n\r\n", b"GET /healthz HTTP/1.1\r\nhost: r\r\nconnection: close\r\n\r\n"]
)
async def test_a_client_that_wants_it_closed_gets_it_closed(plane: Plane, line: bytes) -> None:
    await plane.route(backend("small", weight=1))
    client = await plane.connect()
    client.send(line)
    reply = await client.reply()
    assert (reply.body, reply.headers["connection"]) == (b"ok\n", "close")
    assert await client.ended()


async def test_requests_that_come_at_once_are_answered_in_order(plane: Plane) -> None:
    async def slow_first(received: Received, wire: Wire) -> None:
        if received.json["seed"] == 0:
            await second_sent.wait()
        await answers({"n": received.json["seed"]})(received, wire)

    second_sent = asyncio.Event()
    await plane.route(backend("small", await plane.upstream(slow_first), weight=1))
    client = await plane.connect()
    for n in range(30):
        client.send(http("POST", CHAT, chat(seed=n)))
        client.send(http("GET", f"/v1/models/{n}"))
    second_sent.set()
    for n in range(30):
        assert (await client.reply()).json == {"n": n}
        assert f"'{n}'" in (await client.reply()).error["message"]


async def test_what_follows_a_bad_request_is_not_looked_at(plane: Plane) -> None:
    up = await plane.upstream()
    await plane.route(backend("small", up, weight=1))
    client = await plane.connect()
    smuggled = http("POST", CHAT, chat())
    client.send(http("GET", "/healthz") + HEAD + b"content-length: 0\r\n\r\n" + smuggled)
    assert [(await client.reply()).status for _ in range(2)] == [200, 400]
    assert await client.ended()
    assert up.received == []


async def continues(client: Client, path: str, size: int) -> bytes:
    client.send(http("POST", path, expect="100-continue", content_length=str(size)))
    return await client.reader.readuntil(b"\r\n\r\n")


async def test_a_client_that_waits_to_be_asked_for_its_body_is_asked(plane: Plane) -> None:
    await plane.route(backend("small", await plane.upstream(), weight=1))
    client = await plane.connect()
    assert await continues(client, CHAT, len(chat())) == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(chat())
    assert (await client.reply()).status == 200


@pytest.mark.parametrize(("path", "size", "status"), [(CHAT, 2**25, 413), ("/v1/nope", 9, 404), ("/v1/models", 9, 405)])
async def test_a_client_that_waits_is_refused_without_its_body(plane: Plane, path: str, size: int, status: int) -> None:
    await plane.route(backend("small", weight=1))
    client = await plane.connect()
    client.send(http("POST", path, expect="100-continue", content_length=str(size)))
    reply = await client.reply()
    assert (reply.status, reply.headers["connection"]) == (status, "close")
    assert await client.ended()


async def test_a_client_of_http_1_0_is_never_asked_for_its_body(plane: Plane) -> None:
    await plane.route(backend("small", await plane.upstream(), weight=1))
    client = await plane.connect()
    client.send(http("POST", CHAT, chat(), expect="100-continue").replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert (await client.reply()).status == 200


async def test_what_was_answered_reaches_a_client_that_has_ended_its_side(plane: Plane) -> None:
    await plane.route(backend("small", weight=1))
    client = await plane.connect()
    client.send(http("GET", "/v1/models"))
    client.writer.write_eof()
    assert (await client.reply()).status == 200


async def test_a_head_request_gets_the_head(plane: Plane) -> None:
    await plane.route(backend("small", weight=1))
    client = await plane.connect()
    client.send(http("HEAD", "/healthz") + http("GET", "/healthz"))
    assert (await client.head()).headers["content-length"] == "3"
    assert json.dumps((await client.reply()).body.decode()) == '"ok\\n"'
