"""Where a backend's name leads to: looked up aside, kept while DNS fails, held to what is allowed."""

import asyncio
import socket
from typing import Any

import pytest

from tests.dataplane.conftest import Plane, backend
from tests.fakes.upstream import DONE, Received, Upstream, Wire, answers, text


class Names:
    """The name server that a router asks."""

    def __init__(self) -> None:
        self.addresses: list[str] | None = ["127.0.0.1"]  # None: it fails
        self.asked = 0
        self.slow: asyncio.Event | None = None
        self.heard = asyncio.Condition()

    async def resolve(self, _host: str, _port: int) -> list[str]:
        self.asked += 1
        async with self.heard:
            self.heard.notify_all()
        if self.slow is not None:
            await self.slow.wait()
        if self.addresses is None:
            raise socket.gaierror(-3, "try again")
        return self.addresses


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """A name server, asked again at each look at the idle connections."""
    names = Names()
    monkeypatch.setattr("modelroute.router.replicas.names.resolve", names.resolve)
    monkeypatch.setattr("modelroute.router.replicas.names.REFRESH_SECONDS", 0.0)
    return names


async def asked_again(names: Names, times: int = 2) -> None:
    """Until what the name server says now has been heard."""
    until = names.asked + times
    async with names.heard:
        await names.heard.wait_for(lambda: names.asked >= until)


async def named(plane: Plane, up: Upstream, **more: Any) -> None:
    await plane.route(backend("big", f"api.example.com:{up.port}", weight=1, **more))


async def test_r18_the_last_address_of_a_name_is_kept_while_dns_fails(
    plane: Plane, names: Names, caplog: pytest.LogCaptureFixture
) -> None:
    up = await plane.upstream(answers(), answers(connection="close"))
    await named(plane, up)
    assert (await plane.chat()).status == 200
    names.addresses = None
    await asked_again(names, 4)
    assert [(await plane.chat()).status for _ in range(3)] == [200, 200, 200]
    assert up.connections == 3  # those that were open stayed, and new ones are made
    assert caplog.text.count("cannot be resolved") == 1


async def test_r18_a_changed_address_is_taken_up_and_idle_connections_to_the_old_one_are_closed(
    plane: Plane, names: Names
) -> None:
    old, new = await plane.upstream(), Upstream()
    new.host, new.port = "127.0.0.2", old.port
    async with new:
        await named(plane, old)
        assert (await plane.chat()).status == 200
        names.addresses = ["127.0.0.2"]
        await old.left()
        assert (await plane.chat()).status == 200
        assert (len(old.received), len(new.received)) == (1, 1)


async def test_r18_a_running_answer_is_not_cut_by_a_changed_address(plane: Plane, names: Names) -> None:
    go_on = asyncio.Event()

    async def slow(_: Received, wire: Wire) -> None:
        wire.stream()
        wire.chunk(text("a"))
        await go_on.wait()
        wire.chunk(DONE)
        wire.end()

    up = await plane.upstream(slow)
    await named(plane, up)
    asking = asyncio.create_task(plane.chat(stream=True))
    await up.seen(1)
    names.addresses = ["127.0.0.2"]
    await asked_again(names)
    go_on.set()
    reply = await asking
    assert reply.body.endswith(DONE)
    await up.left()  # and its connection is not kept


async def test_r18_a_slow_name_server_keeps_nobody_waiting_once_an_address_is_known(plane: Plane, names: Names) -> None:
    up = await plane.upstream(answers(), answers(connection="close"))
    await named(plane, up)
    assert (await plane.chat()).status == 200
    names.slow = asyncio.Event()
    await asked_again(names, 1)
    asked = names.asked
    assert plane.router is not None
    plane.router.live.endpoints.reap(asyncio.get_running_loop().time())
    assert [(await plane.chat()).status for _ in range(3)] == [200, 200, 200]
    assert (up.connections, names.asked) == (3, asked)


async def test_many_requests_ask_for_a_name_once(plane: Plane, names: Names) -> None:
    names.slow = asyncio.Event()
    up = await plane.upstream()
    await named(plane, up)
    asking = [asyncio.create_task(plane.chat()) for _ in range(5)]
    while await plane.metric("modelroute_requests_in_flight", backend="big") < 5:
        assert names.asked <= 1
    names.slow.set()
    assert [(await each).status for each in asking] == [200] * 5


@pytest.mark.parametrize("address", ["169.254.169.254", "0.0.0.0", "fe80::1", "100.100.100.200", "::ffff:169.254.1.1"])
async def test_a_name_that_comes_to_lead_to_a_forbidden_address_leads_nowhere(
    plane: Plane, names: Names, address: str
) -> None:
    up = await plane.upstream()
    await named(plane, up, external=True, loopback_allowed=True)
    assert (await plane.chat()).status == 200
    names.addresses = [address]
    await up.left()
    assert (await plane.chat()).status == 502
    assert len(up.received) == 1


async def test_of_several_addresses_the_forbidden_ones_are_passed_over(plane: Plane, names: Names) -> None:
    names.addresses = ["169.254.169.254", "127.0.0.1"]
    up = await plane.upstream()
    await named(plane, up, external=True, loopback_allowed=True)
    assert (await plane.chat()).status == 200


async def test_an_address_where_nobody_answers_is_tried_last_from_then_on(plane: Plane, names: Names) -> None:
    names.addresses = ["127.0.0.2", "127.0.0.3", "127.0.0.1"]  # nobody listens at the first two
    up = await plane.upstream()
    await named(plane, up)
    statuses = [(await plane.chat()).status for _ in range(3)]
    assert statuses[-1] == 200


async def test_a_name_that_nobody_used_for_long_is_looked_up_before_it_is_used(
    plane: Plane, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelroute.router.replicas.names.STALE_SECONDS", 0.0)
    monkeypatch.setattr("modelroute.router.replicas.names._RETRY_SECONDS", 0.0)
    patience = "modelroute.router.replicas.names._PATIENCE_SECONDS"
    monkeypatch.setattr(patience, 0.1)
    old, new = await plane.upstream(answers(connection="close")), Upstream()
    new.host, new.port = "127.0.0.2", old.port
    async with new:
        await named(plane, old)
        await plane.chat()
        names.slow = asyncio.Event()
        assert (await plane.chat()).status == 200  # at the last address: the name server took too long
        monkeypatch.setattr(patience, 1000)
        names.slow.set()
        names.addresses = ["127.0.0.2"]
        await plane.chat()
        assert (len(old.received), len(new.received)) == (2, 1)


async def test_a_name_without_an_address_is_not_asked_for_by_each_request(
    plane: Plane, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelroute.router.replicas.names._RETRY_SECONDS", 1000)
    monkeypatch.setattr("modelroute.router.replicas.names.REFRESH_SECONDS", 1000)
    names.addresses = None
    await named(plane, await plane.upstream())
    assert [(await plane.chat()).status for _ in range(4)] == [502] * 4
    assert names.asked == 1
