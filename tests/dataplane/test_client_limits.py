"""What clients' keys are let do: requests and tokens a minute, requests at once; and that nothing is left over."""

import asyncio
import json
import time
from collections.abc import Callable

import pytest

from tests.dataplane.clientkeys import BEARER, BODY, KEY, OTHER, get, opened
from tests.dataplane.conftest import Plane
from tests.fakes.client import http
from tests.fakes.upstream import answers, resets, silent, streams


async def answered(plane: Plane, until: Callable[[int], bool]) -> int:
    """The first status of which ``until`` holds, on one connection."""
    client = await plane.connect()
    while True:
        client.send(http("POST", "/v1/chat/completions", BODY, **BEARER))
        if until(status := (await client.reply()).status):
            return status


async def settled(plane: Plane) -> None:
    """Until the first key has nothing running: it is let in again where it may run but one request at a time."""
    assert await answered(plane, lambda status: status != 429) == 200


class TestLimits:
    async def test_requests_a_minute(self, plane: Plane) -> None:
        up = await opened(plane, limits={"requestsPerMinute": 2})
        replies = [await plane.chat(headers=BEARER) for _ in range(3)]
        assert [r.status for r in replies] == [200, 200, 429]
        assert [r.headers["x-ratelimit-remaining-requests"] for r in replies] == ["1", "0", "0"]
        assert replies[2].error["code"] == "rate_limit_exceeded"
        assert 0 < int(replies[2].headers["retry-after"]) <= 30
        assert len(up.received) == 2
        assert (await plane.chat(headers={"x-api-key": OTHER})).status == 200
        assert (await get(plane, "/v1/models", BEARER)).status == 200

    @pytest.mark.parametrize("stream", [False, True])
    async def test_tokens_a_minute(self, plane: Plane, stream: bool) -> None:
        usage = {"prompt_tokens": 4000, "completion_tokens": 1000}
        done = b'data: {"choices":[],"usage":%b}\n\ndata: [DONE]\n\n' % json.dumps(usage).encode()
        script = streams(done) if stream else answers({"choices": [], "usage": usage})
        await opened(plane, scripts=[script], limits={"tokensPerMinute": 6000})
        for _ in range(2):
            assert (await plane.chat(headers=BEARER, stream=stream)).status == 200
        reply = await plane.chat(headers=BEARER)
        assert reply.status == 429
        assert reply.headers["x-ratelimit-limit-tokens"] == "6000"
        assert int(reply.headers["retry-after"]) > 30

    @pytest.mark.parametrize("step", [-3600, 3600])
    async def test_r30_a_step_of_the_clock_neither_lets_in_nor_keeps_out(
        self, plane: Plane, monkeypatch: pytest.MonkeyPatch, step: float
    ) -> None:
        await opened(plane, limits={"requestsPerMinute": 2})
        first = await plane.chat(headers=BEARER)
        true = time.time
        monkeypatch.setattr("time.time", lambda: true() + step)
        replies = [first, *[await plane.chat(headers=BEARER) for _ in range(2)]]
        assert [r.status for r in replies] == [200, 200, 429]
        assert int(replies[2].headers["retry-after"]) <= 30


class TestNothingIsLeftOver:
    """A key that may run one request at a time can run another whatever became of the one before."""

    ONE = {"maxInFlight": 1}  # noqa: RUF012

    async def test_one_at_a_time(self, plane: Plane) -> None:
        up = await opened(plane, scripts=[silent, answers()], limits=self.ONE)
        running = asyncio.create_task(plane.chat(headers=BEARER))
        await up.seen(1)
        assert (await plane.chat(headers=BEARER)).status == 429
        running.cancel()

    @pytest.mark.parametrize("sent", [b"", b'{"model": "nope"}', b"{", BODY])
    async def test_after_an_answer(self, plane: Plane, sent: bytes) -> None:
        await opened(plane, limits=self.ONE)
        client = await plane.connect()
        client.send(http("POST", "/v1/chat/completions", sent, **BEARER))
        await client.reply()
        assert (await plane.chat(headers=BEARER)).status == 200

    async def test_r20_after_a_client_that_left_while_it_was_answered(self, plane: Plane) -> None:
        up = await opened(plane, scripts=[silent, answers()], limits=self.ONE)
        client = await plane.connect()
        client.send(http("POST", "/v1/chat/completions", BODY, **BEARER))
        await up.seen(1)
        client.close()
        await settled(plane)

    async def test_after_a_client_that_left_while_it_asked(self, plane: Plane) -> None:
        await opened(plane, limits=self.ONE)
        client = await plane.connect()
        client.send(http("POST", "/v1/chat/completions", BODY, **BEARER)[:-1])
        await answered(plane, lambda status: status == 429)
        client.close()
        await settled(plane)

    async def test_after_a_client_that_left_before_its_turn(self, plane: Plane) -> None:
        up = await opened(plane, scripts=[silent, answers()], limits=self.ONE)
        client = await plane.connect()
        for headers in ({"x-api-key": OTHER}, BEARER):
            client.send(http("POST", "/v1/chat/completions", BODY, **headers))
        await up.seen(1)
        await answered(plane, lambda status: status == 429)
        client.close()
        await settled(plane)

    async def test_after_a_body_that_was_too_large(self, plane: Plane) -> None:
        await opened(plane, limits=self.ONE)
        client = await plane.connect()
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nx-api-key: {KEY}\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        client.send(head.encode() + b"1000001\r\n" + b"x" * 0x1000001)
        assert (await client.reply()).status == 413
        await settled(plane)

    async def test_after_a_backend_that_failed(self, plane: Plane) -> None:
        await opened(plane, scripts=[resets], limits=self.ONE)
        assert [(await plane.chat(headers=BEARER)).status for _ in range(2)] == [502, 502]
