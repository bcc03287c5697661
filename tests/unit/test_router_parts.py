"""The router's small pure parts: paths, tokens that pass by, errors in streams."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelroute.router.surface.openai import PUBLIC_PATHS, Kind, Refusal, resolve
from modelroute.router.surface.sse import Meter, Usage, may_open_with_error, opening_error, usage_in

# Paths.


@given(path=st.text().filter(lambda p: p.partition("?")[0] not in PUBLIC_PATHS and not p.startswith("/v1/models/")))
def test_a_path_that_is_not_listed_is_refused(path: str) -> None:
    found = resolve("POST", path, PUBLIC_PATHS)
    assert isinstance(found, Refusal)
    assert found.status in (400, 404)


def test_a_query_is_passed_over() -> None:
    assert resolve("POST", "/v1/embeddings?api-version=1", PUBLIC_PATHS) == (Kind.EMBEDDINGS, "")


# Tokens that pass by.


@pytest.mark.parametrize(
    ("event", "texts"),
    [
        (b'{"choices":[{"delta":{"content":"x"}}]}', 1),
        (b'{"choices": [{"delta": {"content": "x"}}]}', 1),
        (b'{"choices":[{"delta":{"role":"assistant","content":""}}]}', 0),
        (b'{"choices":[{"delta":{"content":null,"reasoning_content":"x"}}]}', 1),
        (b'{"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"{"}}]}}]}', 1),
        (b'{"choices":[{"delta":{"content":"\\"content\\":\\"x\\""}}]}', 1),
        (b'{"choices":[{"delta":{},"finish_reason":"stop"}]}', 0),
        (b'{"choices":[{"delta":{"content":"a"}},{"delta":{"content":"b"}}]}', 2),
    ],
)
def test_text_is_counted_where_there_is_some(event: bytes, texts: int) -> None:
    meter = Meter()
    meter.feed(b"data: " + event + b"\n\n")
    assert meter.texts == texts


STREAM = (
    b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n'
    b'data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: {"choices":[{"delta":{"content":"b"}}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":11,"total_tokens":13,"completion_tokens":2}}\n\ndata: [DONE]\n\n'
)


@pytest.mark.parametrize(
    ("kind", "event", "texts", "ended"),
    [
        (Kind.COMPLETIONS, '{"choices":[{"text":"x"}]}', 1, False),
        (Kind.RESPONSES, '{"type":"response.output_text.delta","delta":"x"}', 1, False),
        (Kind.RESPONSES, '{"type":"response.completed","response":{}}', 0, True),
        (Kind.RESPONSES, '{"type":"response.incomplete","response":{}}', 0, True),
        (Kind.RESPONSES, '{"type":"response.output_text.delta","delta":"response.completed"}', 1, False),
        (Kind.MESSAGES, '{"type":"content_block_delta","delta":{"type":"text_delta","text":"x"}}', 1, False),
        (Kind.MESSAGES, '{"type":"message_stop"}', 0, True),
        (Kind.MESSAGES, '{"type": "message_stop"}', 0, True),
        (Kind.TRANSCRIPTIONS, '{"type":"transcript.text.delta","delta":"x"}', 1, False),
        (Kind.TRANSCRIPTIONS, '{"type":"transcript.text.done","text":"x"}', 0, True),
        (Kind.TRANSLATIONS, '{"choices":[{"delta":{"content":"x"}}]}', 1, False),
    ],
)
def test_each_path_has_texts_and_an_end_of_its_own(kind: Kind, event: str, texts: int, ended: bool) -> None:
    meter = Meter(kind)
    meter.feed(f"data: {event}\n\n".encode())
    assert (meter.texts, meter.ended) == (texts, ended)


@pytest.mark.parametrize("spaced", [",", ", "])
def test_the_usage_of_a_message_is_told_in_two_events(spaced: str) -> None:
    separators = (spaced, ":" + spaced[1:])
    first = {"input_tokens": 5, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 2, "output_tokens": 1}
    events = {"message": {"usage": first}}, {"usage": {"output_tokens": 9}}
    meter = Meter(Kind.MESSAGES)
    meter.feed(b"".join(b"data: %b\n\n" % json.dumps(e, separators=separators).encode() for e in events))
    assert meter.usage == Usage(10, 9, 3)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 3}}, Usage(5, 2, 3)),
        ({"input_tokens": 5, "input_tokens_details": {"cached_tokens": 3}, "output_tokens": 2,
          "output_tokens_details": {"reasoning_tokens": 1}}, Usage(5, 2, 3, 1)),
        ({"total_tokens": 7}, Usage(7)),
        ({"prompt_tokens": -1, "completion_tokens": 1.5}, Usage()),
        ({"prompt_tokens": 10**12, "completion_tokens": 10**30}, Usage()),
        ({"prompt_tokens": "5"}, Usage()),
    ],
)  # fmt: skip
def test_usage_is_told_by_many_names_and_never_by_nonsense(usage: dict[str, Any], expected: Usage) -> None:
    assert usage_in(json.dumps({"usage": usage}).encode()) == expected


@pytest.mark.parametrize("event", ['{"error":{"message":"m"}}', '{"type":"error","message":"m"}', '{ "error" : "m"}'])
def test_an_error_in_the_midst_of_a_stream_is_an_end(event: str) -> None:
    meter = Meter()
    meter.feed(b'data: {"choices":[{"delta":{"content":"\\n\\ndata: {\\"error\\":{}}"}}]}\n\n')
    assert not meter.ended
    meter.feed(f"data: {event}\n\n".encode())
    assert meter.failed
    assert meter.ends()


@given(cuts=st.lists(st.integers(0, len(STREAM))))
def test_a_stream_is_read_the_same_wherever_it_is_cut(cuts: list[int]) -> None:
    meter = Meter()
    for start, end in pairwise([0, *sorted(cuts), len(STREAM)]):
        if start < end:
            meter.feed(STREAM[start:end])
    assert (meter.texts, meter.usage, meter.ended) == (2, Usage(11, 2), True)


@pytest.mark.parametrize(
    ("event", "ended"),
    [
        (b"data: [DONE]\n\n", True),
        (b"data:[DONE]\n\n", True),
        (b'data: {"choices":[{"finish_reason":"stop"}]}\n\n', True),
        (b'data: {"choices":[{"finish_reason":null}]}\n\n', False),
        (b'data: {"choices":[{"delta":{"content":"data: [DONE]"}}]}\n\n', False),
        (b'data: {"choices":[{"delta":{"content":"\\"finish_reason\\":\\"x"}}]}\n\n', False),
    ],
)
def test_a_stream_has_ended_when_it_says_so(event: bytes, ended: bool) -> None:
    meter = Meter()
    meter.feed(event)
    assert meter.ended is ended


@pytest.mark.parametrize("piece", [b"data: {", b"data: {}\n", b": x"])
def test_a_piece_that_stops_in_an_event_is_no_fresh_line(piece: bytes) -> None:
    meter = Meter()
    meter.feed(piece)
    assert not meter.fresh_line


def test_a_line_without_end_is_not_kept_for_ever() -> None:
    meter = Meter()
    for _ in range(100):
        meter.feed(b"x" * 10_000)
    assert len(meter._line) <= 75_536


def test_usage_is_the_last_one_told() -> None:
    assert usage_in(b'{"usage":{"prompt_tokens":1},"usage":{"prompt_tokens":7,"completion_tokens":0}}') == Usage(7, 0)
    assert usage_in(b'{"text":"\\"usage\\""}') == Usage()


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b'{"error":{"message":"m"}}', b'{"error":{"message":"m"}}'),
        (b'data: {"error": "m"}\n\n', b'{"error": "m"}'),
        (b': wait\r\n\r\nevent: error\r\ndata:{"error":"m"}\r\n\r\n', b'{"error":"m"}\r'),
        (b'data: {"error":null,"choices":[]}\n\n', None),
        (b"\n" * 300_000, None),
        (b"", None),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_stream_that_begins_with_an_error_is_found(data: bytes, error: bytes | None) -> None:
    assert opening_error(data) == error


@pytest.mark.parametrize(
    ("data", "held"),
    [
        (b"da", True),
        (b"event: message\nda", True),
        (b'data: {"choices"', True),
        (b"data: " + b"x" * 5000, False),
        (b'data: {"choices":[]}\n', False),
        (b": wait\n\n", False),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_stream_is_held_until_its_first_line_is_whole(data: bytes, held: bool) -> None:
    assert may_open_with_error(data) is held
