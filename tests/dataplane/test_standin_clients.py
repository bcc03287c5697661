"""The stand-in as clients meet it: the official OpenAI client, and plain HTTP in its less common forms."""

import json
import socket
from collections.abc import Iterator

import anthropic
import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam

from tests.fakes.standin import Standin, standin

HI: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello, what is a route?"}]


def client(server: Standin, key: str = "any") -> OpenAI:
    return OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0, timeout=20)


@pytest.fixture(scope="module")
def engine() -> Iterator[Standin]:
    with standin("--served-model-name", "small", "--max-model-len", "64") as server:
        yield server


@pytest.fixture(scope="module")
def hosted() -> Iterator[Standin]:
    flags = (
        "--served-model-name",
        "big",
        "--max-model-len",
        "64",
        "--standin-role",
        "openai",
        "--standin-api-key",
        "right",
    )
    with standin(*flags) as server:
        yield server


@pytest.mark.parametrize("role", ["engine", "hosted"])
def test_the_official_client_reads_answers_whole_and_streamed(role: str, request: pytest.FixtureRequest) -> None:
    api = client(request.getfixturevalue(role), key="right")
    model = api.models.list().data[0].id
    whole = api.chat.completions.create(model=model, messages=HI)
    assert whole.usage is not None
    assert whole.usage.prompt_tokens == 11
    with api.chat.completions.create(
        model=model, messages=HI, stream=True, stream_options={"include_usage": True}
    ) as chunks:
        *parts, last = list(chunks)
    assert "".join(part.choices[0].delta.content or "" for part in parts) == whole.choices[0].message.content
    assert parts[-1].choices[0].finish_reason == whole.choices[0].finish_reason == "stop"
    assert last.usage is not None
    assert last.usage.completion_tokens == whole.usage.completion_tokens


@pytest.mark.parametrize("role", ["engine", "hosted"])
def test_the_official_client_reads_text_completions(role: str, request: pytest.FixtureRequest) -> None:
    api = client(request.getfixturevalue(role), key="right")
    model = api.models.list().data[0].id
    whole = api.completions.create(model=model, prompt="Once upon a time", max_tokens=5)
    with api.completions.create(model=model, prompt="Once upon a time", max_tokens=5, stream=True) as chunks:
        parts = [chunk.choices[0] for chunk in chunks]
    assert "".join(part.text for part in parts) == whole.choices[0].text
    assert parts[-1].finish_reason == whole.choices[0].finish_reason == "length"


def test_the_official_client_knows_a_hosted_apis_errors_by_their_codes(hosted: Standin) -> None:
    api = client(hosted, key="right")
    with pytest.raises(openai.NotFoundError) as unknown:
        api.chat.completions.create(model="nope", messages=HI)
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as long:
        api.chat.completions.create(model="big", messages=[{"role": "user", "content": "a " * 99}])
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(openai.AuthenticationError) as wrong:
        client(hosted, key="wrong").models.list()
    assert wrong.value.code == "invalid_api_key"


def test_the_official_client_reads_embeddings_which_it_asks_for_in_base64() -> None:
    with standin("--served-model-name", "e", "--runner", "pooling") as server:
        found = client(server).embeddings.create(model="e", input=["Hello world", "Hello world"])
    assert len(found.data[0].embedding) == 64
    assert found.data[0].embedding == found.data[1].embedding


@pytest.mark.parametrize("role", ["engine", "hosted"])
def test_the_official_client_reads_responses_whole_and_streamed(role: str, request: pytest.FixtureRequest) -> None:
    api = client(request.getfixturevalue(role), key="right")
    model = api.models.list().data[0].id
    whole = api.responses.create(model=model, input="Hello, what is a route?", max_output_tokens=3)
    assert whole.usage is not None
    assert (whole.status, whole.usage.input_tokens, whole.usage.output_tokens) == ("incomplete", 11, 3)
    with api.responses.stream(model=model, input="Hello, what is a route?") as events:
        told = events.get_final_response()
    assert told.status == "completed"
    assert told.output_text.startswith(whole.output_text)


def test_the_official_anthropic_client_reads_messages_whole_streamed_and_refused(engine: Standin) -> None:
    hello: anthropic.types.MessageParam = {"role": "user", "content": "Hello, what is a route?"}
    with anthropic.Anthropic(base_url=engine.url, api_key="any", max_retries=0, timeout=20) as api:
        whole = api.messages.create(model="small", max_tokens=50, messages=[hello])
        with api.messages.stream(model="small", max_tokens=50, messages=[hello]) as stream:
            told = stream.get_final_message()
        with pytest.raises(anthropic.NotFoundError) as unknown:
            api.messages.create(model="nope", max_tokens=50, messages=[hello])
    assert (whole.stop_reason, whole.usage.input_tokens) == ("end_turn", 11)
    texts = [[block.text for block in each.content if block.type == "text"] for each in (whole, told)]
    assert texts[0] == texts[1]
    assert (told.usage, told.stop_reason) == (whole.usage, whole.stop_reason)
    assert isinstance(unknown.value.body, dict)
    assert unknown.value.body["error"]["type"] == "NotFoundError"


def test_the_official_client_reads_what_was_heard(engine: Standin) -> None:
    heard = client(engine).audio.transcriptions.create(model="small", file=("a.wav", b"\r\nRIFF\r\n"))
    assert heard.text.startswith('This is small on "8 bytes of sound"')
    with pytest.raises(openai.NotFoundError):
        client(engine).audio.transcriptions.create(model="nope", file=("a.wav", b"RIFF"))


def test_texts_are_ranked_and_scored_by_the_words_that_they_share() -> None:
    with standin("--served-model-name", "e", "--runner", "pooling") as server:
        ask = {"query": "sort a list", "documents": ["weather in Paris", "how to sort a list"], "top_n": 1}
        ranked = json.loads(server.ask("POST", "/v1/rerank", ask)[1])
        scored = json.loads(server.ask("POST", "/v1/score", {"text_1": "sort", "text_2": ["sort", "Paris"]})[1])
        refused = server.ask("POST", "/v1/score", {"text_1": ["a", "b"], "text_2": ["a", "b", "c"]})[0]
    assert [result["index"] for result in ranked["results"]] == [1]
    assert scored["data"][0]["score"] > scored["data"][1]["score"]
    assert refused == 400


def test_a_body_in_chunks_is_read_like_one_with_a_length(engine: Standin) -> None:
    body = json.dumps({"messages": HI, "max_tokens": 1}).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    cut = b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (7, body[:7], len(body) - 7, body[7:])
    assert b'"prompt_tokens":11' in engine.send(head + cut).until(b'"metrics":null}')


def test_a_client_of_http_1_0_gets_a_stream_without_chunks_and_an_end(engine: Standin) -> None:
    body = json.dumps({"messages": HI, "max_tokens": 1, "stream": True}).encode()
    head = b"POST /v1/chat/completions HTTP/1.0\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(
        body
    )
    reader = engine.send(head + body)
    received = reader.until(b"data: [DONE]\n\n")
    assert b"connection: close\r\n" in received
    assert b"transfer-encoding" not in received
    assert received.endswith(b"[DONE]\n\n")
    assert reader.socket.recv(1) == b""


def test_a_head_request_gets_no_body_and_the_connection_goes_on(engine: Standin) -> None:
    reader = engine.send(b"HEAD /version HTTP/1.1\r\n\r\nGET /version HTTP/1.1\r\n\r\n")
    first, _, rest = reader.until(b'"0.32.0"}').partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 405 Method Not Allowed\r\n")
    assert b"allow: GET" in first
    assert rest.startswith(b"HTTP/1.1 200 OK\r\n")


def generated(server: Standin) -> float:
    page = server.ask("GET", "/metrics")[1]
    return next(
        float(line.split()[1]) for line in page.splitlines() if line.startswith("vllm:generation_tokens_total{")
    )


def test_a_client_that_does_not_read_is_waited_for_and_loses_nothing() -> None:
    with standin("--max-model-len", "70000") as server:
        reader = server.stream(max_tokens=60_000)
        reader.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        reader.until(b'"role":"assistant"')
        before, now = -1.0, generated(server)
        while now != before:  # until it makes no more, since nobody takes them
            before, now = now, generated(server)
        assert now < 60_000
        assert reader.until(b"data: [DONE]\n\n").count(b'"content":') == 60_001
