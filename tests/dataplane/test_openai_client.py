"""The official client, against a running router."""

import openai
import pytest

from modelroute.snapshot.types import Rule, When
from tests.dataplane.conftest import Plane, backend
from tests.fakes.upstream import DONE, OPENER, Received, Wire, answers, streams, text

WHOLE = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "qwen",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}


def client_of(plane: Plane) -> openai.AsyncOpenAI:
    assert plane.router is not None
    return openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{plane.router.port}/v1", api_key="any", max_retries=0)


async def test_a_whole_answer(plane: Plane) -> None:
    await plane.route(backend("small", await plane.upstream(answers(WHOLE)), weight=1))
    async with client_of(plane) as client:
        answer = await client.chat.completions.create(model="chat", messages=[{"role": "user", "content": "hi"}])
    assert answer.choices[0].message.content == "Hello."
    assert answer.usage is not None
    assert answer.usage.total_tokens == 5


async def test_a_stream_and_the_headers_that_tell_who_answered(plane: Plane) -> None:
    rule = Rule("code", When(any_keyword=("def ",)), ("big",))
    small, big = await plane.upstream(), await plane.upstream(streams(OPENER, text("a"), text("b"), DONE))
    await plane.route(backend("small", small, weight=1), backend("big", big), rules=(rule,))
    async with client_of(plane) as client:
        raw = await client.chat.completions.with_raw_response.create(
            model="chat",
            messages=[{"role": "user", "content": [{"type": "text", "text": "def f(): ..."}]}],
            stream=True,
        )
        pieces = [chunk.choices[0].delta.content async for chunk in raw.parse()]
    assert pieces == ["", "a", "b"]
    assert raw.headers["x-modelroute-reason"] == "rule code"


async def test_models(plane: Plane) -> None:
    await plane.route(backend("small", weight=1), models=("chat", "code"))
    async with client_of(plane) as client:
        assert [model.id async for model in client.models.list()] == ["chat", "code"]
        assert (await client.models.retrieve("code")).owned_by == "team/chat"


async def test_errors_are_the_clients_own_kinds(plane: Plane) -> None:
    await plane.route(backend("small", weight=1))
    async with client_of(plane) as client:
        with pytest.raises(openai.NotFoundError) as found:
            await client.chat.completions.create(model="chatt", messages=[{"role": "user", "content": "hi"}])
        with pytest.raises(openai.InternalServerError) as unready:
            await client.chat.completions.create(model="chat", messages=[{"role": "user", "content": "hi"}])
    assert (found.value.code, found.value.param) == ("model_not_found", "model")
    assert unready.value.type == "overloaded_error"


async def test_a_stream_that_breaks_is_an_error_and_not_a_short_answer(plane: Plane) -> None:
    async def breaks(_: Received, wire: Wire) -> None:
        wire.stream()
        wire.chunk(OPENER + text("a"))
        await wire.writer.drain()
        wire.writer.close()

    await plane.route(backend("small", await plane.upstream(breaks), weight=1))
    pieces = []
    async with client_of(plane) as client:
        stream = await client.chat.completions.create(
            model="chat", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        with pytest.raises(openai.APIError, match="connection to the backend was lost"):
            pieces += [chunk.choices[0].delta.content async for chunk in stream]
