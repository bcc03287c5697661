"""What a request costs a key's tokens: its real usage, what was reserved where nobody tells, nothing where none worked.

The keys' clock stands still, so that no token comes back and each number is exact.
"""

import json
from typing import Any

import pytest

from modelroute.snapshot.types import Parameters
from tests.dataplane.clientkeys import BEARER, BODY, KEY, locked, opened
from tests.dataplane.conftest import Plane, backend, times
from tests.dataplane.faults import asking, begins, blackhole, nobody, until
from tests.fakes.client import chat
from tests.fakes.upstream import Script, Upstream, answers, silent, streams, text

MOST = 10_000
PROMPT = "x" * 20_000
REAL = {"input_tokens": 3000, "output_tokens": 500}
ECHO = {"metadata": {"usage": {"total_tokens": 0}}, "user": "usage"}
"""What a client sent and a backend gives back."""


def reserved(**fields: Any) -> int:
    """Tokens that are reserved for a chat of the long prompt."""
    return len(chat(content=PROMPT, **fields)) // 4


def stop_the_clock(plane: Plane) -> None:
    assert plane.router is not None
    assert plane.router.live.route is not None
    assert plane.router.live.route.clients is not None
    plane.router.live.route.clients._clock = lambda: 0.0


async def counted(plane: Plane, *scripts: Script) -> Upstream:
    """A route whose first key has so many tokens, and gets none back."""
    up = await opened(plane, scripts=scripts, limits={"tokensPerMinute": MOST})
    stop_the_clock(plane)
    return up


async def charged(plane: Plane) -> int:
    """What the requests so far have cost, as the answer to one more tells."""
    reply = await plane.chat(headers=BEARER)
    return MOST - int(reply.headers["x-ratelimit-remaining-tokens"]) - len(BODY) // 4


class TestWhoLeaves:
    async def test_before_the_answer_has_cost_the_prompt(self, plane: Plane) -> None:
        up = await counted(plane, silent, answers())
        client = await asking(plane, PROMPT, BEARER)
        await up.seen(1)
        client.close()
        await up.left()
        assert await charged(plane) == reserved()

    async def test_in_the_middle_has_cost_the_prompt_and_the_texts_that_came(self, plane: Plane) -> None:
        up = await counted(plane, begins(silent), answers())
        client = await asking(plane, PROMPT, BEARER, stream=True)
        await client.head()
        while text("a") not in await client.chunk():
            pass
        client.close()
        await up.left()
        assert await charged(plane) == reserved(stream=True) + 1

    async def test_before_it_was_sent_has_cost_nothing(self, plane: Plane) -> None:
        up = await counted(plane)
        await locked(plane, backend("small", blackhole(plane), weight=1))
        assert plane.router is not None
        assert plane.router.live.route is not None
        (endpoint,) = plane.router.live.route.targets["small"].endpoints
        client = await asking(plane, PROMPT, BEARER)
        await until(lambda: endpoint.in_flight == 1)
        client.close()
        await until(lambda: endpoint.in_flight == 0)
        await locked(plane, backend("small", up, weight=1))
        assert await charged(plane) == 0


class TestFailures:
    async def test_a_backend_that_cannot_be_reached_costs_nothing(self, plane: Plane) -> None:
        await counted(plane)
        await locked(plane, backend("small", await nobody(), weight=1))
        assert (await plane.chat(PROMPT, BEARER)).status == 502
        assert await charged(plane) == 0

    @pytest.mark.parametrize("fields", [{"model": "no"}, {"n": 0}, {"max_tokens": "x"}])
    async def test_a_request_that_is_refused_costs_nothing(self, plane: Plane, fields: dict[str, Any]) -> None:
        up = await counted(plane)
        await locked(plane, backend("small", up, weight=1, parameters=Parameters(max_max_tokens=5)))
        assert (await plane.chat(PROMPT, BEARER, **fields)).backend == "-"
        assert await charged(plane) == 0

    @pytest.mark.parametrize("status", [400, 500])
    async def test_a_backends_own_error_costs_nothing(self, plane: Plane, status: int) -> None:
        await counted(plane, answers({"error": {"message": "no"}}, status), answers())
        assert (await plane.chat(PROMPT, BEARER)).status == status
        assert await charged(plane) == 0

    async def test_a_backend_that_is_late_costs_the_prompt(self, plane: Plane) -> None:
        up = await counted(plane, silent, answers())
        await locked(plane, backend("small", up, weight=1, timeouts=times(first_token_whole=0.05)))
        assert (await plane.chat(PROMPT, BEARER)).status == 504
        await locked(plane, backend("small", up, weight=1))
        assert await charged(plane) == reserved()


class TestAnswers:
    async def test_one_that_tells_no_usage_costs_the_prompt(self, plane: Plane) -> None:
        await counted(plane, answers({"choices": []}))
        assert (await plane.chat(PROMPT, BEARER)).status == 200
        assert await charged(plane) == reserved()

    async def test_sound_that_became_text_costs_its_size(self, plane: Plane) -> None:
        await counted(plane, answers(b"hello", content_type="text/plain"), answers())
        parts = [f'--b\r\ncontent-disposition: form-data; name="{n}"\r\n\r\n' for n in ("model", "file")]
        form = f"{parts[0]}chat\r\n{parts[1]}{PROMPT}\r\n--b--\r\n".encode()
        kind = "multipart/form-data; boundary=b"
        reply = await plane.ask("POST", "/v1/audio/transcriptions", form, content_type=kind, x_api_key=KEY)
        assert reply.body == b"hello"
        assert await charged(plane) == len(form) // 4

    @pytest.mark.parametrize(
        "script",
        [
            answers({"usage": REAL, **ECHO}),
            answers({"output": "x" * 300_000, "usage": REAL, **ECHO}),
            streams(
                b"data: %b\n\n"
                % json.dumps({"type": "response.completed", "response": {"usage": REAL, **ECHO}}).encode()
            ),
        ],
        ids=["whole", "long", "streamed"],
    )
    async def test_the_clients_own_words_are_not_its_usage(self, plane: Plane, script: Script) -> None:
        await counted(plane, script, answers())
        body = json.dumps({"model": "chat", "input": "hi", "stream": True, **ECHO}).encode()
        assert (await plane.ask("POST", "/v1/responses", body, x_api_key=KEY)).status == 200
        assert await charged(plane) == sum(REAL.values())


def chunked(body: bytes) -> bytes:
    """A chat of the first key whose size is told only as it comes."""
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nx-api-key: {KEY}\r\ntransfer-encoding: chunked\r\n\r\n"
    return head.encode() + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


class TestChunked:
    async def test_a_body_that_does_not_fit_is_refused(self, plane: Plane) -> None:
        up = await counted(plane, answers({"choices": []}))
        client = await plane.connect()
        replies = []
        for _ in range(2):
            client.send(chunked(chat(content=PROMPT)))
            replies.append(await client.reply())
        assert [reply.status for reply in replies] == [200, 429]
        assert int(replies[0].headers["x-ratelimit-remaining-tokens"]) == MOST - reserved()
        assert len(up.received) == 1

    async def test_a_body_costs_what_it_took(self, plane: Plane) -> None:
        await counted(plane, answers({"usage": REAL}))
        client = await plane.connect()
        client.send(chunked(chat(content=PROMPT)))
        await client.reply()
        assert await charged(plane) == sum(REAL.values())
