"""What is made of backends' errors, and how errors are written to clients."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelroute.router.http.replies import as_event, error_event
from modelroute.router.surface.openai import (
    Refusal,
    error_body,
    failure_kind,
    is_draining,
    status_in,
    upstream_refusal,
)

LONG = b"This model's maximum context length is 9 tokens."
LONGER, UNKNOWN = "context_length_exceeded", "model_not_found"


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


@pytest.mark.parametrize(("code", "status"), [(b"400", 400), (b"503", 503), (b"7", 502), (b'"x"', 502), (b"null", 502)])
def test_an_error_in_a_200_has_the_status_that_it_names(code: bytes, status: int) -> None:
    assert status_in(b'{"error":{"message":"m","code":%b}}' % code) == status


BUSY = b'{"error":{"message":"The engine is currently busy and cannot accept new requests. Please try again later"}}'
DRAINING = b'{"error":{"message":"cannot schedule new futures after shutdown","type":"InternalServerError","code":500}}'


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (429, b"", "RateLimited"),
        (503, BUSY, "Overloaded"),
        (529, b"", "Overloaded"),
        (503, b"", "ServerError"),
        (500, DRAINING, "ServerError"),
        (401, b"", "Misconfigured"),
        (404, b'{"detail":"Not Found"}', "Misconfigured"),
        (400, b'{"error":{"message":"%b","code":400}}' % LONG, "ContextLength"),
        (400, b'{"error":{"message":"m","code":"context_length_exceeded"}}', "ContextLength"),
        (400, b'{"type":"error","error":{"type":"x","message":"prompt is too long: 9 tokens > 8"}}', "ContextLength"),
        (400, b'{"error":{"message":"m"}}', None),
        (400, b"<html>", None),
        (409, b"", None),
    ],
)
def test_an_error_tells_who_may_take_over(status: int, body: bytes, kind: str | None) -> None:
    assert failure_kind(status, body) == kind


def test_a_503_that_says_when_to_come_back_is_overload() -> None:
    assert failure_kind(503, b"", says_when=True) == "Overloaded"


def test_a_vllm_that_drains_is_known_by_its_500() -> None:
    assert is_draining(500, DRAINING)
    assert not is_draining(500, b"{}")
    assert not is_draining(200, DRAINING)


@pytest.mark.parametrize(
    ("status", "given_", "type_"),
    [
        (404, "invalid_request_error", "not_found_error"),
        (413, "invalid_request_error", "request_too_large"),
        (400, "BadRequestError", "invalid_request_error"),
        (500, "InternalServerError", "api_error"),
        (503, "overloaded_error", "overloaded_error"),
        (504, "timeout_error", "timeout_error"),
    ],
)
def test_an_error_for_anthropics_clients_has_their_shape(status: int, given_: str, type_: str) -> None:
    told = json.loads(error_body(Refusal(status, "m", type=given_), "anthropic"))
    assert told == {"type": "error", "error": {"type": type_, "message": "m"}}


def test_an_error_event_has_the_name_that_anthropics_clients_listen_for() -> None:
    assert error_event(Refusal(500, "m"), "anthropic").startswith(b'event: error\ndata: {"type":"error"')
    assert error_event(Refusal(500, "m")).startswith(b'data: {"error":')


def test_a_whole_answer_as_an_event_has_a_field_a_line() -> None:
    assert as_event(b'{\n"a":1\r\n}') == b'data: {\ndata: "a":1\ndata: }\n\ndata: [DONE]\n\n'
