"""The keys of hosted APIs: sent where they belong, taken up when they change, shown nowhere."""

import logging

import pytest

from modelroute.snapshot.types import Backend, Fallback
from tests.dataplane.conftest import Plane, backend
from tests.fakes.upstream import Received, Upstream, Wire, answers

KEY = "sk-planted-0123456789"


def hosted(up: Upstream) -> Backend:
    return backend("big", up, weight=1, external=True, loopback_allowed=True, secret_file="big/key")


async def test_the_key_is_sent_to_its_backend_and_the_clients_is_not(plane: Plane) -> None:
    up = await plane.upstream()
    plane.secret("big/key", f"{KEY}\n")
    await plane.route(hosted(up))
    await plane.chat(headers={"authorization": "Bearer client"})
    assert up.received[0].headers["authorization"] == f"Bearer {KEY}"


async def test_a_backend_without_a_key_gets_no_authorization(plane: Plane) -> None:
    up = await plane.upstream()
    await plane.route(backend("small", up, weight=1))
    await plane.chat(headers={"authorization": "Bearer client"})
    assert "authorization" not in up.received[0].headers


async def test_o19_a_changed_key_is_used_from_the_next_request(plane: Plane) -> None:
    up = await plane.upstream()
    plane.secret("big/key", "old")
    router = await plane.route(hosted(up))
    await plane.chat()
    plane.secret("big/key", "newer")
    router.poll()
    await plane.chat()
    assert [r.headers["authorization"] for r in up.received] == ["Bearer old", "Bearer newer"]


@pytest.mark.parametrize("value", [None, "", "  \n", "two\nlines", "caf\u00e9"])
async def test_a_backend_whose_key_is_not_there_is_not_called(
    plane: Plane, value: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    up, small = await plane.upstream(), await plane.upstream()
    if value is not None:
        plane.secret("big/key", value)
    fallbacks = (Fallback("small", ("ConnectFailure",)),)
    await plane.route(hosted(up), backend("small", small), fallbacks=fallbacks)
    reply = await plane.chat()
    assert (reply.backend, reply.reason) == ("small", "fallback ConnectFailure")
    assert up.received == []
    assert "big/key" in caplog.text


@pytest.mark.parametrize("status", [400, 401, 403, 500])
async def test_a_key_that_a_backend_tells_is_not_passed_on(plane: Plane, status: int) -> None:
    error = {"error": {"message": f"key {KEY} is wrong", "type": KEY, "param": KEY, "code": KEY}}
    plane.secret("big/key", KEY)
    await plane.route(hosted(await plane.upstream(answers(error, status))))
    reply = await plane.chat()
    assert reply.status == status
    assert KEY.encode() not in reply.body
    assert set(reply.error) == {"message", "type", "param", "code"}


async def test_a_backends_address_is_not_passed_on(plane: Plane) -> None:
    up = await plane.upstream()
    up.scripts = [answers({"error": {"message": f"cannot serve at {up.address}"}}, 400)]
    await plane.route(backend("small", up, weight=1))
    assert up.address.encode() not in (await plane.chat()).body


async def test_credentials_that_a_backend_refuses_are_not_blamed_on_the_client(plane: Plane) -> None:
    plane.secret("big/key", KEY)
    await plane.route(hosted(await plane.upstream(answers({"error": {"message": "Incorrect API key"}}, 401))))
    reply = await plane.chat()
    assert (reply.status, reply.error["code"]) == (401, "upstream_credentials")
    assert 'backend "big"' in reply.error["message"]


async def test_a_key_is_in_no_log_metric_or_status(plane: Plane, caplog: pytest.LogCaptureFixture) -> None:
    async def breaks(_: Received, wire: Wire) -> None:
        wire.raw(f"{KEY} is no HTTP\r\n".encode())

    caplog.set_level(logging.DEBUG)
    plane.secret("big/key", KEY)
    router = await plane.route(hosted(await plane.upstream(answers(), breaks)))
    replies = [await plane.chat() for _ in range(2)]
    plane.secret("big/key", f"{KEY} {KEY}")
    router.poll()
    replies += [
        await plane.chat(),
        await plane.ask("GET", "/metrics", admin=True),
        await plane.ask("GET", "/status", admin=True),
    ]
    shown = caplog.text + "".join(str(r.headers) + r.body.decode() for r in replies)
    assert KEY not in shown
