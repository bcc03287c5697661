"""The router's small pure parts: paths, tokens that pass by, errors in streams."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelroute.router.surface.lines import Lines
from modelroute.router.surface.openai import PUBLIC_PATHS, Kind, Refusal, resolve
from modelroute.router.surface.sse import Meter, may_open_with_error, opening_error, tells_failure
from modelroute.router.surface.usage import Usage

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
    ("event", "failure"),
    [
        ('{"error":{"message":"m"}}', True),
        ('{"type":"error","message":"m"}', True),
        ('{ "error" : "m"}', True),
        ('{"id":"c","err\\u006fr":{"message":"m"},"choices":[{"finish_reason":"error"}]}', True),
        ('{"id":"c","choices":[{"finish_reason":"error"}],"error":{"message":"m"}}', True),
        ('{"type":"response.failed","response":{"error":{"message":"m"}}}', True),
        ('{"error":{"message":"cut', True),
        ('{"type":"response.completed","response":{"error":null}}', False),
        ('{"error":null,"choices":[]}', False),
        ('{"item":{"type":"mcp_call","error":"the tool failed"}}', False),
        ('{"choices":[{"delta":{"content":"\\n\\ndata: {\\"error\\":{}}"}}]}', False),
    ],
)
def test_an_event_that_tells_of_a_failure_is_known(event: str, failure: bool) -> None:
    assert tells_failure(f"data: {event}\n".encode()) is failure


@given(cuts=st.lists(st.integers(0, len(STREAM))))
def test_a_stream_is_read_the_same_wherever_it_is_cut(cuts: list[int]) -> None:
    meter, lines = Meter(), Lines()
    for start, end in pairwise([0, *sorted(cuts), len(STREAM)]):
        if start < end:
            meter.feed(lines.feed(STREAM[start:end]))
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


@given(
    stream=st.lists(st.sampled_from([b"data: x", b"\n", b"\r", b": y", b""])).map(b"".join),
    cuts=st.lists(st.integers(0, 99)),
)
def test_pieces_end_where_lines_do(stream: bytes, cuts: list[int]) -> None:
    lines = Lines()
    ends = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    pieces = [lines.feed(stream[start:end]) for start, end in pairwise(ends)]
    assert all(piece.endswith((b"\n", b"\r")) for piece in pieces if piece)
    assert b"".join(pieces) + lines.rest() == stream


def test_a_line_without_end_is_not_kept_for_ever() -> None:
    lines = Lines()
    fed = b"".join(lines.feed(b"x" * 10_000) for _ in range(100))
    assert len(fed) >= 1_000_000 - 65_536


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b'{"error":{"message":"m"}}', b'{"error":{"message":"m"}}'),
        (b'data: {"error": "m"}\n\n', b'{"error": "m"}'),
        (b': wait\r\n\r\nevent: error\r\ndata:{"error":"m"}\r\n\r\n', b'{"error":"m"}'),
        (b'data: {"id":"c","error":{"message":"m"}}\n\n', b'{"id":"c","error":{"message":"m"}}'),
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
