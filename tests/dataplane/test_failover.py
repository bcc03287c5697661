"""What happens when the chosen backend does not answer: who is asked next, and what the client is told in the end."""

import asyncio

import pytest

from modelroute.api.types import FailureKind
from modelroute.snapshot.types import Backend, Fallback
from tests.dataplane.conftest import TIMES, Plane, backend, times
from tests.dataplane.faults import blackhole, nobody
from tests.fakes.client import chat, http
from tests.fakes.upstream import (
    DONE,
    OPENER,
    Received,
    Script,
    Upstream,
    Wire,
    answers,
    closes,
    resets,
    sends,
    silent,
    streams,
)

BAD_GATEWAY = ("api_error", "upstream_error")


ALL: tuple[FailureKind, ...] = ("ConnectFailure", "Timeout", "RateLimited", "ServerError")


async def route(plane: Plane, first: Backend, big: Upstream, *on: FailureKind) -> None:
    """A route to ``first`` whose fallback is ``big``."""
    await plane.route(first, backend("big", big), fallbacks=(Fallback("big", on or ALL),))


QUICK = times(first_token_streamed=0.05, first_token_whole=0.05, stream_idle=0.05)
EMPTY_STREAM = sends(
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
)
LATE = sends(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{")
ERROR_EVENT = b'data: {"error":{"message":"no","code":500}}\n\n'


async def in_pieces(received: Received, wire: Wire) -> None:
    """A stream that is an error, and says that it is done: in packets of their own, half a line in the first."""
    wire.stream()
    for piece in (b"event: error\n", ERROR_EVENT[:9], ERROR_EVENT[9:], DONE):
        wire.chunk(piece)
        await asyncio.sleep(0.02)  # for one packet each; that they come as one would only make it easier
    wire.end()


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (resets, "ConnectFailure"),
        (closes, "ConnectFailure"),
        (sends(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{", then_close=True), "ConnectFailure"),
        (sends(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{", then_close=True), "ConnectFailure"),
        (silent, "Timeout"),
        (LATE, "Timeout"),
        (answers({"error": {}}, 429), "RateLimited"),
        (answers({"error": {}}, 500), "ServerError"),
        (answers({"error": {}}, 503), "ServerError"),
        (answers({}, 302, location="http://elsewhere/"), "ServerError"),
        (answers({"error": {"message": "no", "code": 500}}), "ServerError"),
        (answers({"id": "1", "choices": None, "error": "no"}), "ServerError"),
        (streams(ERROR_EVENT), "ServerError"),
        (streams(b": wait\n\nevent: error\n" + ERROR_EVENT, DONE), "ServerError"),
        (in_pieces, "ServerError"),
        (answers(OPENER + DONE, 500, content_type="text/event-stream"), "ServerError"),
        (EMPTY_STREAM, "ServerError"),
        (sends(b"HTTP/1.1 204 No Content\r\n\r\n"), "ServerError"),
        (sends(b"HTTP/1.1 099 What\r\ncontent-length: 0\r\n\r\n"), "ServerError"),
        (sends(b"not http at all\r\n\r\n"), "ServerError"),
        (sends(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n"), "ServerError"),
        (sends(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000), "ServerError"),
        (sends(b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"), "ServerError"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_r08_r11_r12_another_backend_takes_over(plane: Plane, script: Script, kind: str) -> None:
    big = await plane.upstream(answers({"from": "big"}))
    timeouts = QUICK if kind == "Timeout" else TIMES
    first = backend("small", await plane.upstream(script), weight=1, timeouts=timeouts)
    await route(plane, first, big)
    reply = await plane.chat()
    assert (reply.status, reply.json) == (200, {"from": "big"})
    assert (reply.backend, reply.reason, reply.headers["x-modelroute-attempts"]) == ("big", f"fallback {kind}", "2")
    assert reply.headers["x-modelroute-fallback"] == "small"
    assert await plane.metric("modelroute_fallbacks_total", from_="small", to="big", reason=kind) == 1
    assert await plane.metric("modelroute_errors_total", backend="small", type=kind) == 1


async def test_a_refused_connection_is_taken_over(plane: Plane) -> None:
    big = await plane.upstream()
    await route(plane, backend("small", await nobody(), weight=1), big)
    assert (await plane.chat()).reason == "fallback ConnectFailure"


async def test_a_connection_that_is_never_accepted_is_taken_over(
    plane: Plane, caplog: pytest.LogCaptureFixture
) -> None:
    big = await plane.upstream()
    await route(plane, backend("small", blackhole(plane), weight=1, timeouts=times(connect=0.05)), big)
    assert (await plane.chat()).reason == "fallback ConnectFailure"
    assert "it did not accept a connection in time" in caplog.text


async def test_another_endpoint_of_the_same_backend_comes_first(plane: Plane) -> None:
    good, big = await plane.upstream(), await plane.upstream()
    await route(plane, backend("small", await nobody(), good, weight=1), big)
    replies = [await plane.chat() for _ in range(40)]
    assert {(r.status, r.backend) for r in replies} == {(200, "small")}
    assert {r.headers["x-modelroute-attempts"] for r in replies} == {"1", "2"}


async def test_three_replicas_are_tried_and_no_more(plane: Plane) -> None:
    big = await plane.upstream()
    await route(plane, backend("small", *[await nobody() for _ in range(5)], weight=1), big)
    reply = await plane.chat()
    assert (reply.backend, reply.headers["x-modelroute-attempts"]) == ("big", "4")


async def test_a_failure_that_no_fallback_covers_goes_to_the_client(plane: Plane) -> None:
    big = await plane.upstream()
    await route(plane, backend("small", await nobody(), weight=1), big, "Timeout")
    reply = await plane.chat()
    assert (reply.status, (reply.error["type"], reply.error["code"])) == (502, BAD_GATEWAY)
    assert big.received == []


async def test_a_late_backend_without_a_fallback_is_a_504(plane: Plane) -> None:
    await plane.route(backend("small", await plane.upstream(silent), weight=1, timeouts=QUICK))
    reply = await plane.chat()
    assert (reply.status, reply.error["type"], reply.error["code"]) == (504, "timeout_error", "timeout")
    assert reply.backend == "small"


@pytest.mark.parametrize("stream", [True, False])
async def test_streams_and_whole_answers_have_deadlines_of_their_own(plane: Plane, stream: bool) -> None:
    streamed, whole = (0.05, 1000) if stream else (1000, 0.05)
    timeouts = times(first_token_streamed=streamed, first_token_whole=whole)
    await plane.route(backend("small", await plane.upstream(silent), weight=1, timeouts=timeouts))
    assert (await plane.chat(stream=stream)).status == 504


async def test_an_answer_that_stops_coming_is_given_up_though_a_first_byte_may_take_long(plane: Plane) -> None:
    timeouts = times(first_token_whole=1000, stream_idle=0.05)
    await plane.route(backend("small", await plane.upstream(LATE), weight=1, timeouts=timeouts))
    assert (await plane.chat()).status == 504


async def test_a_client_that_leaves_ends_the_dialing(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object) -> None:
        dialing.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    dialing, ended = asyncio.Event(), asyncio.Event()
    monkeypatch.setattr("modelroute.router.flow.attempt.dial", never)
    await plane.route(backend("small", await plane.upstream(), weight=1))
    client = await plane.connect()
    client.send(http("POST", "/v1/chat/completions", chat()))
    await dialing.wait()
    client.close()
    await ended.wait()


async def test_no_ready_backend_is_a_503_that_says_when_to_come_again(plane: Plane) -> None:
    await plane.route(backend("small", weight=1))
    reply = await plane.chat()
    assert (reply.status, reply.error["type"], reply.error["code"]) == (503, "overloaded_error", "no_ready_backend")
    assert (reply.headers["retry-after"], reply.backend, reply.reason) == ("5", "-", "no_ready_backend")


async def test_r08_the_last_error_that_a_backend_gave_is_what_the_client_sees(plane: Plane) -> None:
    busy = answers({"error": {"message": "busy", "type": "t", "param": None, "code": 503}}, 503)
    first = backend("small", await plane.upstream(busy), weight=1)
    gone = backend("big", await nobody())
    await plane.route(first, gone, fallbacks=(Fallback("big", ("ServerError",)),))
    reply = await plane.chat()
    assert (reply.status, reply.error["message"], reply.backend) == (503, "busy", "small")


async def test_a_429_is_passed_on_with_its_wait(plane: Plane) -> None:
    script = answers({"error": {"message": "slow down"}}, 429, retry_after="7", x_ratelimit_remaining_requests="0")
    await plane.route(backend("small", await plane.upstream(script), weight=1))
    reply = await plane.chat()
    assert (reply.status, reply.headers["retry-after"]) == (429, "7")
    assert reply.error == {
        "message": "slow down", "type": "rate_limit_error", "param": None, "code": "rate_limit_exceeded",
    }  # fmt: skip


async def test_an_error_has_the_routers_content_type_alone(plane: Plane) -> None:
    up = await plane.upstream(answers(b"<html>", 400, content_type="text/html", cache_control="max-age=9"))
    await plane.route(backend("small", up, weight=1))
    client = await plane.connect()
    client.send(http("POST", "/v1/chat/completions", chat()))
    head = await client.reader.readuntil(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if line.startswith((b"content-type", b"cache-control"))]
    assert lines == [b"content-type: application/json"]


@pytest.mark.parametrize("status", [400, 404, 409, 422])
async def test_r10_a_backends_own_4xx_is_passed_on_and_not_retried(plane: Plane, status: int) -> None:
    error = {"message": "too long", "type": "BadRequestError", "param": "input_tokens", "code": None}
    big = await plane.upstream()
    first = backend("small", await plane.upstream(answers({"error": error}, status)), weight=1)
    await route(plane, first, big)
    reply = await plane.chat()
    assert (reply.status, reply.error) == (status, error)
    assert big.received == []


async def test_a_kept_connection_that_had_been_closed_is_no_failure(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelroute.router.flow.attempt._STALE_SECONDS", 1000)
    up = await plane.upstream(answers(), closes, answers())
    await plane.route(backend("small", up, weight=1))
    assert [(await plane.chat()).status for _ in range(2)] == [200, 200]
    assert [r.connection for r in up.received] == [1, 1, 2]
    assert await plane.metric("modelroute_errors_total", backend="small") == 0


async def test_a_kept_connection_that_breaks_in_an_answer_is_one(plane: Plane) -> None:
    up = await plane.upstream(answers(), sends(b"HTTP/1.1 200 OK\r\ncont", then_close=True), answers())
    await plane.route(backend("small", up, weight=1))
    assert [(await plane.chat()).status for _ in range(2)] == [200, 502]
    assert len(up.received) == 2


async def test_a_fresh_connection_is_not_tried_twice(plane: Plane) -> None:
    up = await plane.upstream(closes)
    await plane.route(backend("small", up, weight=1))
    assert (await plane.chat()).status == 502
    assert len(up.received) == 1


async def test_r13_a_second_answer_that_nobody_asked_for_is_dropped(plane: Plane) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n"
    up = await plane.upstream(sends(head + b'{"n":1}' + head + b'{"n":2}'), sends(head + b'{"n":3}'))
    await plane.route(backend("small", up, weight=1))
    assert [(await plane.chat()).json for _ in range(2)] == [{"n": 1}, {"n": 3}]
    assert [r.connection for r in up.received] == [1, 2]


async def test_r13_bytes_on_an_idle_connection_close_it(plane: Plane) -> None:
    stray = asyncio.Event()

    async def answers_and_more(received: Received, wire: Wire) -> None:
        await answers()(received, wire)
        await stray.wait()
        wire.raw(b"HTTP/1.1 200 OK\r\n")
        await wire.gone()
        closed.set()

    closed = asyncio.Event()
    up = await plane.upstream(answers_and_more, answers({"n": 2}))
    await plane.route(backend("small", up, weight=1))
    await plane.chat()
    stray.set()
    await closed.wait()
    assert (await plane.chat()).json == {"n": 2}


async def test_slots_are_given_back_however_a_request_ends(plane: Plane) -> None:
    up = await plane.upstream(resets, answers(), silent, answers({}, 500), answers({}, 400), streams())
    timeouts = times(first_token_streamed=2, first_token_whole=2)
    router = await plane.route(backend("small", up, weight=1, timeouts=timeouts))
    statuses = [(await plane.chat()).status for _ in range(6)]
    assert statuses == [502, 200, 504, 500, 400, 200]
    assert router.live.route is not None
    assert router.live.route.targets["small"].endpoints[0].in_flight == 0


async def test_a_client_that_leaves_frees_its_slot_and_its_backend(plane: Plane) -> None:
    cancelled = asyncio.Event()

    async def waits(_: Received, wire: Wire) -> None:
        await wire.gone()
        cancelled.set()

    up = await plane.upstream(waits)
    await plane.route(backend("small", up, weight=1))
    client = await plane.connect()
    client.send(http("POST", "/v1/chat/completions", chat()))
    await up.seen(1)
    assert await plane.metric("modelroute_requests_in_flight", backend="small") == 1
    client.close()
    await cancelled.wait()
    assert await plane.metric("modelroute_requests_in_flight", backend="small") == 0
    assert await plane.metric("modelroute_requests_total", backend="small", code="499") == 1
