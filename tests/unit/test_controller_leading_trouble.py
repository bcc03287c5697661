"""A leader in trouble: an API server that is away, a process that is paused, a lease that is taken away."""

import asyncio
import logging

import pytest

from modelroute.controller.kube.kinds import LEASE
from modelroute.controller.leading import LEASE_NAME
from tests.fakes.kube import FakeCluster
from tests.fakes.parties import DEADLINE, DURATION, EVERY, TICK, Party, foreign, now, pause, play, spec


def test_a_leader_that_cannot_renew_has_ended_before_another_begins() -> None:
    async def script(server: FakeCluster) -> None:
        first = Party(server, "a")
        await asyncio.sleep(TICK)
        other = Party(server, "b")
        await asyncio.sleep(100)
        first.line.fail()
        failed = now()
        await asyncio.sleep(100)
        assert first.led[0][1] - failed <= DEADLINE
        assert first.led[0][1] + 1 < other.led[0][0]

    play(script)


def test_an_outage_that_is_shorter_than_the_deadline_is_nothing() -> None:
    async def script(server: FakeCluster) -> None:
        party = Party(server, "a")
        await asyncio.sleep(100)
        party.line.fail(500)
        await asyncio.sleep(DEADLINE - 1.5 * EVERY - TICK)
        party.line.failing = None
        await asyncio.sleep(100)
        assert len(party.led) == 1
        assert party.works()

    play(script)


def test_a_request_without_an_answer_leaves_time_for_another() -> None:
    async def script(server: FakeCluster) -> None:
        party = Party(server, "a")
        await asyncio.sleep(100)
        party.line.hanging = True
        await asyncio.sleep(EVERY + TICK)
        party.line.hanging = False
        await asyncio.sleep(100)
        assert len(party.led) == 1

    play(script)


def test_what_was_lost_in_an_outage_is_taken_again_when_nobody_else_has_it() -> None:
    async def script(server: FakeCluster) -> None:
        party = Party(server, "a")
        await asyncio.sleep(100)
        party.line.fail(503)
        await asyncio.sleep(100)
        assert not party.works()
        party.line.failing = None
        await asyncio.sleep(EVERY)
        assert party.works()
        assert spec(server)["leaseTransitions"] == 0

    play(script)


def test_the_api_servers_wish_for_peace_is_followed() -> None:
    async def script(server: FakeCluster) -> None:
        party = Party(server, "a", ready=False)
        party.line.fail(429, retry_after=60)
        await asyncio.sleep(1)
        party.line.failing = None
        party.ready.set()
        await asyncio.sleep(50)
        assert not party.led
        await asyncio.sleep(20)
        assert party.works()

    play(script)


def test_o06_a_leader_that_was_paused_may_not_write_when_it_wakes() -> None:
    async def script(server: FakeCluster) -> None:
        party = Party(server, "a")
        await asyncio.sleep(100)
        assert party.fence.left > 0
        pause(60)
        assert party.fence.left < 0  # before any task has had a turn

    play(script)


def test_o06_a_leader_that_was_paused_ends_its_work_when_another_has_taken_over() -> None:
    async def script(server: FakeCluster) -> None:
        party = Party(server, "a")
        await asyncio.sleep(100)
        pause(60)
        foreign(server)
        await asyncio.sleep(TICK)
        assert not party.works()
        await asyncio.sleep(DURATION - 1)
        assert len(party.led) == 1
        assert party.fence.left < 0

    play(script)


def test_a_lease_that_was_taken_away_is_let_go_at_the_next_renewal() -> None:
    async def script(server: FakeCluster) -> None:
        party = Party(server, "a")
        await asyncio.sleep(100)
        foreign(server)
        await asyncio.sleep(EVERY)
        assert not party.works()
        assert party.fence.left < 0

    play(script)


def test_an_end_in_the_middle_of_a_renewal_gives_the_lease_back_too() -> None:
    async def script(server: FakeCluster) -> None:
        party = Party(server, "a")
        await asyncio.sleep(TICK)
        # The renewal is carried out, but its answer is not waited for.
        server.keep(LEASE, server.objects[LEASE.name, LEASE_NAME])
        await party.end()
        assert spec(server)["holderIdentity"] == ""

    play(script)


def test_an_end_does_not_wait_for_an_api_server_that_is_silent() -> None:
    async def script(server: FakeCluster) -> None:
        party = Party(server, "a")
        await asyncio.sleep(100)
        party.line.hanging = True
        before = now()
        await party.end()
        assert now() - before <= 2.1

    play(script)


@pytest.mark.parametrize(("status", "reachable"), [(0, False), (503, False), (429, False), (403, True)])
def test_it_knows_since_when_the_api_server_answers(status: int, reachable: bool) -> None:
    async def script(server: FakeCluster) -> None:
        party = Party(server, "a")
        await asyncio.sleep(100)
        assert party.leadership.reachable_since == 0
        party.line.fail(status)
        await asyncio.sleep(100)
        assert (party.leadership.reachable_since is not None) == reachable
        party.line.failing = None
        await asyncio.sleep(50)
        assert party.leadership.reachable_since == (0 if reachable else pytest.approx(200, abs=EVERY))

    play(script)


def test_trouble_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    async def script(server: FakeCluster) -> None:
        foreign(server, leaseDurationSeconds=10_000)
        party = Party(server, "a")
        await asyncio.sleep(100)
        party.line.fail(503)
        await asyncio.sleep(100)

    with caplog.at_level(logging.INFO):
        play(script)
    assert [r.message for r in caplog.records] == ["following x", f"cannot update Lease/{LEASE_NAME}: no"]
