"""The sampler: each route as often as suits it. Time is a loop's that the tests turn."""

import asyncio
from dataclasses import replace

import pytest

from modelroute.api import types as t
from modelroute.controller.asking.sampler import FAST
from modelroute.planning.asking import RESTING_SECONDS, SAMPLED_SECONDS, Asking, Sampled
from tests.fakes.sampling import CHAT, NEWEST, World, asking, follow


@pytest.mark.parametrize("interval", [RESTING_SECONDS, SAMPLED_SECONDS])
def test_at_rest_a_route_is_asked_at_its_interval(interval: float) -> None:
    world = World()
    follow(world, 61, asking(interval=interval))
    assert set(world.pods.gaps()) == {interval}
    assert world.again == [CHAT]  # by the first answer alone


def test_routers_and_replicas_are_asked_what_each_can_tell() -> None:
    world = World()
    follow(world, 1, asking(replicas=1))
    assert [url for _, url in world.pods.asked] == ["http://10.0.9.0:8001/status", "http://10.0.0.0:8000/metrics"]


def test_nobody_is_asked_of_a_route_that_has_nobody() -> None:
    world = World()
    follow(world, 600, Asking(NEWEST))
    assert world.pods.asked == []


def test_while_a_snapshot_is_on_its_way_routers_are_asked_fast() -> None:
    world = World()
    world.pods.runs = "01d"

    async def script() -> None:
        world.sampler.follow(CHAT, asking())
        await asyncio.sleep(2)
        world.pods.runs = NEWEST
        await asyncio.sleep(30)

    world.during(script)
    assert set(world.pods.gaps()) == {FAST, RESTING_SECONDS}
    assert len(world.again) == 2


def test_a_router_that_lags_for_long_is_asked_less_and_less_often() -> None:
    world = World()
    world.pods.runs = "01d"
    follow(world, 600, asking())
    assert set(world.pods.gaps()) == {FAST, 1.0, 5.0}
    assert len(world.again) == 1


def test_after_a_new_revision_it_is_asked_fast_again() -> None:
    world = World()
    world.pods.runs = "01d"

    async def script() -> None:
        world.sampler.follow(CHAT, asking())
        await asyncio.sleep(600)
        world.sampler.follow(CHAT, asking(revision="fedcba"))
        await asyncio.sleep(5)

    world.during(script)
    assert world.pods.gaps()[-3:] == [FAST] * 3


def test_a_router_that_cannot_be_asked_is_told_of_once() -> None:
    world = World()
    world.pods.runs = None
    follow(world, 600, asking())
    assert len(world.again) == 2  # nobody answers yet; nobody answers
    assert world.pods.gaps()[-1] == RESTING_SECONDS


def test_a_new_revision_is_asked_for_at_once() -> None:
    world = World()

    async def script() -> None:
        world.sampler.follow(CHAT, asking())
        await asyncio.sleep(5)
        world.sampler.follow(CHAT, asking(revision="fedcba"))
        await asyncio.sleep(1.5 * FAST)

    world.during(script)
    assert [time for time, _ in world.pods.asked] == [0.0, 5 + FAST]


def test_a_route_that_is_gone_is_asked_no_more() -> None:
    world = World()

    async def script() -> None:
        world.sampler.follow(CHAT, asking())
        await asyncio.sleep(1)
        world.sampler.forget(CHAT)
        await asyncio.sleep(60)
        assert world.sampler.seen(CHAT).told == {}

    world.during(script)
    assert len(world.pods.asked) == 1


def test_an_operator_that_acts_no_more_forgets() -> None:
    world = World()
    follow(world, 1, asking())
    assert world.sampler.seen(CHAT).told == {}


def test_loads_are_looked_at_no_more_often_than_a_plan_heeds_them() -> None:
    world = World()

    async def script() -> None:
        world.sampler.follow(CHAT, asking(replicas=1, interval=SAMPLED_SECONDS))
        for second in range(60):
            world.pods.waiting = 4 << second % 8
            await asyncio.sleep(1)

    world.during(script)
    assert 4 <= len(world.again) <= 7


@pytest.mark.parametrize(("sampled", "looks"), [(True, 31), (False, 1)])
def test_where_load_decides_the_plan_itself_is_asked_whether_it_would_change(sampled: bool, looks: int) -> None:
    world = World()
    backends = (Sampled("small", t.Scaling(), 1),) if sampled else ()

    async def script() -> None:
        world.sampler.follow(
            CHAT, replace(asking(interval=SAMPLED_SECONDS), sampled=backends), lambda seen: "r0" in seen.told
        )
        await asyncio.sleep(61)

    world.during(script)
    assert len(world.again) == looks


def test_what_breaks_in_one_look_does_not_end_the_others(caplog: pytest.LogCaptureFixture) -> None:
    world = World()

    async def script() -> None:
        world.pods.broken = True
        world.sampler.follow(CHAT, asking())
        await asyncio.sleep(1)
        world.pods.broken = False
        await asyncio.sleep(1)
        assert "r0" in world.sampler.seen(CHAT).told

    world.during(script)
    assert "asking pods failed" in caplog.text


def test_a_router_that_has_the_new_snapshot_at_the_first_look_is_news() -> None:
    world = World()

    async def script() -> None:
        world.sampler.follow(CHAT, asking())
        await asyncio.sleep(1)
        world.again.clear()
        world.sampler.follow(CHAT, asking(revision="fedcba"))  # by a plan that still knows of the other
        world.pods.runs = "fedcba"
        await asyncio.sleep(600)

    world.during(script)
    assert world.again == [CHAT]


def test_loads_that_are_again_as_they_were_but_not_as_a_plan_saw_them_are_news() -> None:
    world = World()

    async def script() -> None:
        asked = asking(replicas=1, interval=SAMPLED_SECONDS)
        world.sampler.follow(CHAT, asked)
        await asyncio.sleep(3)
        world.pods.waiting = 8
        await asyncio.sleep(2)
        assert [engine.waiting for engine in world.sampler.seen(CHAT).engines.values()] == [8]
        world.pods.waiting = 0
        world.again.clear()
        await asyncio.sleep(600)

    world.during(script)
    assert world.again == [CHAT]
