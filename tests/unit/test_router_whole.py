"""What a whole answer is told to be, in one look: an answer, an error, or neither; and the tokens that it tells of."""

import json
from typing import Any

import pytest

from modelroute.router.surface.openai import Kind
from modelroute.router.surface.usage import Usage, greatest_in, usage_in
from modelroute.router.surface.whole import may_begin, said_in


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"error":{"message":"m"}}', True),
        (b'{\n  "id": "1",\n  "error": {\n    "message": "m"\n  }\n}', True),
        (b'{"error":"m"}', True),
        (b'{"object":"error","message":"m"}', True),
        (b'{"error":null,"choices":[]}', False),
        (b'{"choices":[{"message":{"content":"{\\"error\\":{}}"}}]}', False),
        (b'{"choices":[{"error":{"message":"m"}}]}', False),
    ],
)
def test_an_error_in_place_of_an_answer_is_found(body: bytes, error: bool) -> None:
    said = said_in(Kind.CHAT, body)
    assert (said.valid, said.error) == (True, error)


@pytest.mark.parametrize(
    "body", [b"", b"null", b"7", b'"ok"', b"true", b"[]", b'{"error":', b"<html>", b"{} {}"], ids=repr
)
def test_what_is_no_object_is_no_answer_to_a_chat(body: bytes) -> None:
    assert not said_in(Kind.CHAT, body).valid


@pytest.mark.parametrize(
    ("kind", "body", "valid"),
    [
        (Kind.RERANK, b'[{"index":0,"score":0.5}]', True),
        (Kind.RERANK, b"[1,", False),
        (Kind.RERANK, b"7", False),
        (Kind.TRANSCRIPTIONS, b"Hello.", True),
        (Kind.TRANSCRIPTIONS, b"", False),
        (Kind.TRANSCRIPTIONS, b'{"text":', False),
    ],
)
def test_some_paths_answer_with_lists_or_plain_text(kind: Kind, body: bytes, valid: bool) -> None:
    assert said_in(kind, body).valid is valid


@pytest.mark.parametrize(
    ("kind", "begins", "may"),
    [
        (Kind.CHAT, b' {"id":"1","choices":[{', True),
        (Kind.CHAT, b'{ "error" : {"message":"', False),
        (Kind.CHAT, b"<html>", False),
        (Kind.CHAT, b"[{", False),
        (Kind.EMBEDDINGS, b"[[0.1,", True),
        (Kind.TRANSCRIPTIONS, b"WEBVTT", True),
    ],
)
def test_a_long_answer_is_told_by_its_beginning(kind: Kind, begins: bytes, may: bool) -> None:
    assert may_begin(kind, begins) is may


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 3}}, Usage(5, 2, 3)),
        ({"input_tokens": 5, "input_tokens_details": {"cached_tokens": 3}, "output_tokens": 2,
          "output_tokens_details": {"reasoning_tokens": 1}}, Usage(5, 2, 3, 1)),
        ({"input_tokens": 5, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 2, "output_tokens": 1},
         Usage(10, 1, 3)),
        ({"total_tokens": 7}, Usage(7)),
        ({"prompt_tokens": 7, "completion_tokens": 2, "prompt_tokens_details": None}, Usage(7, 2)),
        ({"prompt_tokens": -1, "completion_tokens": 1.5}, Usage()),
        ({"prompt_tokens": 10**12, "completion_tokens": 10**30}, Usage()),
        ({"prompt_tokens": "5", "completion_tokens": True}, Usage()),
        ("7", Usage()),
    ],
)  # fmt: skip
def test_usage_is_told_by_many_names_and_never_by_nonsense(usage: Any, expected: Usage) -> None:
    assert said_in(Kind.CHAT, json.dumps({"usage": usage}).encode()).usage == expected


FORGED = {"metadata": {"usage": {"total_tokens": 0}}, "user": "usage", "prompt_logprobs": [{"decoded_token": "usage"}]}
REAL = {"prompt_tokens": 7, "completion_tokens": 2}


@pytest.mark.parametrize("answer", [{"usage": REAL, **FORGED}, {**FORGED, "usage": REAL}])
def test_what_a_client_wrote_is_no_usage(answer: dict[str, Any]) -> None:
    assert said_in(Kind.RESPONSES, json.dumps(answer).encode()).usage == Usage(7, 2)


@pytest.mark.parametrize(
    "event",
    [
        {"choices": [], "usage": REAL, **FORGED},
        {"type": "response.completed", "response": {**FORGED, "usage": REAL}, "message": "text"},
        {"type": "message_start", "message": {"usage": REAL, "content": []}},
    ],
)
def test_an_event_has_its_usage_where_its_kind_has_it(event: dict[str, Any]) -> None:
    assert usage_in(json.dumps(event).encode()) == Usage(7, 2)


def test_of_a_part_of_an_answer_the_greatest_usage_counts() -> None:
    real = b'{"prompt_tokens":7,"prompt_tokens_details":{"cached_tokens":1}}'
    part = b'0.1]}], "usage": %b, "x": {"usage":{"total_tokens":0}}}' % real
    assert greatest_in(part) == Usage(7, None, 1)
    assert greatest_in(b'{"text":"\\"usage\\":{\\"prompt_tokens\\":9}"}') == Usage()
