"""What is put into a body for a backend, and that nothing else of it changes."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelroute.router.surface.body import read
from modelroute.router.surface.openai import Kind
from modelroute.router.surface.pairs import BadBodyError
from modelroute.router.surface.rewrite import rewritten
from modelroute.router.surface.texts import text_of
from modelroute.snapshot.types import Backend, Timeouts
from tests.fakes.bodies import USER, ask, json_values, sent


@pytest.mark.parametrize(
    ("options", "told", "sent_on"),
    [
        (None, False, {"include_usage": True}),
        ({}, False, {"include_usage": True}),
        ({"include_usage": False, "x": 1}, False, {"include_usage": True, "x": 1}),
        ({"include_usage": None, "continuous_usage_stats": True}, False, {"include_usage": True}),
        ({"include_usage": True, "continuous_usage_stats": True}, True, ...),
    ],
)
@pytest.mark.parametrize("kind", [Kind.CHAT, Kind.COMPLETIONS])
def test_a_stream_is_asked_for_its_usage(kind: Kind, options: Any, told: bool, sent_on: Any) -> None:
    asked = ask(kind, stream=True, stream_options=options)
    assert asked.streams_usage is told
    assert sent(asked)["stream_options"] == (options if sent_on is ... else sent_on)


@pytest.mark.parametrize(("kind", "stream"), [(Kind.CHAT, False), (Kind.RESPONSES, True), (Kind.MESSAGES, True)])
def test_nothing_else_is_asked_for_its_usage(kind: Kind, stream: bool) -> None:
    asked = ask(kind, stream=stream)
    assert rewritten(asked, Backend("b", 1, Timeouts(1, 1, 1, 1))) is asked.body


def test_more_messages_than_can_be_looked_at_are_refused_only_where_that_is_needed() -> None:
    many = ask(messages=[USER] * 150_000)
    assert sent(many, model="qwen")["messages"] == [USER] * 150_000
    for look in (text_of, lambda asked: sent(asked, system_prompt="s")):
        with pytest.raises(BadBodyError, match="too many"):
            look(many)


def test_the_backends_model_is_put_in() -> None:
    assert sent(ask(), model="qwen")["model"] == "qwen"
    assert sent(ask())["model"] == "chat"


@pytest.mark.parametrize("role", ["system", "developer"])
def test_a_system_prompt_stands_before_a_chat_that_has_none(role: str) -> None:
    prompt = {"role": "system", "content": 'Say "hi".'}
    assert sent(ask(), system_prompt='Say "hi".')["messages"] == [prompt, USER]
    own = [USER, {"role": role, "content": "mine"}]
    assert sent(ask(messages=own), system_prompt="no")["messages"] == own


@pytest.mark.parametrize(("kind", "field"), [(Kind.RESPONSES, "instructions"), (Kind.MESSAGES, "system")])
def test_a_system_prompt_goes_where_the_path_has_it(kind: Kind, field: str) -> None:
    assert sent(ask(kind), system_prompt="s")[field] == "s"
    assert sent(ask(kind, **{field: None}), system_prompt="s")[field] == "s"
    assert sent(ask(kind, **{field: "mine"}), system_prompt="s")[field] == "mine"


@pytest.mark.parametrize("kind", [Kind.COMPLETIONS, Kind.EMBEDDINGS])
def test_a_system_prompt_is_for_chats(kind: Kind) -> None:
    assert sent(ask(kind), system_prompt="no") == sent(ask(kind))


@pytest.mark.parametrize(("kind", "field"), [(Kind.RESPONSES, "max_output_tokens"), (Kind.MESSAGES, "max_tokens")])
def test_a_length_has_its_name_on_each_path(kind: Kind, field: str) -> None:
    assert sent(ask(kind), max_max_tokens=7)[field] == 7
    assert sent(ask(kind, **{field: 9}), max_max_tokens=7)[field] == 7


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


@given(more=st.dictionaries(st.text().filter(lambda name: name not in {"n", "best_of"}), json_values, max_size=4))
def test_what_is_not_known_arrives_as_it_was(more: dict[str, Any]) -> None:
    body = {**more, "model": "chat", "messages": [USER], "user": None, "stream": False}
    assert sent(read(Kind.CHAT, json.dumps(body).encode())) == body


@given(
    fields=st.dictionaries(
        st.sampled_from(["messages", "max_tokens", "temperature", "user", "stream", "stream_options", "n"]), json_values
    )
)
def test_any_fields_are_sent_or_refused(fields: dict[str, Any]) -> None:
    with contextlib.suppress(BadBodyError):
        asked = read(Kind.CHAT, json.dumps({"model": "chat", "messages": [USER], **fields}).encode())
        text_of(asked)
        sent(asked, system_prompt="s", default_max_tokens=1, max_max_tokens=2, max_temperature=1.0)
