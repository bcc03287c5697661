"""Streams that break: an error event and never a silent end; clients that leave; what a real vLLM does."""

import asyncio
import json
import time
from typing import Any

import pytest

from modelroute.router.http.http1 import ClientConnection
from modelroute.router.http.upstream import Upstream
from modelroute.router.replicas.dial import dial
from modelroute.snapshot.types import Fallback, Health
from tests.dataplane.conftest import TIMES, Plane, backend, times
from tests.dataplane.faults import DRAINS, UNWATCHED, Held, after, asking, at_rest, begins, ejected, gate, until
from tests.fakes.upstream import DONE, OPENER, Received, Script, Wire, answers, closes, resets, silent, streams, text

NUMERIC = b'data: {"error":{"message":"engine died","type":"InternalServerError","code":500}}\n\n'


async def early(_: Received, wire: Wire) -> None:
    wire.end()


async def fails_inside(_: Received, wire: Wire) -> None:
    wire.chunk(NUMERIC)
    wire.chunk(DONE)
    wire.end()


@pytest.mark.parametrize(
    ("then", "code"),
    [(resets, "upstream_error"), (closes, "upstream_error"), (silent, "timeout"), (early, "upstream_error")],
    ids=["r05 reset", "r05 closed", "r06 stalled, as a vLLM that was ended leaves them", "r07 no last chunk"],
)
async def test_r05_r06_r07_a_stream_that_breaks_is_told_counted_and_charged(
    plane: Plane, then: Script, code: str
) -> None:
    up, other = await plane.upstream(begins(then)), await plane.upstream()
    timeouts = times(stream_idle=0.2) if then is silent else TIMES
    small = backend("small", up, weight=1, timeouts=timeouts, health=Health(1, path="", ejection=60))
    await plane.route(small, backend("big", other), fallbacks=(Fallback("big", ("Timeout", "ConnectFailure")),))
    reply = await plane.chat(stream=True)
    assert json.loads(reply.chunks[-1].removeprefix(b"data: "))["error"]["code"] == code
    assert (reply.whole, DONE in reply.body, other.received) == (True, False, [])
    assert ejected(plane) == [True]
    assert await plane.metric("modelroute_tokens_total", backend="small", kind="completion") == 1
    await at_rest(plane)


async def test_r11_an_error_inside_a_stream_that_has_begun_counts_against_the_replica(plane: Plane) -> None:
    up = await plane.upstream(begins(fails_inside))
    await plane.route(backend("small", up, weight=1, health=Health(1, path="", ejection=60)))
    reply = await plane.chat(stream=True)
    assert NUMERIC in reply.body  # passed once, in the backend's words
    assert ejected(plane) == [True]
    assert await plane.metric("modelroute_errors_total", backend="small", type="ServerError") == 1
    await at_rest(plane)


async def test_r11_an_error_that_opens_a_stream_is_taken_over(plane: Plane) -> None:
    big = await plane.upstream(streams())
    small = backend("small", await plane.upstream(streams(NUMERIC, DONE)), weight=1)
    await plane.route(small, backend("big", big), fallbacks=(Fallback("big", ("ServerError",)),))
    reply = await plane.chat(stream=True)
    assert (reply.reason, NUMERIC in reply.body) == ("fallback ServerError", False)
    await at_rest(plane)


@pytest.mark.parametrize("phase", ["prefill", "stream"])
async def test_r20_a_client_that_leaves_cancels_its_backend_within_two_turns_of_the_loop(
    plane: Plane, phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No timer and no look at sockets lies between the two, so that 100 ms are long whatever else a machine does."""
    turn = 0
    turns: dict[str, int] = {}

    async def count() -> None:
        nonlocal turn
        while True:
            await asyncio.sleep(0)
            turn += 1

    def note(kind: type, name: str, what: str) -> None:
        true = getattr(kind, name)

        def noting(self: Any, *args: Any) -> Any:
            turns.setdefault(what, turn)
            return true(self, *args)

        monkeypatch.setattr(kind, name, noting)

    up = await plane.upstream(silent if phase == "prefill" else begins(silent))
    await plane.route(backend("small", up, weight=1))
    client = await asking(plane, stream=True)
    await up.seen(1)
    if phase == "stream":
        await client.head()
        await client.chunk()
    note(ClientConnection, "eof_received", "left")
    note(Upstream, "close", "cancelled")
    counting = asyncio.create_task(count())
    client.close()
    await up.left()
    counting.cancel()
    assert 0 <= turns["cancelled"] - turns["left"] <= 2
    await at_rest(plane)
    assert await plane.metric("modelroute_requests_total", backend="small", code="499") == 1


async def test_r20_a_crowd_that_leaves_at_once_leaves_nothing(plane: Plane) -> None:
    up = await plane.upstream(begins(silent))
    await plane.route(backend("small", up, weight=1))
    clients = [await asking(plane, stream=True) for _ in range(50)]
    await up.seen(50)
    for client in clients:
        client.close()
    await up.left()
    await at_rest(plane)
    assert ejected(plane) == [False]


async def test_vllm_that_drains_is_out_at_its_first_refusal(plane: Plane) -> None:
    """Its health check says yes until it is gone."""
    ending, other = await plane.upstream(DRAINS), await plane.upstream()
    await plane.route(backend("small", ending, other, weight=1))
    statuses = set()
    while not ending.received:  # chance picks the replica
        statuses.add((await plane.chat()).status)
    statuses |= {(await plane.chat()).status for _ in range(10)}
    assert (statuses, len(ending.received), ejected(plane)) == ({200}, 1, [True, False])
    await at_rest(plane)


async def test_vllm_code_that_is_a_number_is_told_as_a_name(plane: Plane) -> None:
    told = {"message": "This model's maximum context length is 2048 tokens.", "type": "BadRequestError", "code": 400}
    await plane.route(backend("small", await plane.upstream(answers({"error": told}, 400)), weight=1))
    assert (await plane.chat()).error["code"] == "context_length_exceeded"
    await at_rest(plane)


async def test_vllm_that_is_full_is_no_failure_of_its_own_and_others_take_over(plane: Plane) -> None:
    busy = answers({"error": {"message": "The engine is currently busy and cannot accept new requests."}}, 503)
    full = await plane.upstream(busy)
    health = Health(1, path="")
    small = backend("small", full, weight=1, health=health)
    await plane.route(small, backend("big", await plane.upstream()), fallbacks=(Fallback("big", ("Overloaded",)),))
    assert [(await plane.chat()).reason for _ in range(2)] == ["fallback Overloaded"] * 2
    assert ejected(plane) == [False]
    await at_rest(plane)


async def test_vllm_opener_is_no_first_token_but_ends_the_wait_for_one(plane: Plane) -> None:
    waits = asyncio.Event()

    async def thinks(_: Received, wire: Wire) -> None:
        await waits.wait()
        wire.chunk(text("a") + DONE)
        wire.end()

    up = await plane.upstream(begins(thinks, OPENER))
    await plane.route(backend("small", up, weight=1, timeouts=times(first_token_streamed=2, stream_idle=10)))
    client = await asking(plane, stream=True)
    await client.head()
    assert await client.chunk() == OPENER
    assert await plane.metric("modelroute_time_to_first_token_seconds_count", backend="small") == 0
    await asyncio.sleep(2.1)  # longer than the first byte may take
    waits.set()
    assert await client.chunk() == text("a") + DONE
    await at_rest(plane)


async def test_r14_a_slow_replica_gets_less(plane: Plane) -> None:
    """Two are quick, and one takes ten times as long: who is still at work gets no more."""

    async def slow(received: Received, wire: Wire) -> None:
        await asyncio.sleep(0.2)
        await answers()(received, wire)

    async def quick(received: Received, wire: Wire) -> None:
        await asyncio.sleep(0.005)
        await answers()(received, wire)

    ups = [await plane.upstream(s) for s in (slow, quick, quick)]
    await plane.route(backend("small", *ups, weight=1, health=UNWATCHED))

    async def keep_asking() -> None:
        for _ in range(25):
            assert (await plane.chat()).status == 200

    await asyncio.gather(*(keep_asking() for _ in range(6)))
    assert len(ups[0].received) < 150 / 4
    await at_rest(plane)


@pytest.mark.parametrize("at_once", [1, 4])
async def test_r14_a_replica_that_is_known_to_be_slow_is_left_alone(plane: Plane, at_once: int) -> None:
    ups = [await plane.upstream(after(seconds, answers())) for seconds in (0.2, 0.02, 0.02)]
    await plane.route(backend("small", *ups, weight=1, health=UNWATCHED))
    while not all(up.received for up in ups):
        await plane.chat()
    known = len(ups[0].received)

    async def keep_asking() -> None:
        for _ in range(100 // at_once):
            assert (await plane.chat()).status == 200

    await asyncio.gather(*(keep_asking() for _ in range(at_once)))
    assert len(ups[0].received) - known <= 10  # a third, if it were not known
    await at_rest(plane)


@pytest.mark.parametrize("stream", [True, False])
async def test_r21_a_backend_waits_for_a_client_that_stopped_reading_before_it_was_reached(
    plane: Plane, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    async def pausing(*args: Any) -> Upstream:
        connection = await dial(*args)
        served().pause_writing()
        return connection

    def served() -> ClientConnection:
        (only,) = router.public.clients
        return only

    monkeypatch.setattr("modelroute.router.flow.attempt.dial", pausing)
    up = await plane.upstream(streams() if stream else answers())
    router = await plane.route(backend("small", up, weight=1))
    reply = asyncio.create_task((await asking(plane, stream=stream)).reply())
    await up.seen(1)
    for _ in range(50):  # turns of the loop; an answer that were read would be there after a few
        await asyncio.sleep(0.002)
    assert not reply.done()
    served().resume_writing()
    assert ((await reply).status, (await reply).whole) == (200, True)
    await at_rest(plane)


async def test_r29_the_end_tells_all_streams_and_leaves_nothing(plane: Plane) -> None:
    up = await plane.upstream(begins(silent))
    plane.write(backend("small", up, weight=1))
    router = await plane.start(grace=0.1)
    clients = [await asking(plane, stream=True) for _ in range(100)]
    await until(lambda: gate(plane).in_flight == 100)
    for client in clients:
        await client.head()
        await client.chunk()
    router.end()
    for client in clients:
        assert b"shutting down" in await client.chunk()
        assert await client.chunk() == b""
    await up.left()
    await at_rest(plane)


@pytest.mark.parametrize("hours", [1, -1])
async def test_r30_a_clock_that_is_set_ends_nothing_early_and_keeps_nothing_late(
    plane: Plane, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    held = Held()
    api = await plane.upstream(answers({"error": {}}, 429, retry_after="2"), answers())
    small, timed = await plane.upstream(held), times(total=1000)
    await plane.route(
        backend("api", api, weight=1),
        backend("small", small, timeouts=timed),
        fallbacks=(Fallback("small", ("RateLimited",)),),
    )
    client = await asking(plane)
    await small.seen(1)
    true = time.time
    monkeypatch.setattr(time, "time", lambda: true() + hours * 3600)
    assert gate(plane, "api").trouble is not None
    await until(lambda: gate(plane, "api").trouble is None)
    assert (await plane.chat()).backend == "api"
    held.go.set()
    assert (await client.reply()).status == 200
    await at_rest(plane)
