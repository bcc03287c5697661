"""The sampler: each route as often as suits it, all together within a bound. Time is a loop's that the tests turn."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from modelroute.api import types as t
from modelroute.controller.asking.client import Answer, Pods, UnansweredError
from modelroute.controller.asking.sampler import AT_ONCE, FAST, MOST_RATE, OF_ONE_ROUTE, Sampler
from modelroute.controller.watching.cache import Key
from modelroute.planning.asking import RESTING_SECONDS, SAMPLED_SECONDS, Asking, Replica, Sampled
from tests.fakes.clock import InstantLoop

CHAT = Key("team-a", "chat")
NEWEST = "0123456789ab"


class FakePods(Pods):
    """Answers as routers and replicas do, and notes when it was asked for what. ``runs`` is what routers run."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, str]] = []
        self.runs: str | None = NEWEST
        self.waiting = 0
        self.takes = 0.0
        self.at_once = self._running = 0
        self.broken = False
        self.hang = "none"  # those whose address begins so

    async def get(self, url: str, timeout: float) -> Answer:  # noqa: ASYNC109
        self.asked.append((asyncio.get_running_loop().time(), url))
        self._running += 1
        self.at_once = max(self.at_once, self._running)
        hangs = url.startswith(f"http://{self.hang}")
        await asyncio.sleep(timeout if hangs else self.takes)
        self._running -= 1
        if self.broken:
            raise RuntimeError("a bug")
        if self.runs is None or hangs:
            raise UnansweredError("no connection within 1 s")
        if url.endswith("/metrics"):
            return Answer(200, f"vllm:num_requests_running 0\nvllm:num_requests_waiting {self.waiting}".encode(), 0.0)
        status = {"namespace": None, "name": None, "revision": self.runs, "generation": 3}
        return Answer(200, json.dumps(status).encode(), 0.0)

    def gaps(self) -> list[float]:
        times = [time for time, _ in self.asked]
        return [round(after - before, 3) for before, after in pairwise(times)]


class World:
    """A sampler that runs, and what it found worth a look."""

    def __init__(self) -> None:
        self.pods = FakePods()
        self.again: list[Key] = []
        self.sampler = Sampler(self.pods, self.again.append, lambda: asyncio.get_running_loop().time())

    def during(self, script: Callable[[], Awaitable[Any]]) -> None:
        async def main() -> None:
            running = asyncio.create_task(self.sampler.run())
            await script()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

        with asyncio.Runner(loop_factory=InstantLoop) as runner:
            runner.run(main())


def asking(routers: int = 1, revision: str = NEWEST, interval: float = RESTING_SECONDS, replicas: int = 0) -> Asking:
    return Asking(
        revision,
        tuple((f"r{n}", f"10.0.9.{n}:8001") for n in range(routers)),
        tuple(Replica(f"p{n}", "small", f"10.0.0.{n}:8000") for n in range(replicas)),
        interval=interval,
    )


def follow(world: World, seconds: float, asked: Asking) -> None:
    async def script() -> None:
        world.sampler.follow(CHAT, asked)
        await asyncio.sleep(seconds)

    world.during(script)


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
