"""The official Anthropic client for Python, against a running router."""

import asyncio
import json
from typing import Any

import anthropic
import pytest

from modelroute.snapshot.types import Retry
from tests.dataplane.clientkeys import AUTH, KEY, keys
from tests.dataplane.conftest import Plane, backend, times
from tests.fakes.upstream import Received, Wire, answers, silent, streams

MESSAGE: dict[str, Any] = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "qwen", "stop_sequence": None,
    "content": [{"type": "text", "text": "Hello."}], "stop_reason": "end_turn",
    "usage": {"input_tokens": 3, "output_tokens": 2},
}  # fmt: skip
BEGUN: list[dict[str, Any]] = [
    {"type": "message_start", "message": MESSAGE | {"content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello."}},
]
ENDED: list[dict[str, Any]] = [
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 2},
    },
    {"type": "message_stop"},
]


def events(told: list[dict[str, Any]]) -> list[bytes]:
    return [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in told]


def client_of(plane: Plane, key: str = "any", **more: Any) -> anthropic.AsyncAnthropic:
    assert plane.router is not None
    url = f"http://127.0.0.1:{plane.router.port}"
    return anthropic.AsyncAnthropic(base_url=url, api_key=key, **{"max_retries": 0, "timeout": 20, **more})


async def whole(client: anthropic.AsyncAnthropic, model: str = "chat") -> str:
    async with client:
        answer = await client.messages.create(model=model, max_tokens=9, messages=[{"role": "user", "content": "hi"}])
    assert answer.usage.output_tokens == 2
    return "".join(block.text for block in answer.content if block.type == "text")


async def streamed(client: anthropic.AsyncAnthropic, pieces: list[str]) -> anthropic.types.Message:
    hi: Any = [{"role": "user", "content": "hi"}]
    async with client, client.messages.stream(model="chat", max_tokens=9, messages=hi) as stream:
        async for piece in stream.text_stream:  # one by one: what came before a break counts
            pieces.append(piece)  # noqa: PERF401
        return await stream.get_final_message()


async def test_a_whole_answer(plane: Plane) -> None:
    up = await plane.upstream(answers(MESSAGE))
    await plane.route(backend("small", up, weight=1, model="qwen"))
    assert await whole(client_of(plane)) == "Hello."
    assert up.received[0].json["model"] == "qwen"


async def test_a_stream(plane: Plane) -> None:
    await plane.route(backend("small", await plane.upstream(streams(*events(BEGUN + ENDED))), weight=1))
    pieces: list[str] = []
    message = await streamed(client_of(plane), pieces)
    assert (pieces, message.stop_reason, message.usage.output_tokens) == (["Hello."], "end_turn", 2)


async def test_errors_are_those_that_it_knows(plane: Plane) -> None:
    keys(plane)
    limited = answers({"error": {"message": "slowly"}}, 429, retry_after="7")
    up = await plane.upstream(answers(MESSAGE), limited)
    await plane.route(backend("small", up, weight=1), auth=AUTH, retry=Retry(attempts=1))
    assert await whole(client_of(plane, KEY)) == "Hello."
    with pytest.raises(anthropic.AuthenticationError) as unknown:
        await whole(client_of(plane))
    with pytest.raises(anthropic.NotFoundError) as missing:
        await whole(client_of(plane, KEY), "chatt")
    with pytest.raises(anthropic.RateLimitError) as busy:
        await whole(client_of(plane, KEY))
    bodies = [each.value.body for each in (unknown, missing, busy)]
    assert all(isinstance(body, dict) and body["type"] == "error" for body in bodies)
    kinds = [body["error"]["type"] for body in bodies if isinstance(body, dict)]
    assert kinds == ["authentication_error", "not_found_error", "rate_limit_error"]
    assert busy.value.response.headers["retry-after"] == "7"


async def test_a_stream_that_breaks_is_an_error(plane: Plane) -> None:
    async def breaks(_: Received, wire: Wire) -> None:
        wire.stream()
        for event in events(BEGUN):
            wire.chunk(event)
        await wire.writer.drain()
        wire.writer.close()

    await plane.route(backend("small", await plane.upstream(breaks), weight=1))
    pieces: list[str] = []
    with pytest.raises(anthropic.APIStatusError, match="connection to the backend was lost"):
        await streamed(client_of(plane), pieces)
    assert pieces == ["Hello."]


async def test_the_router_answers_before_the_client_gives_up(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here by 2 s, so that it is before even where both get no time for one."""
    monkeypatch.setattr("modelroute.router.flow.deadline._before", lambda seconds: seconds / 2)
    up = await plane.upstream(silent)
    await plane.route(backend("small", up, weight=1, timeouts=times(first_token_whole=60)))
    with pytest.raises(anthropic.InternalServerError) as late:
        await whole(client_of(plane, timeout=4))
    assert late.value.status_code == 504
    await asyncio.wait_for(up.left(), 10)
