"""Of several operators one works; when it ends or dies, another does."""

import asyncio

import pytest

from modelroute.controller import metrics
from modelroute.controller.leading import LeaseOptions
from tests.fakes.kube import FakeCluster
from tests.fakes.parties import DURATION, EVERY, TICK, Party, foreign, now, play, spec


def test_a_lease_that_is_free_is_taken_at_once() -> None:
    async def script(server: FakeCluster) -> None:
        party = Party(server, "a")
        await asyncio.sleep(TICK)
        assert party.works()
        assert (spec(server)["holderIdentity"], spec(server)["leaseTransitions"]) == ("a", 0)

    play(script)


def test_nothing_is_taken_before_it_is_ready_and_then_at_once() -> None:
    async def script(server: FakeCluster) -> None:
        party = Party(server, "a", ready=False)
        await asyncio.sleep(33.3)
        assert server.writes == []
        party.ready.set()
        await asyncio.sleep(TICK)
        assert party.works()

    play(script)


def test_o26_who_worked_before_without_a_lease_is_given_time_to_end() -> None:
    async def script(server: FakeCluster) -> None:
        heirs = [Party(server, name, heir=True) for name in "ab"]
        await asyncio.sleep(2 * DURATION - TICK)
        assert (server.writes, [heir.led for heir in heirs]) == ([], [[], []])
        await asyncio.sleep(EVERY + 2 * TICK)
        assert sorted(len(heir.led) for heir in heirs) == [0, 1]

    play(script)


def test_o26_an_heir_of_a_lease_waits_for_nobody_else() -> None:
    async def script(server: FakeCluster) -> None:
        foreign(server, holderIdentity="")
        heir = Party(server, "a", heir=True)
        await asyncio.sleep(TICK)
        assert heir.works()

    play(script)


def test_o05_of_two_one_works() -> None:
    async def script(server: FakeCluster) -> None:
        parties = [Party(server, "a"), Party(server, "b")]
        await asyncio.sleep(1000)
        assert sorted(len(party.led) for party in parties) == [0, 1]

    play(script)


def test_o29_when_the_leader_dies_without_a_word_the_other_works_within_the_lease_and_five_seconds() -> None:
    async def script(server: FakeCluster) -> None:
        first = Party(server, "a")
        await asyncio.sleep(TICK)
        other = Party(server, "b")
        await asyncio.sleep(101)
        first.line.hanging = True  # whatever it does, it is not seen any more
        died = now()
        await asyncio.sleep(100)
        assert other.led[0][0] - died <= DURATION + EVERY + TICK
        assert spec(server)["leaseTransitions"] == 1

    play(script)


def test_when_it_ends_the_next_one_begins_at_its_next_look() -> None:
    async def script(server: FakeCluster) -> None:
        first = Party(server, "a")
        await asyncio.sleep(TICK)
        other = Party(server, "b")
        await asyncio.sleep(100)
        await first.end()
        ended = now()
        assert spec(server)["holderIdentity"] == ""
        assert not first.works()
        await asyncio.sleep(EVERY)
        assert other.led[0][0] - ended <= EVERY

    play(script)


@pytest.mark.parametrize("when", ["1999-01-01T00:00:00.000000Z", "2999-01-01T00:00:00.000000Z"])
def test_a_foreign_lease_is_waited_for_by_our_own_clock(when: str) -> None:
    async def script(server: FakeCluster) -> None:
        foreign(server, renewTime=when, acquireTime=when)
        party = Party(server, "b")
        await asyncio.sleep(DURATION + 1)
        assert party.led[0] == [pytest.approx(DURATION, abs=TICK)]

    play(script)


def test_another_duration_of_someone_else_is_respected() -> None:
    async def script(server: FakeCluster) -> None:
        foreign(server, leaseDurationSeconds=100)
        party = Party(server, "b")
        await asyncio.sleep(200)
        assert party.led[0] == [pytest.approx(100, abs=TICK)]

    play(script)


def test_a_deleted_lease_is_no_reason_to_work_beside_its_holder() -> None:
    async def script(server: FakeCluster) -> None:
        first = Party(server, "a")
        await asyncio.sleep(TICK)
        other = Party(server, "b")
        await asyncio.sleep(100)
        for _ in range(20):
            server.objects.clear()
            await asyncio.sleep(5.3)  # its holder makes it anew, and the other one sees that
        assert len(first.led) == 1
        assert other.led == []
        assert spec(server)["holderIdentity"] == "a"

    play(script)


def test_of_two_that_try_at_once_one_gives_way() -> None:
    async def script(server: FakeCluster) -> None:
        parties = [Party(server, name) for name in "abcd"]
        await asyncio.sleep(TICK)
        assert sum(party.works() for party in parties) == 1

    play(script)


def test_work_that_fails_ends_it_and_gives_the_lease_back() -> None:
    async def script(server: FakeCluster) -> None:
        party = Party(server, "a")

        async def fail() -> None:
            raise LookupError("broken")

        party.work = fail
        with pytest.raises(LookupError, match="broken"):
            await party.running
        assert spec(server)["holderIdentity"] == ""
        assert party.fence.left < 0

    play(script)


def test_whether_it_leads_is_a_metric() -> None:
    async def script(server: FakeCluster) -> None:
        party = Party(server, "a")
        await asyncio.sleep(TICK)
        assert metrics.LEADER._value.get() == 1
        await party.end()
        assert metrics.LEADER._value.get() == 0

    play(script)


def test_an_operator_alone_has_a_name_that_no_other_has() -> None:
    assert LeaseOptions().identity != LeaseOptions().identity
