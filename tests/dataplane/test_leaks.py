"""A backend's key never reaches a client, whatever the backend gives back; and what is no key comes as it was sent."""

import asyncio
import json
from base64 import b64encode
from typing import Any

import pytest

from modelroute.snapshot.types import Backend
from tests.dataplane.conftest import Plane, backend
from tests.dataplane.faults import UNWATCHED, asking
from tests.fakes.upstream import DONE, Received, Script, Upstream, Wire, answers, streams, text

KEY, NEWER = "planted/0123456789", "newer/9876543210"
WAYS = {
    "plain": KEY,
    "escaped": KEY.replace("p", "\\u0070"),
    "slashes": KEY.replace("/", "\\/"),
    "both": KEY.replace("0", "\\u0030").replace("/", "\\u002F"),
    "base64": b64encode(KEY.encode()).decode(),
}
EVENT = b'data: {"id":"c","choices":[],"error":{"message":"key %b is wrong"}}\n\n'


def hosted(up: Upstream) -> Backend:
    return backend("big", up, weight=1, external=True, loopback_allowed=True, secret_file="big/key", health=UNWATCHED)


async def asks(plane: Plane, *scripts: Script) -> None:
    """A route to a backend that has a key."""
    plane.secret("big/key", KEY)
    await plane.route(hosted(await plane.upstream(*scripts)))


class TestMasked:
    @pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
    @pytest.mark.parametrize("status", [200, 400, 500])
    async def test_in_an_error(self, plane: Plane, status: int, way: str) -> None:
        await asks(plane, answers(b'{"error":{"message":"key %b is wrong"}}' % way.encode(), status))
        reply = await plane.chat()
        assert reply.error["message"] == "key *** is wrong"

    @pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
    async def test_in_an_error_of_a_stream_wherever_it_is_cut(self, plane: Plane, way: str) -> None:
        event = EVENT % way.encode()
        seen = asyncio.Event()
        cuts = list(range(0, len(event), 5))

        async def halves(_: Received, wire: Wire) -> None:
            cut = cuts.pop()
            wire.stream()
            wire.chunk(text("a") + event[:cut])
            await seen.wait()
            wire.chunk(event[cut:] + DONE)
            wire.end()

        await asks(plane, halves)
        while cuts:
            client = await asking(plane, stream=True)
            await client.head()
            shown = await client.chunk()
            seen.set()
            while piece := await client.chunk():
                shown += piece
            seen.clear()
            assert shown == text("a") + EVENT % b"***" + DONE

    async def test_in_a_good_answer(self, plane: Plane) -> None:
        await asks(plane, answers({"choices": [{"message": {"content": KEY}}]}))
        assert (await plane.chat()).json["choices"][0]["message"]["content"] == "***"

    async def test_in_a_long_answer(self, plane: Plane) -> None:
        await asks(plane, answers({"x": "x" * 300_000, "k": KEY}))
        assert (await plane.chat()).body.endswith(b'"k": "***"}')

    async def test_cut_in_a_long_answer(self, plane: Plane) -> None:
        async def in_two(_: Received, wire: Wire) -> None:
            wire.head(content_type="application/json", content_length=str(len(start) + len(end)))
            wire.raw(start)
            await seen.wait()
            wire.raw(end)

        seen = asyncio.Event()
        whole = b'{"x":"' + b"x" * 400_000 + b'","k":"' + KEY.encode() + b'"}'
        start, end = whole[:-10], whole[-10:]
        await asks(plane, in_two)
        client = await asking(plane)
        await client.head()
        got = await client.chunk()
        seen.set()
        while piece := await client.chunk():
            got += piece
        assert got == whole.replace(KEY.encode(), b"***")

    async def test_after_it_was_gone_for_a_while(self, plane: Plane) -> None:
        await asks(plane, answers({"message": f"{KEY} {KEY}TAIL"}))
        assert plane.router is not None
        for value in ("", f"{KEY}TAIL"):
            plane.secret("big/key", value)
            plane.router.poll()
        assert (await plane.chat()).json["message"] == "*** ***"

    async def test_in_a_streams_text(self, plane: Plane) -> None:
        await asks(plane, streams(text("a"), text(KEY), DONE))
        assert (await plane.chat(stream=True)).body == text("a") + text("***") + DONE

    @pytest.mark.parametrize("status", [200, 400])
    @pytest.mark.parametrize("name", ["content_type", "cache_control", "x_ratelimit_reset_tokens"])
    async def test_in_a_header(self, plane: Plane, name: str, status: int) -> None:
        body = {"error": {"message": "no"}} if status == 400 else None
        await asks(plane, answers(body, status, **{name: f"application/json; a={KEY}"}))
        reply = await plane.chat()
        assert reply.status == status
        assert KEY not in str(reply.headers)

    @pytest.mark.parametrize("status", [200, 400])
    async def test_after_it_was_changed(self, plane: Plane, status: int) -> None:
        told = {"message": f"{KEY} {NEWER}"}
        await asks(plane, answers({"error": told} if status == 400 else told, status))
        plane.secret("big/key", NEWER)
        assert plane.router is not None
        plane.router.poll()
        reply = await plane.chat()
        assert (reply.error if status == 400 else reply.json)["message"] == "*** ***"


TEXT = "192.168.1.1, web.default.svc, sk-proj-EXAMPLE1234"
GOOD = {"id": "r", "error": None, "output": [{"text": TEXT}], "usage": {"input_tokens": 7, "output_tokens": 3}}


class TestNotTouched:
    async def test_a_response_that_is_streamed(self, plane: Plane) -> None:
        told: list[dict[str, Any]] = [
            {"type": "response.created", "response": {"id": "r", "error": None}},
            {"type": "response.output_text.delta", "delta": TEXT},
            {"type": "response.output_item.done", "item": {"type": "mcp_call", "error": TEXT}},
            {"type": "response.completed", "response": GOOD},
        ]
        events = [f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in told]
        await asks(plane, streams(*events))
        body = b'{"model":"chat","input":"hi","stream":true}'
        assert (await plane.ask("POST", "/v1/responses", body)).body == b"".join(events)

    @pytest.mark.parametrize("size", [0, 300_000])
    async def test_an_answer_that_is_whole(self, plane: Plane, size: int) -> None:
        sent = json.dumps({**GOOD, "more": "x" * size}).encode()
        await asks(plane, answers(sent))
        assert (await plane.ask("POST", "/v1/responses", b'{"model":"chat","input":"hi"}')).body == sent
