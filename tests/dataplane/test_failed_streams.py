"""A stream in which its backend says that it has failed: the backend's failure, however it says so."""

import json
from typing import Any

import pytest

from tests.dataplane.conftest import Plane, backend
from tests.fakes.upstream import streams

NO = {"message": "no"}


@pytest.mark.parametrize(
    "named", [b"event: error\n", b"event:error\n", b"event: error\nid: 7\n", b"id: 7\nevent: error\r\n"]
)
async def test_an_event_that_is_named_an_error_is_one_whatever_is_in_it(plane: Plane, named: bytes) -> None:
    script = streams(
        b'data: {"choices":[]}\n\n',
        named + b'data: {"message":"at 10.0.0.7:80"}\n\n',
        b'data: {"text":"an error at 10.0.0.7"}\n\n',
    )
    await plane.route(backend("small", await plane.upstream(script), weight=1))
    reply = await plane.chat(stream=True)
    assert b'data: {"message":"at ***"}\n\ndata: {"text":"an error at 10.0.0.7"}' in reply.body
    assert await plane.metric("modelroute_errors_total", backend="small", type="ServerError") == 1


@pytest.mark.parametrize(
    ("path", "failure"),
    [
        ("/v1/chat/completions", {"id": "c", "choices": [], "error": NO}),
        ("/v1/chat/completions", {"type": "error", "message": "no", "code": "error"}),
        ("/v1/responses", {"type": "response.failed", "response": {"status": "failed", "error": NO}}),
    ],
    ids=["last", "type", "response"],
)
async def test_an_error_in_a_stream_is_its_backends_failure(plane: Plane, path: str, failure: dict[str, Any]) -> None:
    first = {"type": "response.output_text.delta", "delta": "a"}
    events = [f"data: {json.dumps(event)}\n\n".encode() for event in (first, failure)]
    await plane.route(backend("small", await plane.upstream(streams(*events)), weight=1))
    asked = {"model": "chat", "messages": [{}], "input": "hi", "stream": True}
    reply = await plane.ask("POST", path, json.dumps(asked).encode())
    assert reply.body.startswith(events[0])
    assert await plane.metric("modelroute_errors_total", backend="small", type="ServerError") == 1
    assert await plane.metric("modelroute_errors_total", backend="small", type="StreamLost") == 0
