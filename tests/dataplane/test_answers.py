"""The corpus of hostile answers on real sockets: what the client sees, what is left (G8, R5-R7, R11-R13)."""

import json
import re

import pytest

from modelroute.snapshot.types import Retry
from tests.dataplane.conftest import TIMES, Plane, backend, times
from tests.dataplane.corpus_answers import CASES, Broken, Case, Cut, Error, Whole
from tests.fakes.client import Reply, chat, http
from tests.fakes.upstream import Received, Wire, answers

KEYS = {"message", "type", "param", "code"}


def check_error(reply: Reply, wanted: Error) -> None:
    assert reply.status == wanted.status
    assert reply.headers["content-type"] == "application/json"
    assert set(reply.error) == KEYS
    assert wanted.says in reply.error["message"]
    assert "location" not in reply.headers


def check_broken(reply: Reply, wanted: Broken) -> None:
    assert reply.status == 200
    assert reply.whole
    assert reply.body.startswith(wanted.begins)
    errors = re.findall(rb"^data: (\{\"error\".*)$", reply.body, re.MULTILINE)
    assert len(errors) == 1
    assert reply.body.endswith(b"data: " + errors[0] + b"\n\n")
    assert wanted.says in json.loads(errors[0])["error"]["message"]


@pytest.mark.parametrize("case", CASES, ids=[f"{n}-{case.name}" for n, case in enumerate(CASES)])
async def test_a_hostile_answer_is_told_and_forgotten(plane: Plane, case: Case) -> None:
    async def hostile(_: Received, wire: Wire) -> None:
        wire.raw(case.sends)
        if case.stays:
            await wire.gone()
        else:
            await wire.writer.drain()
            wire.writer.close()

    silent = case.name.startswith("silence")  # all others must not come to the end of any time
    timeouts = times(first_token_streamed=2, first_token_whole=2, stream_idle=0.5) if silent else TIMES
    up = await plane.upstream(hostile, answers())
    await plane.route(backend("small", up, weight=1, timeouts=timeouts), retry=Retry(attempts=1))
    client = await plane.connect()
    body = chat(stream=True) if case.stream else chat()
    client.send(http("POST", "/v1/chat/completions", body))
    reply = await client.reply()
    match case.sees:
        case Error():
            check_error(reply, case.sees)
        case Whole(body):
            assert (reply.status, reply.whole, reply.body) == (200, True, body)
        case Broken():
            check_broken(reply, case.sees)
        case Cut():
            assert not reply.whole
    assert b"secret" not in reply.body
    assert up.address.encode() not in reply.body
    assert await plane.metric("modelroute_requests_in_flight", backend="small") == 0
    for kind in ("prompt", "completion"):
        assert 0 <= await plane.metric("modelroute_tokens_total", backend="small", kind=kind) < 10**9
    # The next request is answered with its own answer, on a connection on which nothing is left of this one.
    if case.sees not in (Error(429), Error(503)):
        assert b'"completion_tokens": 5' in (await plane.chat()).body
