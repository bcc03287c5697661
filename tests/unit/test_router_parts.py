"""The router's small pure parts: backends' errors, paths, tokens that pass by."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelroute.router.openai import PUBLIC_PATHS, Kind, Refusal, resolve, status_in, tells_error, upstream_refusal
from modelroute.router.sse import Meter, Usage, may_open_with_error, opening_error, usage_in

LONG = b"This model's maximum context length is 9 tokens."
LONGER, UNKNOWN = "context_length_exceeded", "model_not_found"

# Errors of backends.


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, b'{"error":{"message":"m","type":"T","param":"p","code":"c"}}', ("m", "T", "p", "c")),
        (404, b'{"error":{"message":"m","type":"T","param":"model","code":404}}', ("m", "T", "model", UNKNOWN)),
        (400, b'{"error":{"message":"%b","type":"T","code":400}}' % LONG, (LONG.decode(), "T", None, LONGER)),
        (400, b'{"error":{"message":"m"}}', ("m", "invalid_request_error", None, None)),
        (400, b'{"error":"plain"}', ("plain", "invalid_request_error", None, None)),
        (404, b'{"detail":"Not Found"}', ("Not Found", "invalid_request_error", None, None)),
        (422, b'{"detail":[{"loc":["body"]}]}', ('[{"loc":["body"]}]', "invalid_request_error", None, None)),
        (500, b'{"message":"m"}', ("m", "api_error", None, "upstream_error")),
        (502, b"<html>", ('backend "b" answered 502', "api_error", None, "upstream_error")),
        (500, b"", ('backend "b" answered 500', "api_error", None, "upstream_error")),
        (429, b"{}", ('backend "b" answered 429', "rate_limit_error", None, "rate_limit_exceeded")),
        (400, b"[1]", ('backend "b" answered 400', "invalid_request_error", None, None)),
    ],
)  # fmt: skip
def test_a_backends_error_gets_openais_shape(status: int, body: bytes, expected: tuple[str | None, ...]) -> None:
    refusal = upstream_refusal("b", status, body)
    assert (refusal.message, refusal.type, refusal.param, refusal.code) == expected
    assert refusal.status == status


@given(body=st.binary())
def test_any_error_body_gets_openais_shape(body: bytes) -> None:
    assert upstream_refusal("b", 500, body).message


@pytest.mark.parametrize(("code", "status"), [(b"400", 400), (b"503", 503), (b"7", 500), (b'"x"', 500), (b"null", 500)])
def test_an_error_in_a_200_has_the_status_that_it_names(code: bytes, status: int) -> None:
    assert status_in(b'{"error":{"message":"m","code":%b}}' % code) == status


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
        (b'{"choices":[{"text":"x"}]}', 1),
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


@pytest.mark.parametrize(
    ("body", "tells"),
    [
        (b'{"error":{"message":"m"}}', True),
        (b'{\n  "id": "1",\n  "error": {\n    "message": "m"\n  }\n}', True),
        (b'{"error":"m"}', True),
        (b'{"error":null,"choices":[]}', False),
        (b'{"choices":[{"message":{"content":"{\\"error\\":{}}"}}]}', False),
        (b'{"choices":[{"error":{"message":"m"}}]}', False),
        (b'["error"]', False),
        (b'{"error":', False),
    ],
)
def test_a_whole_answer_that_is_an_error_is_found(body: bytes, tells: bool) -> None:
    assert tells_error(body) is tells
