"""What the router reads of a body, and what it makes of it for a backend."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelroute.router.body import Ask, BadBodyError, read, rewritten, text_of
from modelroute.router.openai import Kind
from modelroute.snapshot.types import Backend, Parameters, Timeouts

USER = {"role": "user", "content": "hi"}


def ask(kind: Kind = Kind.CHAT, **fields: Any) -> Ask:
    needed: dict[Kind, dict[str, Any]] = {
        Kind.CHAT: {"messages": [USER]},
        Kind.COMPLETIONS: {"prompt": "hi"},
        Kind.EMBEDDINGS: {"input": "hi"},
    }
    return read(kind, json.dumps({"model": "chat", **needed[kind], **fields}).encode())


def sent(asked: Ask, model: str | None = None, **parameters: Any) -> Any:
    backend = Backend("b", 1, Timeouts(1, 1, 1, 1), model=model, parameters=Parameters(**parameters))
    return json.loads(rewritten(asked, backend))


@pytest.mark.parametrize(("given_", "stream"), [({}, False), ({"stream": None}, False), ({"stream": True}, True)])
def test_a_body_is_streamed_if_it_asks_for_it(given_: dict[str, Any], stream: bool) -> None:
    assert ask(**given_).stream is stream


def test_the_last_of_two_fields_counts_and_is_the_only_one_sent() -> None:
    twice = read(Kind.CHAT, b'{"model":"a","messages":[{}],"model":"chat"}')
    assert twice.model == "chat"
    assert sent(twice) == {"model": "chat", "messages": [{}]}


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ([USER], "hi"),
        ([USER, {"role": "assistant", "content": "no"}, {"role": "user", "content": "there"}], "hi\nthere"),
        ([{"role": "system", "content": "no"}], ""),
        ([{"role": "user"}, {"role": "user", "content": None}], "\n"),
        ([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}, {"text": "b"}]}], "a\nb"),
        ([{"role": 7, "content": "no"}], ""),
        ([{"role": "user", "content": "\u00e9\n\\u0041"}], "\u00e9\n\\u0041"),
    ],
)
def test_text_is_what_the_user_wrote_in_all_messages(messages: list[Any], text: str) -> None:
    assert text_of(ask(messages=messages)) == text


@pytest.mark.parametrize(
    ("kind", "field", "value", "text"),
    [
        (Kind.COMPLETIONS, "prompt", "a", "a"),
        (Kind.COMPLETIONS, "prompt", ["a", "b"], "a\nb"),
        (Kind.COMPLETIONS, "prompt", [1, 2], ""),
        (Kind.EMBEDDINGS, "input", ["a", [1]], "a"),
    ],
)
def test_text_of_a_prompt_or_an_input_is_its_strings(kind: Kind, field: str, value: Any, text: str) -> None:
    assert text_of(ask(kind, **{field: value})) == text


@pytest.mark.parametrize(
    "messages", [["hi"], [USER, 7], [{"role": "user", "content": 7}], [{"role": "user", "content": [7]}]]
)
def test_messages_that_are_none_are_refused_where_their_text_is_needed(messages: list[Any]) -> None:
    with pytest.raises(BadBodyError) as error:
        text_of(ask(messages=messages))
    assert error.value.refusal.param == "messages"


def test_the_backends_model_is_put_in() -> None:
    assert sent(ask(), model="qwen")["model"] == "qwen"
    assert sent(ask())["model"] == "chat"


@pytest.mark.parametrize("role", ["system", "developer"])
def test_a_system_prompt_stands_before_a_chat_that_has_none(role: str) -> None:
    prompt = {"role": "system", "content": 'Say "hi".'}
    assert sent(ask(), system_prompt='Say "hi".')["messages"] == [prompt, USER]
    own = [USER, {"role": role, "content": "mine"}]
    assert sent(ask(messages=own), system_prompt="no")["messages"] == own


@pytest.mark.parametrize("kind", [Kind.COMPLETIONS, Kind.EMBEDDINGS])
def test_a_system_prompt_is_for_chats(kind: Kind) -> None:
    assert "messages" not in sent(ask(kind), system_prompt="no")


@pytest.mark.parametrize(
    ("given_", "parameters", "expected"),
    [
        ({}, {}, {}),
        ({}, {"default_max_tokens": 5}, {"max_tokens": 5}),
        ({"max_tokens": None}, {"default_max_tokens": 5}, {"max_tokens": 5}),
        ({"max_tokens": 9}, {"default_max_tokens": 5}, {"max_tokens": 9}),
        ({"max_completion_tokens": 9}, {"default_max_tokens": 5}, {"max_completion_tokens": 9}),
        ({"max_tokens": 9}, {"max_max_tokens": 7}, {"max_tokens": 7}),
        ({"max_tokens": 6}, {"max_max_tokens": 7}, {"max_tokens": 6}),
        (
            {"max_tokens": 9, "max_completion_tokens": 8},
            {"max_max_tokens": 7},
            {"max_tokens": 7, "max_completion_tokens": 7},
        ),
        ({}, {"max_max_tokens": 7}, {"max_tokens": 7}),
        ({}, {"default_max_tokens": 9, "max_max_tokens": 7}, {"max_tokens": 7}),
        ({"temperature": 1}, {"max_temperature": 0.7}, {"temperature": 0.7}),
        ({"temperature": 0.2}, {"max_temperature": 0.7}, {"temperature": 0.2}),
        ({}, {"max_temperature": 0.7}, {}),
        ({}, {"default_temperature": 0.3}, {"temperature": 0.3}),
        ({"temperature": 0}, {"default_temperature": 0.3}, {"temperature": 0}),
        ({}, {"default_temperature": 0.9, "max_temperature": 0.7}, {"temperature": 0.7}),
    ],
)
def test_parameters_are_given_and_held_to_their_limits(
    given_: dict[str, Any], parameters: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert sent(ask(**given_), **parameters) == {"model": "chat", "messages": [USER], **expected}


def test_a_completion_that_asks_for_no_length_is_not_made_longer_by_the_cap() -> None:
    assert "max_tokens" not in sent(ask(Kind.COMPLETIONS), max_max_tokens=100)
    assert sent(ask(Kind.COMPLETIONS, max_tokens=500), max_max_tokens=100)["max_tokens"] == 100


def test_embeddings_have_neither_length_nor_temperature() -> None:
    parameters: dict[str, Any] = {
        "default_max_tokens": 5,
        "max_max_tokens": 5,
        "default_temperature": 1,
        "max_temperature": 1,
    }
    assert sent(ask(Kind.EMBEDDINGS), **parameters) == {"model": "chat", "input": "hi"}


@pytest.mark.parametrize(
    ("field", "value"),
    [("max_tokens", "many"), ("max_tokens", 1.5), ("max_completion_tokens", []), ("temperature", "hot")],
)
def test_a_parameter_that_is_no_number_is_refused_where_it_is_held_to_a_limit(field: str, value: Any) -> None:
    with pytest.raises(BadBodyError) as error:
        sent(ask(**{field: value}), max_max_tokens=5, max_temperature=1.0)
    assert error.value.refusal.param == field


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(more=st.dictionaries(st.text(), json_values, max_size=4))
def test_what_is_not_known_arrives_as_it_was(more: dict[str, Any]) -> None:
    body = {**more, "model": "chat", "messages": [USER], "user": None, "stream": False}
    assert sent(read(Kind.CHAT, json.dumps(body).encode())) == body


@given(body=st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_an_ask_or_a_refusal(body: bytes) -> None:
    for kind in (Kind.CHAT, Kind.COMPLETIONS, Kind.EMBEDDINGS):
        with contextlib.suppress(BadBodyError):
            text_of(read(kind, body))


@given(
    fields=st.dictionaries(st.sampled_from(["messages", "max_tokens", "temperature", "user", "stream"]), json_values)
)
def test_any_fields_are_sent_or_refused(fields: dict[str, Any]) -> None:
    with contextlib.suppress(BadBodyError):
        asked = read(Kind.CHAT, json.dumps({"model": "chat", "messages": [USER], **fields}).encode())
        text_of(asked)
        sent(asked, system_prompt="s", default_max_tokens=1, max_max_tokens=2, max_temperature=1.0)
