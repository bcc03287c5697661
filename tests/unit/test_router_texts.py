"""Texts that rules look at: all of a body's, what of it cannot be seen, and the quick look at its bytes."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelroute.router.surface.body import read
from modelroute.router.surface.openai import Kind
from modelroute.router.surface.pairs import BadBodyError
from modelroute.router.surface.texts import all_text_of, is_unseen, may_mention
from tests.fakes.bodies import USER, ask, json_values

FORM = b"multipart/form-data; boundary=b"


def form(**fields: str) -> bytes:
    parts = [f'--b\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in fields.items()]
    return "".join(parts).encode() + b"--b--\r\n"


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        (Kind.CHAT, {"messages": [USER, {"role": "system", "content": "SECRET"}]}),
        (Kind.CHAT, {"messages": [USER, {"role": "tool", "content": [{"type": "text", "text": "SECRET"}]}]}),
        (Kind.CHAT, {"messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": "SECRET"}}]}]}),
        (Kind.RERANK, {"query": "q", "documents": ["a", {"text": "SECRET"}]}),
        (Kind.RESPONSES, {"input": "q", "instructions": "SECRET"}),
        (Kind.RESPONSES, {"input": [{"type": "function_call_output", "output": "SECRET"}]}),
        (Kind.MESSAGES, {"messages": [USER], "system": [{"type": "text", "text": "SECRET"}]}),
        (Kind.MESSAGES, {"messages": [{"role": "user", "content": [{"type": "tool_result", "content": "SECRET"}]}]}),
        (Kind.COMPLETIONS, {"prompt": "q", "suffix": "SECRET"}),
    ],
)
def test_all_texts_are_found_wherever_they_stand(kind: Kind, more: dict[str, Any]) -> None:
    assert "SECRET" in all_text_of(ask(kind, **more)).split("\n")


def test_of_a_field_that_is_there_twice_both_values_are_found() -> None:
    body = b'{"model":"a","messages":[{"role":"user","content":"one","content":"other"}]}'
    assert {"one", "other"} <= set(all_text_of(read(Kind.CHAT, body)).split("\n"))


def test_the_fields_of_a_form_are_texts_and_its_file_is_none() -> None:
    asked = read(Kind.TRANSCRIPTIONS, form(model="chat", file="sound", prompt="SECRET"), FORM)
    assert all_text_of(asked).split("\n") == ["chat", "SECRET"]


def strings_in(value: Any) -> list[str]:
    """The strings of a value, but for the names of fields."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for each in inner for text in strings_in(each)]


@given(value=json_values)
def test_all_texts_are_those_that_json_has(value: Any) -> None:
    body = {"model": "a", "messages": [USER], "x": value}
    try:
        asked = read(Kind.CHAT, json.dumps(body).encode())
        found = all_text_of(asked)
    except BadBodyError:
        return
    assert "".join(sorted(found.replace("\n", ""))) == "".join(sorted("".join(strings_in(body)).replace("\n", "")))


def test_too_many_texts_are_refused() -> None:
    with pytest.raises(BadBodyError, match="too many"):
        all_text_of(ask(messages=[USER], x=["a"] * 300_000))


@pytest.mark.parametrize(
    ("kind", "more", "unseen"),
    [
        (Kind.COMPLETIONS, {"prompt": [1, 2]}, True),
        (Kind.COMPLETIONS, {"prompt": [[1, 2]]}, True),
        *((Kind.COMPLETIONS, {"prompt": ids}, True) for ids in ([[], [1]], ["a", 1], ["a", [1]], [-1], [{"ids": [1]}])),
        (Kind.COMPLETIONS, {"prompt_embeds": "AAAA"}, True),
        *(
            (Kind.CHAT, {"messages": [{"role": "user", "content": [{"type": kind}]}]}, True)
            for kind in (
                "input_audio",
                "audio_url",
                "image_url",
                "input_image",
                "image",
                "file",
                "document",
                "video_url",
            )
        ),
        (Kind.CHAT, {"messages": [{"role": "user", "content": [{"type": "text", "text": '"type":"image"'}]}]}, False),
        (Kind.CHAT, {"messages": [{"role": "user", "content": [{"image_url": {"url": "data:"}}]}]}, True),
        (Kind.CHAT, {"messages": [{"role": "user", "content": [{"type": "image_embeds"}]}]}, True),
        (Kind.CHAT, {"messages": [USER], "tools": [{"type": "function"}]}, False),
        (Kind.COMPLETIONS, {"prompt": ["1", "2"]}, False),
        (Kind.EMBEDDINGS, {"input": [1]}, True),
        (Kind.CHAT, {"messages": [USER]}, False),
    ],
)
def test_what_is_no_text_cannot_be_seen(kind: Kind, more: dict[str, Any], unseen: bool) -> None:
    assert is_unseen(ask(kind, **more)) is unseen


def test_a_picture_is_one_however_its_name_is_written() -> None:
    body = b'{"model":"a","messages":[{"role":"user","content":[{"ty\\u0070e":"image\\u005furl"}]}]}'
    assert is_unseen(read(Kind.CHAT, body))


def test_sound_cannot_be_seen() -> None:
    assert is_unseen(read(Kind.TRANSCRIPTIONS, form(model="chat", file="sound"), FORM))


@pytest.mark.parametrize(
    ("content", "may"), [("a SECRET", True), ("nothing", False), ("\u00e9", True), ("line\nbreak", False)]
)
def test_the_bytes_of_a_body_tell_that_no_word_is_in_it(content: str, may: bool) -> None:
    assert may_mention(ask(messages=[{"role": "user", "content": content}]), {b"SECRET"}) is may


def test_words_that_json_may_write_in_two_ways_may_be_in_any_body() -> None:
    assert may_mention(ask(messages=[USER]), None)


@given(word=st.text("aé/ ", min_size=1), text=st.text('aé/ "\\\n'), ascii_=st.booleans())
def test_no_word_that_is_there_is_passed_over(word: str, text: str, ascii_: bool) -> None:
    body = json.dumps({"model": "a", "messages": [{"role": "user", "content": text}]}, ensure_ascii=ascii_).encode()
    keywords = None if "/" in word else {word.encode()}
    assert may_mention(read(Kind.CHAT, body), keywords) or word not in text
