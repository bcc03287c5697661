"""What failures of one kind mean for the choice, and what nobody may learn from an answer."""

import asyncio
from typing import cast

import pytest

from modelroute.snapshot.types import ColdStart, Fallback, Health, Rule, When
from tests.dataplane.conftest import Plane, backend, times
from tests.dataplane.faults import asking, at_rest, gate, nobody, patience_ends, until
from tests.fakes.client import chat, http
from tests.fakes.upstream import DONE, OPENER, answers, streams

BUSY = answers({"error": {"message": "busy"}}, 503, retry_after="20")


async def test_r16_a_fallback_for_what_ejected_a_backend_goes_on_covering_it(plane: Plane) -> None:
    dead = backend("a", await nobody(), weight=1, health=Health(2, ejection=60))
    covers = (Fallback("b", ("ConnectFailure", "Timeout")),)
    await plane.route(dead, backend("b", await plane.upstream()), fallbacks=covers)
    assert [(await plane.chat()).status for _ in range(8)] == [200] * 8
    await at_rest(plane)


async def test_r09_a_hosted_api_that_says_when_it_has_room_is_covered_meanwhile(plane: Plane) -> None:
    hosted = backend("a", await plane.upstream(BUSY), weight=1, external=True, loopback_allowed=True)
    covers = (Fallback("f", ("Overloaded", "ServerError")),)
    await plane.route(hosted, backend("f", await plane.upstream()), fallbacks=covers)
    assert [(await plane.chat()).backend for _ in range(3)] == ["f"] * 3
    await at_rest(plane)


async def test_an_error_event_of_a_backend_tells_neither_its_key_nor_its_address(plane: Plane) -> None:
    plane.secret("a/key", "planted-key-of-the-backend")
    up = await plane.upstream()
    told = f"key planted-key-of-the-backend, sk-abcdefgh12345678 at {up.address} and http://10.1.2.3:8000/v1"
    event = b'data: {"error":{"message":"' + told.encode() + b'"}}\n\n'
    up.scripts = [streams(OPENER, event, DONE)]
    await plane.route(backend("a", up, weight=1, secret_file="a/key"))
    body = (await plane.chat(stream=True)).body
    assert b'"error"' in body
    assert not [secret for secret in (b"planted", b"sk-abc", up.address.encode(), b"10.1.2.3") if secret in body]


@pytest.mark.parametrize("address", ["169.254.169.254:80", "100.100.100.200:80", "[fe80::1]:80"])
async def test_a_replica_at_a_link_local_or_metadata_address_is_not_called(plane: Plane, address: str) -> None:
    await plane.route(backend("a", address, weight=1, timeouts=times(connect=1000)))
    reply = await plane.chat()  # a call would have to be waited for
    assert (reply.status, reply.error["code"]) == (502, "upstream_error")


async def test_r21_no_turn_is_given_to_a_client_that_does_not_read(plane: Plane) -> None:
    router = await plane.route(backend("a", await plane.upstream(), weight=1))
    client = await plane.connect()
    cast("asyncio.Transport", client.writer.transport).pause_reading()
    client.send(http("GET", "/v1/models") * 30_000)
    await until(lambda: len(router.public.clients) == 1)
    (served,) = router.public.clients
    most = still = 0
    while still < 50:  # the kernel takes more for a while, and is full then
        before = served.waiting
        await asyncio.sleep(0.002)
        still = still + 1 if served.paused and served.waiting == before else 0
        most = max(most, served.waiting)
    assert most < 262_144


async def test_a_request_whose_only_allowed_backends_have_no_weight_goes_to_them(plane: Plane) -> None:
    rule = Rule("inside", When(headers={"x-data": "secret"}), exclude=("a",))
    await plane.route(
        backend("a", await plane.upstream(), weight=1), backend("b", await plane.upstream()), rules=(rule,)
    )
    reply = await plane.chat(headers={"x_data": "secret"})
    assert (reply.backend, reply.reason) == ("b", "what is left")


async def test_a_held_request_goes_to_one_with_a_share_of_its_own_where_no_fallback_is_declared(plane: Plane) -> None:
    cold = backend("a", weight=999_999, cold_start=ColdStart("HoldThenFallback", max_wait=1000))
    await plane.route(cold, backend("b", await plane.upstream(), weight=1))
    client = await asking(plane, headers={"x_request_timeout_ms": "2000"})
    await until(lambda: gate(plane, "a").waiting == 1)  # for half of its time
    reply = await client.reply()
    assert (reply.status, reply.backend) == (200, "b")
    assert await plane.metric("modelroute_fallbacks_total", from_="a", to="b", reason="ColdStart") == 1
    await at_rest(plane)


async def test_a_held_request_falls_back_by_the_data_policy_of_now(plane: Plane) -> None:
    cold = backend("a", weight=1, cold_start=ColdStart("HoldThenFallback", max_wait=1000))
    closed = (Rule("private", When(headers={"x-data": "secret"}), fail_closed=True),)
    covers = (Fallback("b", ("ColdStart",)),)
    up = await plane.upstream()
    await plane.route(cold, backend("b", up), rules=closed, fallbacks=covers)
    client = await plane.connect()
    client.send(http("POST", "/v1/chat/completions", chat(), x_data="secret"))
    await until(lambda: gate(plane, "a").waiting == 1)
    await plane.route(cold, backend("b", up, data_policy="External"), rules=closed, fallbacks=covers)
    patience_ends(gate(plane, "a"))
    assert (await client.reply()).status in (503, 504)
    assert up.received == []
