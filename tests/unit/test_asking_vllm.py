"""What is asked of one replica, in vLLM's API, and what is said of its refusals."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import msgspec
import pytest

from modelroute.controller.asking import vllm
from modelroute.controller.asking.client import Answer
from modelroute.controller.asking.vllm import ReplicaError, Timed
from modelroute.controller.asking.words import MOST_WORDS
from tests.fakes.pods import ANSWER, DEAD, NOT_FOUND, OK, FakePods
from tests.fakes.replicas import warm_up

CHAT = {"model": "small", "max_tokens": 1, "messages": [{"role": "user", "content": "ping"}]}
COMPLETION = {"model": "small", "max_tokens": 1, "prompt": "ping"}
EMBEDDING = {"model": "small", "input": "ping"}
VECTOR = Answer(200, b'{"object":"list","data":[{"embedding":[0.1]}]}', 0.2)


def error(status: int, message: str) -> Answer:
    return Answer(status, msgspec.json.encode({"error": {"message": message, "code": status}}), 0.1)


def warmed(pods: FakePods) -> Timed:
    return asyncio.run(vllm.warm_up(pods, warm_up()))


def refusal(asked: Awaitable[Any]) -> str:
    async def ask() -> None:
        await asked

    with pytest.raises(ReplicaError) as told:
        asyncio.run(ask())
    return str(told.value)


def refused(**says: Any) -> str:
    return refusal(vllm.warm_up(FakePods(**says), warm_up()))


NO_TEMPLATE = error(400, "default chat template is no longer allowed")


@pytest.mark.parametrize(
    ("says", "bodies"),
    [
        ({}, [CHAT]),
        ({"chat": NOT_FOUND, "v1/completions": ANSWER}, [CHAT, COMPLETION]),
        ({"chat": NO_TEMPLATE, "v1/completions": ANSWER}, [CHAT, COMPLETION]),
        ({"chat": NOT_FOUND, "embeddings": VECTOR}, [CHAT, COMPLETION, EMBEDDING]),
    ],
    ids=["chats", "completions", "no template", "embeddings"],
)
def test_a_model_is_asked_for_what_it_can_do(says: Any, bodies: list[Any]) -> None:
    pods = FakePods(**says)
    warmed(pods)
    assert pods.bodies == [None, *bodies]


def test_the_figures_are_those_of_the_answer_that_came() -> None:
    assert warmed(FakePods(chat=NOT_FOUND, embeddings=VECTOR)) == (0.003, 0.2)


def test_one_that_is_not_healthy_is_not_asked() -> None:
    pods = FakePods(health=Answer(503, b"", 0.1))
    assert refusal(vllm.warm_up(pods, warm_up())) == "/health said 503"
    assert len(pods.asked) == 1


def test_a_200_that_is_no_answer_is_none() -> None:
    assert refused(chat=OK) == "/v1/chat/completions said 200, but nothing that is an answer"


def test_a_model_that_is_not_there_is_told_in_its_words() -> None:
    missing = error(404, "The model `small` does not exist.")
    assert refused(chat=missing) == "/v1/chat/completions said 404: The model `small` does not exist."


def test_the_first_form_that_is_served_says_what_is_wrong() -> None:
    said = refused(chat=NO_TEMPLATE, **{"v1/completions": error(400, "too long")})
    assert said.startswith("/v1/chat/completions said 400: default chat")


def test_a_failure_is_not_asked_for_in_another_form() -> None:
    pods = FakePods(chat=error(500, "boom"), **{"v1/completions": ANSWER})
    assert refusal(vllm.warm_up(pods, warm_up())) == "/v1/chat/completions said 500: boom"


def test_what_serves_nothing_of_it_is_told_what_to_do() -> None:
    said = refused(chat=NOT_FOUND)
    assert said.startswith("it serves none of /v1/chat/completions, /v1/completions, /v1/embeddings; ")


@pytest.mark.parametrize("body", [b"<html>secret</html>", b'{"token":"secret"}', b'{"error":"secret"}', b"[1]", b""])
def test_nothing_of_an_answer_in_another_shape_is_told(body: bytes) -> None:
    assert refused(chat=Answer(500, body, 0.1)) == "/v1/chat/completions said 500"


def test_a_message_is_cut_and_of_one_line() -> None:
    said = refused(chat=error(500, "a\n\x1b[31mred\x00" + "x" * 5000)).removeprefix("/v1/chat/completions said 500: ")
    assert said.startswith("a [31mred x")
    assert len(said) == MOST_WORDS


@pytest.mark.parametrize("answer", [error(500, "boom"), NOT_FOUND])
def test_a_refused_sleep_is_an_error(answer: Answer) -> None:
    assert refusal(vllm.sleep(FakePods(sleep=answer), "a:1")).startswith("/sleep?level=1 ")


def test_one_that_fails_to_wake_is_an_error() -> None:
    assert refusal(vllm.wake(FakePods(wake=error(500, "boom")), "a:1", 1.0)) == "/wake_up said 500: boom"


@pytest.mark.parametrize("status", [404, 405, 501])
def test_one_that_cannot_wake_cannot_sleep(status: int) -> None:
    assert asyncio.run(vllm.wake(FakePods(wake=error(status, "boom")), "a:1", 1.0)) is None


def test_silence_is_told_as_it_is() -> None:
    with pytest.raises(type(DEAD), match="the connection is refused"):
        warmed(FakePods(chat=DEAD))
