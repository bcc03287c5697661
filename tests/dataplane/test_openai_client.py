"""The official OpenAI clients for Python, Node and Go, against a running router."""

import asyncio
import base64
import json
import struct
from typing import Any

import pytest

from modelroute.router.flow.deadline import Deadline
from modelroute.snapshot.types import Health, Limits, Retry
from tests.dataplane.clientkeys import AUTH, KEY, keys
from tests.dataplane.conftest import Plane, backend, times
from tests.dataplane.official import LANGUAGES, Found, ask
from tests.fakes.upstream import DONE, OPENER, Received, Script, Wire, answers, silent, streams, text

each_client = pytest.mark.parametrize("language", LANGUAGES)
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
HEAD = {"id": "1", "object": "chat.completion", "created": 1, "model": "qwen"}
CHAT = HEAD | {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}],
    "usage": USAGE,
}
COMPLETION = HEAD | {"choices": [{"index": 0, "text": "Hello.", "finish_reason": "stop"}], "usage": USAGE}
COUNTED = b"data: " + json.dumps(HEAD | {"choices": [], "usage": USAGE}).encode() + b"\n\n"
RESPONSE: dict[str, Any] = {
    "id": "r", "object": "response", "created_at": 1, "model": "qwen", "status": "completed",
    "output": [
        {"type": "message", "id": "m", "role": "assistant", "status": "completed",
         "content": [{"type": "output_text", "text": "Hello.", "annotations": []}]},
    ],
    "usage": {
        "input_tokens": 3, "output_tokens": 2, "total_tokens": 5,
        "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0},
    },
}  # fmt: skip


def named(event: dict[str, Any]) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def delta(said: str) -> bytes:
    where = {"item_id": "m", "output_index": 0, "content_index": 0, "sequence_number": 1, "logprobs": []}
    return named({"type": "response.output_text.delta", "delta": said, **where})


async def embeds(request: Received, wire: Wire) -> None:
    """A vector in the form that the client asks for."""
    vector: Any = [0.5, -1.0]
    if request.json.get("encoding_format") == "base64":
        vector = base64.b64encode(struct.pack("<2f", *vector)).decode()
    data = [{"object": "embedding", "index": 0, "embedding": vector}]
    usage = {"prompt_tokens": 5, "total_tokens": 5}
    await answers({"object": "list", "model": "qwen", "data": data, "usage": usage})(request, wire)


ANSWERED: dict[str, tuple[Script, str, list[int]]] = {
    "chat": (answers(CHAT), "Hello.", [5]),
    "stream": (streams(OPENER, text("Hel"), text("lo."), COUNTED, DONE), "Hello.", []),
    "streamUsage": (streams(OPENER, text("Hel"), text("lo."), COUNTED, DONE), "Hello.", [5]),
    "completions": (answers(COMPLETION), "Hello.", [5]),
    "embeddings": (embeds, "[0.5, -1.0]", [5]),
    "responses": (answers(RESPONSE), "Hello.", [5]),
    "responsesStream": (
        streams(delta("Hel"), delta("lo."), named({"type": "response.completed", "response": RESPONSE})),
        "Hello.",
        [5],
    ),
    "transcription": (answers({"text": "Hello."}), "Hello.", []),
}


async def asked(plane: Plane, language: str, what: str, **more: Any) -> Found:
    assert plane.router is not None
    return await ask(language, what, plane.router.port, **more)


def raised(found: Found, **wanted: Any) -> None:
    assert found.raised is not None
    assert {name: found.raised[name] for name in wanted} == wanted


@each_client
@pytest.mark.parametrize("what", ANSWERED)
async def test_each_call_is_answered(plane: Plane, language: str, what: str) -> None:
    script, said, usage = ANSWERED[what]
    up = await plane.upstream(script)
    await plane.route(backend("small", up, weight=1, model="qwen"))
    found = await asked(plane, language, what)
    same = json.loads(found.said) == json.loads(said) if what == "embeddings" else found.said == said
    assert same, found
    assert (found.usage, found.raised) == (usage, None)
    sent = up.received[0]
    if what == "transcription":
        assert b'name="model"' in sent.body
        assert b"qwen\r\n" in sent.body
        assert b"RIFF-some-sound" in sent.body
    else:
        assert sent.json["model"] == "qwen"


@each_client
async def test_models_are_listed(plane: Plane, language: str) -> None:
    await plane.route(backend("small", weight=1), models=("chat", "code"))
    assert (await asked(plane, language, "models")).said == "chat code"


# Errors.


@each_client
async def test_an_unknown_model(plane: Plane, language: str) -> None:
    await plane.route(backend("small", await plane.upstream(), weight=1))
    found = await asked(plane, language, "unknown")
    raised(found, status=404, code="model_not_found", type="invalid_request_error", param="model")


@each_client
async def test_nobody_who_could_answer(plane: Plane, language: str) -> None:
    await plane.route(backend("small", weight=1))
    found = await asked(plane, language, "chat")
    raised(found, status=503, code="no_ready_backend", type="overloaded_error")
    assert int((found.raised or {})["wait"]) > 0


@each_client
async def test_a_key_that_is_not_known_and_one_that_is(plane: Plane, language: str) -> None:
    keys(plane)
    await plane.route(backend("small", await plane.upstream(answers(CHAT)), weight=1), auth=AUTH)
    raised(await asked(plane, language, "chat"), status=401, code="invalid_api_key", type="authentication_error")
    assert (await asked(plane, language, "chat", key=KEY)).said == "Hello."


LIMITED = answers(
    {"error": {"message": "slowly", "type": "requests", "code": "rate_limit_exceeded"}}, 429, retry_after="1"
)


@each_client
async def test_a_rate_limit_tells_when_to_come_back_and_the_client_does(plane: Plane, language: str) -> None:
    up = await plane.upstream(LIMITED, answers(CHAT))
    await plane.route(backend("small", up, weight=1), retry=Retry(attempts=1))
    assert (await asked(plane, language, "chat", retries=1)).said == "Hello."
    assert len(up.received) == 2


@each_client
async def test_a_rate_limit_that_stays(plane: Plane, language: str) -> None:
    await plane.route(backend("small", await plane.upstream(LIMITED), weight=1), retry=Retry(attempts=1))
    raised(await asked(plane, language, "chat"), status=429, code="rate_limit_exceeded", wait="1")


# Two layers that both retry, and both have a clock.


@each_client
async def test_the_router_tries_less_often_when_the_client_tries_itself(plane: Plane, language: str) -> None:
    up = await plane.upstream(answers({"error": {"message": "broken"}}, 500))
    retry = Retry(attempts=3, min_wait=0.01, max_wait=0.02, budget_floor=10)
    await plane.route(backend("small", up, weight=1, health=Health(consecutive_failures=100)), retry=retry)
    raised(await asked(plane, language, "chat", retries=1), status=500)
    assert len(up.received) == 3 + 2


@pytest.mark.parametrize(("seconds", "answered"), [(2, 1.8), (20, 19.5)])
def test_the_router_answers_a_tenth_or_half_a_second_before_its_client_gives_up(seconds: int, answered: float) -> None:
    said = {b"x-stainless-read-timeout": b"%d" % seconds}
    assert Deadline(said, None, 0.0).silence == pytest.approx(answered)


@each_client
@pytest.mark.parametrize("what", ["chat", "stream"])
async def test_the_router_answers_before_its_client_gives_up(
    plane: Plane, language: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here by 2 s, so that it is before even where both get no time for one; how much before is told above."""
    monkeypatch.setattr("modelroute.router.flow.deadline._before", lambda seconds: seconds / 2)
    up = await plane.upstream(silent)
    await plane.route(backend("small", up, weight=1, timeouts=times(first_token_whole=60, first_token_streamed=60)))
    raised(await asked(plane, language, what, seconds=4), status=504, code="timeout", type="timeout_error")
    await asyncio.wait_for(up.left(), 10)


# Streams that do not come to their end.


@each_client
@pytest.mark.parametrize(("what", "began"), [("stream", OPENER + text("Hel")), ("responsesStream", delta("Hel"))])
async def test_a_stream_that_breaks_is_an_error_and_not_a_short_answer(
    plane: Plane, language: str, what: str, began: bytes
) -> None:
    async def breaks(_: Received, wire: Wire) -> None:
        wire.stream()
        wire.chunk(began)
        await wire.writer.drain()
        wire.writer.close()

    await plane.route(backend("small", await plane.upstream(breaks), weight=1))
    found = await asked(plane, language, what)
    assert found.said == "Hel"
    assert "connection to the backend was lost" in (found.raised or {})["message"]


@each_client
async def test_a_client_that_leaves_a_stream_ends_it_at_the_backend(plane: Plane, language: str) -> None:
    async def goes_on(_: Received, wire: Wire) -> None:
        wire.stream()
        wire.chunk(OPENER + text("Hel"))
        await wire.gone()

    up = await plane.upstream(goes_on)
    await plane.route(backend("small", up, weight=1, limits=Limits(max_in_flight=1)))
    assert (await asked(plane, language, "leave")).said == "Hel"
    await asyncio.wait_for(up.left(), 10)
    assert (await asked(plane, language, "leave")).said == "Hel"
