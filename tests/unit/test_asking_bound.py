"""The sampler's bound: on all together, on a namespace, on a route. Time is a loop's that the tests turn."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from modelroute.controller.asking.sampler import AT_ONCE, MOST_RATE, OF_ONE_ROUTE
from modelroute.controller.watching.cache import Key
from modelroute.planning.asking import SAMPLED_SECONDS
from tests.fakes.sampling import CHAT, NEWEST, World, asking, follow


class TestBound:
    """A thousand routes with two routers each."""

    KEYS = tuple(Key("team-a", f"chat-{n}") for n in range(1000))

    def many(self, world: World, seconds: float, keys: Sequence[Key] = KEYS) -> None:
        async def script() -> None:
            for key in keys:
                world.sampler.follow(key, asking(routers=2, interval=SAMPLED_SECONDS))
            await asyncio.sleep(seconds)

        world.during(script)

    def test_all_together_are_asked_within_it(self) -> None:
        world = World()
        self.many(world, 120)
        by_second = Counter(int(time) for time, _ in world.pods.asked)
        assert max(by_second.values()) <= 2 * MOST_RATE + 1  # the burst
        assert len(world.pods.asked) / 120 == pytest.approx(MOST_RATE, rel=0.05)

    def test_each_has_its_turn(self) -> None:
        world = World()
        self.many(world, 42)
        assert set(world.again) == set(self.KEYS)

    def test_what_is_urgent_does_not_wait_for_what_rests(self) -> None:
        world = World()

        async def script() -> None:
            for key in self.KEYS:
                world.sampler.follow(key, asking(routers=2, interval=SAMPLED_SECONDS))
            await asyncio.sleep(120)
            world.sampler.follow(CHAT, asking())
            await asyncio.sleep(1)
            assert world.sampler.seen(CHAT).told

        world.during(script)

    @pytest.mark.parametrize(("namespaces", "most"), [(1, AT_ONCE // 2), (1000, AT_ONCE)])
    def test_no_more_at_once_than_that(self, namespaces: int, most: int) -> None:
        world = World()
        world.pods.takes = 2.0
        self.many(world, 20, [Key(f"team-{n % namespaces}", f"chat-{n}") for n in range(1000)])
        assert world.pods.at_once == most

    @pytest.mark.parametrize("hang", ["10.0.", "none"])
    @pytest.mark.parametrize("lagging", [False, True])
    def test_200_routes_of_one_namespace_do_not_keep_one_of_another_from_its_interval(
        self, hang: str, lagging: bool
    ) -> None:
        world, small = World(), Key("team-b", "code")
        world.pods.hang = hang

        async def script() -> None:
            many = asking(routers=4, revision="01d" if lagging else NEWEST, interval=SAMPLED_SECONDS)
            for key in self.KEYS[:200]:
                world.sampler.follow(key, many)
            await asyncio.sleep(10)
            world.sampler.follow(small, replace(asking(interval=SAMPLED_SECONDS), routers=(("x", "10.1.1.1:1"),)))
            await asyncio.sleep(60)

        world.during(script)
        times = [time for time, url in world.pods.asked if "10.1.1.1" in url]
        assert (times[0] < 10.1, len(times)) == (True, 30)

    def test_800_pods_of_one_route_do_not_keep_those_of_another_from_being_seen_often(self) -> None:
        world, small = World(), Key("team-b", "code")

        async def script() -> None:
            world.sampler.follow(CHAT, asking(routers=800, interval=SAMPLED_SECONDS))
            world.sampler.follow(small, replace(asking(interval=SAMPLED_SECONDS), routers=(("x", "10.1.1.1:1"),)))
            await asyncio.sleep(120)

        world.during(script)
        times = [time for time, url in world.pods.asked if "10.1.1.1" in url]
        assert max(after - before for before, after in pairwise(times)) < 10
        times = [time for time, url in world.pods.asked if "10.0.9.0:" in url]
        assert max(after - before for before, after in pairwise(times)) < 10

    def test_of_one_route_no_more_at_once_than_that(self) -> None:
        world = World()
        world.pods.takes = 2.0
        follow(world, 20, asking(routers=100))
        assert world.pods.at_once == OF_ONE_ROUTE
