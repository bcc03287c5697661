"""The stand-in as a hosted API, as a server of embeddings, and behind a key."""

import asyncio
import base64
import json
import struct
from typing import Any

import pytest

from vllm_standin.api import Api
from vllm_standin.engine import Engine
from vllm_standin.settings import parse
from vllm_standin.web import Answer, Stream
from vllm_standin.wire import Request

CHAT = "/v1/chat/completions"
HI = [{"role": "user", "content": "Hi"}]


def reply(flags: str, path: str, body: object = None, key: str = "", busy: bool = False) -> tuple[Answer, Any]:
    """One request's answer and its JSON; a stream's events as the JSON."""

    async def run() -> tuple[Answer, Any]:
        engine = Engine(parse(["serve", "m", *flags.split()], {})[0])
        if busy:
            await engine.admit(1, ["x"], "stop")
        headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
        data = b"" if body is None else json.dumps(body).encode()
        request = Request(
            "GET" if body is None else "POST", path, "", headers, data, keep_alive=True, chunks_allowed=True
        )
        given = await Api(engine.settings, engine)(request)
        if isinstance(given, Stream):
            events = [event.decode().removeprefix("data: ").strip() async for event in given.events]
            given.close()
            return Answer(200), [json.loads(event) for event in events if event != "[DONE]"]
        return given, json.loads(given.body) if given.body else None

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({"model": "nope", "messages": HI}, 404, "model_not_found", None),
        ({"messages": [{"role": "user", "content": "a " * 99}]}, 400, "context_length_exceeded", "messages"),
        ({"messages": HI, "max_tokens": 99}, 400, "invalid_value", "max_tokens"),
        ({"model": "m"}, 400, "missing_required_parameter", "messages"),
        ([], 400, "invalid_type", None),
    ],
)
def test_a_hosted_api_says_what_is_wrong_in_openais_shape(
    body: object, status: int, code: str, param: str | None
) -> None:
    answer, said = reply("--standin-role openai --max-model-len 64", CHAT, body)
    assert answer.status == status
    assert list(said["error"]) == ["message", "type", "param", "code"]
    assert (said["error"]["type"], said["error"]["code"], said["error"]["param"]) == (
        "invalid_request_error",
        code,
        param,
    )


def test_a_hosted_api_that_is_busy_says_when_to_come_back() -> None:
    answer, said = reply("--standin-role openai --max-num-queued-reqs 1", CHAT, {"messages": HI}, busy=True)
    assert (answer.status, answer.headers["retry-after"]) == (429, "1")
    assert said["error"]["code"] == "rate_limit_exceeded"


@pytest.mark.parametrize("path", ["/metrics", "/tokenize", "/version", "/load", "/ping", "/is_sleeping"])
def test_a_hosted_api_has_no_paths_of_an_engine(path: str) -> None:
    answer, said = reply("--standin-role openai", path)
    assert (answer.status, said["error"]["message"]) == (404, f"Invalid URL (GET {path})")


def test_a_hosted_api_ends_a_stream_with_a_chunk_of_its_own() -> None:
    ask = {"messages": HI, "max_tokens": 2, "stream": True, "stream_options": {"include_usage": True}}
    _, (role, *said, end, usage) = reply("--standin-role openai", CHAT, ask)
    assert role["choices"][0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert [chunk["choices"][0]["delta"]["content"] for chunk in said] == ["This", " is"]
    assert (end["choices"][0]["delta"], end["choices"][0]["finish_reason"]) == ({}, "length")
    assert {json.dumps(chunk["usage"]) for chunk in (role, *said, end)} == {"null"}
    assert (usage["choices"], usage["usage"]["completion_tokens"]) == ([], 2)


def test_a_hosted_api_answers_in_one_piece() -> None:
    _, said = reply("--standin-role openai", CHAT, {"messages": HI, "max_tokens": 2})
    assert said["choices"][0]["message"] == {
        "role": "assistant",
        "content": "This is",
        "refusal": None,
        "annotations": [],
    }
    assert (said["usage"]["total_tokens"], said["service_tier"]) == (7, "default")


@pytest.mark.parametrize(
    ("flags", "code"), [("--standin-role openai --standin-api-key right", "invalid_api_key"), ("--api-key right", None)]
)
def test_a_wrong_key_is_refused_and_not_repeated(flags: str, code: str | None) -> None:
    for key in ("", "wrong"):
        answer, said = reply(flags, "/v1/models", key=key)
        assert answer.status == 401
        assert (said["error"]["code"] if code else said) == (code or {"error": "Unauthorized"})
        assert b"wrong" not in answer.body
        assert b"right" not in answer.body
    assert reply(flags, "/v1/models", key="right")[0].status == 200
    assert reply(flags, "/health")[0].status == 200


@pytest.mark.parametrize("role", ["vllm", "openai"])
def test_embeddings_as_numbers_and_as_base64(role: str) -> None:
    flags = f"--task embed --served-model-name e --standin-role {role}"
    _, numbers = reply(flags, "/v1/embeddings", {"model": "e", "input": ["Hello world", [1, 2]]})
    _, packed = reply(flags, "/v1/embeddings", {"input": "Hello world", "encoding_format": "base64"})
    assert [entry["index"] for entry in numbers["data"]] == [0, 1]
    assert (numbers["model"], numbers["usage"]["total_tokens"]) == ("e", 4)
    vector = struct.unpack("<64f", base64.b64decode(packed["data"][0]["embedding"]))
    assert numbers["data"][0]["embedding"] == pytest.approx(vector, abs=1e-6)


def test_a_server_of_embeddings_does_not_chat_and_refuses_what_is_too_long() -> None:
    assert reply("--task embed", CHAT, {"messages": HI})[0].status == 404
    answer, _ = reply("--task embed --max-model-len 4", "/v1/embeddings", {"input": "a b c d e"})
    assert answer.status == 400


@pytest.mark.parametrize("path", [CHAT, "/v1/completions"])
def test_a_server_of_embeddings_knows_no_chats(path: str) -> None:
    answer, said = reply("--task embed", path, {"model": "m", "messages": HI})
    assert (answer.status, said) == (404, {"detail": "Not Found"})
