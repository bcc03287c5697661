"""What reaches a backend, what comes back, and that nothing else does either way."""

import asyncio
import json

import pytest

from modelroute.router.http.framing import Limits
from modelroute.snapshot.types import Parameters, Rule, When
from tests.dataplane.conftest import Plane, backend
from tests.fakes.client import chat, http
from tests.fakes.upstream import Received, Wire, answers, sends


async def test_a_chat_is_answered_by_its_backend(plane: Plane) -> None:
    up = await plane.upstream(answers({"id": "42", "choices": []}))
    await plane.route(backend("small", up, weight=1))
    reply = await plane.chat("What is a router?")
    assert (reply.status, reply.json) == (200, {"id": "42", "choices": []})


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"model": "chat", "messages": [{"role": "user", "content": "hi"}]}),
        ("/v1/completions", {"model": "chat", "prompt": "hi"}),
        ("/v1/embeddings", {"model": "chat", "input": ["hi"]}),
    ],
)
async def test_each_path_goes_to_the_same_path_behind_the_prefix(plane: Plane, path: str, body: object) -> None:
    up = await plane.upstream()
    await plane.route(backend("small", up, weight=1, prefix="/openai/v1"))
    await plane.ask("POST", path, json.dumps(body).encode())
    assert up.received[0].line == f"POST /openai{path} HTTP/1.1"
    assert up.received[0].json == body


async def test_fields_that_are_not_known_pass_byte_for_byte(plane: Plane) -> None:
    up = await plane.upstream()
    await plane.route(backend("small", up, weight=1, model="qwen"))
    odd = b'{"model":"chat","messages":[ {"role":"user", "content":"\\u00e9"} ],"x":{ "seed" : 1.0e2 }}'
    await plane.ask("POST", "/v1/chat/completions", odd)
    assert b'[ {"role":"user", "content":"\\u00e9"} ]' in up.received[0].body
    assert b'"x":{ "seed" : 1.0e2 }' in up.received[0].body


async def test_the_backends_own_model_name_and_parameters_are_put_in(plane: Plane) -> None:
    up = await plane.upstream()
    parameters = Parameters(system_prompt="Be brief.", max_max_tokens=64, default_temperature=0.5)
    await plane.route(backend("small", up, weight=1, model="qwen", parameters=parameters))
    await plane.chat("hi", max_tokens=1000)
    assert up.received[0].json == {
        "model": "qwen",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
        "max_tokens": 64,
        "temperature": 0.5,
    }


async def test_a_backend_gets_only_the_headers_of_a_list(plane: Plane) -> None:
    up = await plane.upstream()
    await plane.route(backend("small", up, weight=1))
    given = {
        "authorization": "Bearer client",
        "cookie": "c=1",
        "x_forwarded_for": "1.2.3.4",
        "traceparent": "00-ab-cd-01",
    }
    await plane.chat(headers={**given, "accept": "application/json", "x_request_id": "mine", "connection": "x-odd"})
    own = {"host", "content-type", "content-length", "accept-encoding", "user-agent"}
    assert set(up.received[0].headers) == own | {"x-request-id", "traceparent", "accept"}
    assert up.received[0].headers["x-request-id"] == "mine"
    assert up.received[0].headers["traceparent"] == "00-ab-cd-01"
    assert up.received[0].headers["accept-encoding"] == "identity"
    assert up.received[0].headers["user-agent"].startswith("modelroute/")


async def test_a_client_gets_only_the_headers_of_a_list(plane: Plane) -> None:
    script = answers(
        set_cookie="a=1",
        server="uvicorn",
        x_ratelimit_limit_requests="9",
        cache_control="no-store",
        connection="keep-alive",
    )
    await plane.route(backend("small", await plane.upstream(script), weight=1))
    assert set((await plane.chat()).headers) == {
        "content-type", "content-length", "x-ratelimit-limit-requests", "cache-control",
        "x-request-id", "x-modelroute-backend", "x-modelroute-model", "x-modelroute-reason", "x-modelroute-attempts",
    }  # fmt: skip


async def test_an_answer_tells_who_gave_it_and_why(plane: Plane) -> None:
    rule = Rule("code", When(any_keyword=("def ",)), ("big",))
    small, big = await plane.upstream(), await plane.upstream()
    await plane.route(backend("small", small, weight=1), backend("big", big), rules=(rule,))
    plain, code = await plane.chat("hi"), await plane.chat("def fib(n): ...")
    assert (plain.backend, plain.reason, plain.headers["x-modelroute-attempts"]) == ("small", "weight 1", "1")
    assert (code.backend, code.reason) == ("big", "rule code")


async def test_a_request_id_of_the_clients_is_kept(plane: Plane) -> None:
    await plane.route(backend("small", await plane.upstream(), weight=1))
    assert (await plane.chat(headers={"x_request_id": "abc-1"})).headers["x-request-id"] == "abc-1"


@pytest.mark.parametrize("odd", ["", "a b", "x" * 129, "caf\u00e9"])
async def test_a_request_id_that_is_not_sane_is_replaced(plane: Plane, odd: str) -> None:
    up = await plane.upstream()
    await plane.route(backend("small", up, weight=1))
    made = (await plane.chat(headers={"x_request_id": odd})).headers["x-request-id"]
    assert made
    assert made != odd
    assert up.received[0].headers["x-request-id"] == made


async def test_users_and_tiers_come_from_trusted_headers(plane: Plane) -> None:
    rule = Rule("vip", When(tiers=("vip",)), ("big",))
    small, big = await plane.upstream(), await plane.upstream()
    backends = backend("small", small, weight=1), backend("big", big)
    await plane.route(*backends, rules=(rule,), tier_header="x-tier")
    assert (await plane.chat(headers={"x_tier": "vip"})).backend == "big"
    await plane.route(*backends, rules=(rule,))
    assert (await plane.chat(headers={"x_tier": "vip"})).backend == "small"


async def test_connections_to_a_backend_are_kept(plane: Plane) -> None:
    up = await plane.upstream()
    await plane.route(backend("small", up, weight=1))
    for _ in range(3):
        await plane.chat()
    assert [r.connection for r in up.received] == [1, 1, 1]


async def test_requests_go_to_the_endpoint_with_the_fewest_in_flight(plane: Plane) -> None:
    async def holds(received: Received, wire: Wire) -> None:
        await release.wait()
        await answers()(received, wire)

    release = asyncio.Event()
    ups = [await plane.upstream(holds), await plane.upstream(holds)]
    await plane.route(backend("small", *ups, weight=1))
    asked = [asyncio.create_task(plane.chat()) for _ in range(8)]
    await asyncio.gather(*(up.seen(4) for up in ups))
    release.set()
    assert {reply.status for reply in await asyncio.gather(*asked)} == {200}


async def test_a_body_that_came_in_chunks_goes_on_with_its_length(plane: Plane) -> None:
    up = await plane.upstream()
    await plane.route(backend("small", up, weight=1))
    client = await plane.connect()
    body = chat()
    client.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: r\r\ntransfer-encoding: chunked\r\n\r\n")
    client.send(
        b"%x\r\n%b\r\n" % (10, body[:10]) + b"%x;ext=1\r\n%b\r\n0\r\nx: y\r\n\r\n" % (len(body) - 10, body[10:])
    )
    assert (await client.reply()).status == 200
    assert up.received[0].json == json.loads(body)


async def test_an_answer_without_a_length_ends_with_its_connection(plane: Plane) -> None:
    script = sends(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{}", then_close=True)
    await plane.route(backend("small", await plane.upstream(script), weight=1))
    assert (await plane.chat()).body == b"{}"


async def test_announcements_before_an_answer_are_passed_over(plane: Plane) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
    await plane.route(backend("small", await plane.upstream(sends(early)), weight=1))
    reply = await plane.chat()
    assert (reply.status, reply.body) == (200, b"{}")


async def test_a_long_answer_passes_whole(plane: Plane) -> None:
    long = b'{"data":"' + b"x" * 3_000_000 + b'"}'
    await plane.route(backend("small", await plane.upstream(answers(long)), weight=1))
    reply = await plane.chat()
    assert reply.whole
    assert reply.body == long


async def test_a_client_is_not_asked_for_a_body_before_it_has_its_earlier_answers(plane: Plane) -> None:
    await plane.route(backend("small", await plane.upstream(), weight=1))
    client = await plane.connect()
    first = http("POST", "/v1/chat/completions", chat())
    second = http("POST", "/v1/chat/completions", expect="100-continue", content_length=str(len(chat())))
    client.send(first + second)
    assert (await client.reply()).status == 200
    client.send(chat())
    assert (await client.reply()).status == 200


async def test_heads_are_measured_one_by_one(plane: Plane) -> None:
    await plane.route(backend("small", weight=1), limits=Limits(head=300))
    client = await plane.connect()
    for _ in range(10):
        client.send(http("GET", "/healthz", x="y" * 100))
        assert (await client.reply()).status == 200
