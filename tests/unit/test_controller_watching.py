"""Kopf's events lead to the cache and the queue; what kopf does not tell is found by listing."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import kopf
import pytest

from modelroute.controller.cache import Cache, Key
from modelroute.controller.kinds import CONFIG_MAP, MODEL_ROUTE, WATCHED, Kind
from modelroute.controller.watching import RECONNECT_SECONDS, RESYNC_SECONDS, Watches, kopf_settings
from modelroute.controller.workqueue import WorkQueue
from tests.fakes.clock import InstantLoop
from tests.fakes.kube import FakeCluster

CHAT = Key("team-a", "chat")


def config_map(version: int, name: str = "c") -> dict[str, Any]:
    labels = {"modelroute.dev/route": "chat"}
    meta = {"namespace": "team-a", "name": name, "uid": name, "resourceVersion": str(version), "labels": labels}
    return {"metadata": meta}


class Added(WorkQueue):
    """Notes what is added."""

    def __init__(self) -> None:
        self.keys: list[Key] = []

    def add(self, key: Key) -> None:
        self.keys.append(key)


class World:
    """Watches whose handlers are called as kopf calls them."""

    def __init__(self) -> None:
        self.cache, self.queue, self.cluster = Cache(), Added(), FakeCluster()
        self.watches = Watches(self.cache, self.queue)

    async def event(self, kind: Kind, type_: str | None, seen: dict[str, Any]) -> None:
        registry = self.watches.registry()
        for handlers in (registry._indexing, registry._watching):
            [handler] = [h for h in handlers.get_all_handlers() if (h.id or "").endswith(f"-{kind.plural}")]
            if type_ != "DELETED" or handlers is registry._watching:
                await handler.fn(body=kopf.Body(seen), type=type_)  # type: ignore[call-arg,misc,arg-type]

    async def resync(self, seconds: float) -> None:
        """Let the listing loop run for so long."""
        running = asyncio.create_task(self.watches.resync(self.cluster))
        await asyncio.sleep(seconds)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def play(script: Callable[[World], Awaitable[None]]) -> World:
    """The world after ``script``."""

    async def main() -> World:
        world = World()
        await script(world)
        return world

    with asyncio.Runner(loop_factory=InstantLoop) as runner:
        return runner.run(main())


def test_what_is_listed_is_in_the_cache_and_queued() -> None:
    async def script(world: World) -> None:
        await world.event(CONFIG_MAP, None, config_map(1))

    world = play(script)
    assert world.cache.get(CONFIG_MAP, "team-a", "c")
    assert world.queue.keys == [CHAT]


def test_the_first_event_says_that_all_is_listed() -> None:
    async def script(world: World) -> None:
        assert not world.watches.ready.is_set()
        await world.event(CONFIG_MAP, None, config_map(1))
        assert world.watches.ready.is_set()

    play(script)


def test_where_there_is_nothing_all_is_listed() -> None:
    async def script(world: World) -> None:
        await world.watches.expect(world.cluster)
        assert world.watches.ready.is_set()

    play(script)


def test_where_there_is_something_it_is_waited_for() -> None:
    async def script(world: World) -> None:
        world.cluster.keep(MODEL_ROUTE, {"metadata": {"name": "chat"}})
        await world.watches.expect(world.cluster)
        assert not world.watches.ready.is_set()

    play(script)


def test_what_is_deleted_leaves_the_cache() -> None:
    async def script(world: World) -> None:
        await world.event(CONFIG_MAP, "ADDED", config_map(1))
        await world.event(CONFIG_MAP, "DELETED", config_map(2))

    world = play(script)
    assert world.cache.get(CONFIG_MAP, "team-a", "c") is None
    assert world.queue.keys == [CHAT, CHAT]


def test_o02_a_second_listing_by_kopf_is_followed_by_our_own() -> None:
    """Also when nothing of the kind is left, so that kopf has nothing to tell."""

    async def script(world: World) -> None:
        await world.event(CONFIG_MAP, None, config_map(1))
        world.watches.ear._listed_again()
        await world.resync(10)

    assert play(script).cache.get(CONFIG_MAP, "team-a", "c") is None  # the API server has none


def test_the_first_listing_is_not_doubled() -> None:
    async def script(world: World) -> None:
        await world.event(CONFIG_MAP, None, config_map(1))
        await world.resync(10)

    assert play(script).cache.get(CONFIG_MAP, "team-a", "c")


def test_what_the_watch_missed_is_found_in_time() -> None:
    async def script(world: World) -> None:
        world.watches.ready.set()
        world.cluster.keep(MODEL_ROUTE, {"metadata": {"name": "chat"}})
        await world.resync(RESYNC_SECONDS)

    assert play(script).queue.keys == [CHAT]


def test_a_listing_that_fails_is_tried_again() -> None:
    async def script(world: World) -> None:
        world.watches.ready.set()
        world.cluster.keep(MODEL_ROUTE, {"metadata": {"name": "chat"}})
        world.cluster.deny("list", MODEL_ROUTE, "", 503)
        await world.resync(RESYNC_SECONDS)
        assert world.queue.keys == []
        world.cluster.refuse.clear()
        await world.resync(RESYNC_SECONDS)

    assert play(script).queue.keys == [CHAT]


def test_a_listing_that_fails_is_tried_again_soon() -> None:
    async def script(world: World) -> None:
        world.watches.ready.set()
        world.cluster.keep(MODEL_ROUTE, {"metadata": {"name": "chat"}})
        world.cluster.deny("list", MODEL_ROUTE, "", 503)
        asyncio.get_running_loop().call_later(RESYNC_SECONDS + 5, world.cluster.refuse.clear)
        await world.resync(RESYNC_SECONDS + 60)

    assert play(script).queue.keys == [CHAT]


def test_o03_kopf_never_gives_up_on_the_api_server() -> None:
    waits = iter(kopf_settings().networking.error_backoffs)  # type: ignore[arg-type]
    drawn = [next(waits) for _ in range(1000)]
    assert all(0 < wait <= RECONNECT_SECONDS for wait in drawn)
    assert len(set(drawn[20:])) > 900  # by chance, each time anew


def test_o01_a_watch_that_is_silent_is_begun_anew_before_long() -> None:
    longest = kopf_settings().watching.inactivity_timeout
    assert longest > 60  # the API server's bookmarks come so often
    assert longest + RECONNECT_SECONDS <= 90


@pytest.mark.parametrize("kind", [k for k in WATCHED if k.selector], ids=lambda k: k.name)
def test_only_what_is_ours_is_watched_of_children(kind: Kind) -> None:
    selectors = kopf_settings().watching.label_selectors
    label = "modelroute.dev/route" if kind.name == "Pod" else "app.kubernetes.io/managed-by=modelroute"
    assert selectors[kind.group, kind.version, kind.plural] == label
