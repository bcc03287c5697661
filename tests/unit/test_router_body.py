"""What the router reads of a body, and what it makes of it for a backend."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelroute.router.surface import depth
from modelroute.router.surface.body import read
from modelroute.router.surface.openai import Kind, Refusal
from modelroute.router.surface.pairs import BadBodyError
from modelroute.router.surface.texts import text_of
from tests.fakes.bodies import USER, ask, json_values


@pytest.mark.parametrize(("given_", "stream"), [({}, False), ({"stream": None}, False), ({"stream": True}, True)])
def test_a_body_is_streamed_if_it_asks_for_it(given_: dict[str, Any], stream: bool) -> None:
    assert ask(**given_).stream is stream


def refusal_of(body: bytes, kind: Kind = Kind.CHAT, content_type: bytes = b"") -> Refusal:
    with pytest.raises(BadBodyError) as error:
        read(kind, body, content_type)
    return error.value.refusal


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"model":"a","messages":[{}],"model":"chat"}', "model"),
        (b'{"model":"a","messages":[{}],"model":"a"}', "model"),
        (b'{ "model": "a", "messages": [{}], "m\\u006fdel": "chat" }', "model"),
        (b'{"stream":true,"messages":[{}],"model":"a","stream":true}', "stream"),
        (b'{"":1,"messages":[{}],"model":"a","":1}', ""),
        (
            b'{"model":"a","messages":[{}],"stream":true,"stream_options":{"include_usage":false,"include_usage":true}}',
            "stream_options.include_usage",
        ),
    ],
    ids=range(6),
)
def test_a_field_that_is_there_twice_is_refused_by_its_name(body: bytes, param: str) -> None:
    refusal = refusal_of(body)
    assert (refusal.status, refusal.param) == (400, param)
    assert "twice" in refusal.message


def test_the_same_key_in_two_objects_is_no_duplicate() -> None:
    body = b'{"model": "chat", "messages": [{"role":"user"},{"role":"user"}], "x": {"model": 1}}'
    assert read(Kind.CHAT, body).model == "chat"


def nested(levels: int, filler: str = "") -> bytes:
    """A chat whose deepest value is ``levels`` levels down, between others that are not."""
    inner = "[" * (levels - 1) + "]" * (levels - 1)
    return json.dumps({"model": "chat", "messages": [USER], "s": filler}).encode()[:-1] + f', "x": {inner}}}'.encode()


@pytest.mark.parametrize("filler", ["", "[" * 100, '"' + "]" * 100, '\\"[\\', "\\" * 7 + '"' + "[{" * 99], ids=range(5))
def test_a_body_may_be_64_levels_deep_whatever_its_strings_hold(filler: str) -> None:
    assert read(Kind.CHAT, nested(64, filler)).model == "chat"
    for levels in (65, 500, 100_000):
        assert "deep" in refusal_of(nested(levels, filler)).message


@pytest.mark.parametrize("body", [b"[" * 2**21, b"[]," * 2**21, b'{"a":' * 2**21], ids=["bomb", "list", "objects"])
def test_a_bomb_of_brackets_is_refused(body: bytes) -> None:
    assert "deep" in refusal_of(body).message


@given(
    value=st.recursive(
        st.text('"\\\\[]{}n') | st.none(), lambda v: st.lists(v) | st.dictionaries(st.text('"\\\\[]'), v)
    )
)
def test_depth_is_told_from_brackets_outside_strings(value: Any) -> None:
    def levels(v: Any) -> int:
        inner = v.values() if isinstance(v, dict) else v if isinstance(v, list) else None
        return 0 if inner is None else 1 + max(map(levels, inner), default=0)

    padded: Any = value
    for _ in range(depth.LIMIT - levels(value)):
        padded = [padded]
    assert not depth.too_deep(json.dumps(padded).encode())
    assert depth.too_deep(json.dumps([padded]).encode())


@pytest.mark.parametrize("name", ["n", "best_of"])
def test_answers_to_one_request_are_limited(name: str) -> None:
    assert ask(Kind.COMPLETIONS, **{name: 128})
    for value, told in (
        (129, "from 1 to 128"),
        (0, "from 1 to 128"),
        (1.5, "whole number"),
        ("2", "whole number"),
        (10**30, "whole number|from"),
    ):
        with pytest.raises(BadBodyError, match=told):
            ask(Kind.COMPLETIONS, **{name: value})


@pytest.mark.parametrize("options", ["yes", [1], {"include_usage": "yes"}])
def test_stream_options_that_are_none_are_refused(options: Any) -> None:
    with pytest.raises(BadBodyError) as error:
        ask(stream=True, stream_options=options)
    assert error.value.refusal.param in {"stream_options", "include_usage"}


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
        (Kind.EMBEDDINGS, "input", [[1], [2]], ""),
        (Kind.RESPONSES, "input", "a", "a"),
        (
            Kind.RESPONSES,
            "input",
            [{"type": "reasoning"}, {**USER, "content": [{"type": "input_text", "text": "a"}]}],
            "a",
        ),
        (Kind.RERANK, "query", "a", "a"),
        (Kind.SCORE, "text_2", ["a", "b"], "hi\na\nb"),
        (Kind.MESSAGES, "messages", [{**USER, "content": [{"type": "text", "text": "a"}]}], "a"),
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


def test_a_mix_of_texts_and_numbers_is_refused_where_its_text_is_needed() -> None:
    with pytest.raises(BadBodyError) as error:
        text_of(ask(Kind.EMBEDDINGS, input=[[1], "secret"]))
    assert error.value.refusal.param == "input"


@given(body=st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_an_ask_or_a_refusal(body: bytes) -> None:
    for kind in (k for k in Kind if k.value.startswith("/")):
        with contextlib.suppress(BadBodyError):
            text_of(read(kind, body, b"multipart/form-data; boundary=b"))
