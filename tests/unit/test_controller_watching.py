"""Kopf's events lead to the cache and the queue; what kopf does not tell is found by listing."""

import asyncio
from collections.abc import Awaitable, Callable
from importlib.metadata import requires, version
from typing import Any, cast

import kopf
import pytest

from modelroute.controller import metrics
from modelroute.controller.kube.calls import ApiError
from modelroute.controller.kube.kinds import CONFIG_MAP, MODEL_ROUTE, WATCHED, Kind
from modelroute.controller.watching.cache import Cache, Key
from modelroute.controller.watching.watches import (
    FIRST_RECONNECT,
    RECONNECT_SECONDS,
    RESYNC_SECONDS,
    Watches,
    kopf_settings,
)
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
        handlers = self.watches.registry()._watching.get_all_handlers()
        [handler] = [h for h in handlers if h.id == f"event-{kind.plural}"]
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


def test_routes_are_worked_on_when_all_kinds_are_listed() -> None:
    async def script(world: World) -> None:
        world.cluster.keep(MODEL_ROUTE, {"metadata": {"name": "chat"}})
        world.cluster.keep(CONFIG_MAP, config_map(1))
        assert not world.watches.ready.is_set()
        await world.watches.begin(world.cluster)
        assert world.watches.ready.is_set()

    world = play(script)
    assert world.cache.route(CHAT)
    assert world.cache.labelled(CHAT)
    assert set(world.queue.keys) == {CHAT}


def test_where_a_kind_cannot_be_listed_no_route_is_worked_on() -> None:
    async def script(world: World) -> None:
        world.cluster.deny("list", WATCHED[-1], "", 503)
        with pytest.raises(ApiError):
            await world.watches.begin(world.cluster)
        assert not world.watches.ready.is_set()

    play(script)


def test_o28_what_may_not_be_listed_does_not_hold_up_the_rest() -> None:
    async def script(world: World) -> None:
        world.cluster.keep(MODEL_ROUTE, {"metadata": {"name": "chat"}})
        world.cluster.deny("list", CONFIG_MAP, "", 403)
        await world.watches.begin(world.cluster)
        assert world.watches.ready.is_set()
        assert [str(why) for why in world.cache.refusals("team-a")] == ["cannot list ConfigMap: no"]
        world.cluster.refuse.clear()
        world.cluster.keep(CONFIG_MAP, config_map(1))
        await world.resync(RESYNC_SECONDS)

    world = play(script)
    assert world.cache.refusals("team-a") == ()
    assert world.cache.labelled(CHAT)


ODD = {"metadata": config_map(1)["metadata"] | {"name": "odd", "labels": 7}}


def test_one_that_is_odd_does_not_hide_the_others_of_a_listing(caplog: pytest.LogCaptureFixture) -> None:
    async def script(world: World) -> None:
        for found in (config_map(1, "a"), ODD, config_map(1, "z")):
            world.cluster.keep(CONFIG_MAP, found)
        await world.watches.begin(world.cluster)

    assert len(play(script).cache.labelled(CHAT)) == 2
    assert "ConfigMap team-a/odd is passed over" in caplog.text


def test_nor_does_its_event_end_the_watch() -> None:
    async def script(world: World) -> None:
        await world.event(CONFIG_MAP, "ADDED", ODD)

    passed_over = metrics.UNREADABLE.labels("ConfigMap")._value
    before = passed_over.get()
    play(script)
    assert passed_over.get() == before + 1


def test_no_object_waits_for_any_other() -> None:
    """O24: kopf's indexes wake each waiting object for each one that is listed, N times N in all."""
    registry = Watches(Cache(), Added()).registry()
    assert not registry._indexing.get_all_handlers()


def test_what_is_deleted_leaves_the_cache() -> None:
    async def script(world: World) -> None:
        await world.event(CONFIG_MAP, "ADDED", config_map(1))
        await world.event(CONFIG_MAP, "DELETED", config_map(2))

    world = play(script)
    assert world.cache.get(CONFIG_MAP, "team-a", "c") is None
    assert world.queue.keys == [CHAT, CHAT]


def test_o02_a_listing_by_kopf_is_followed_by_our_own() -> None:
    """The first one too, for what went since ours; also when nothing of the kind is left for kopf to tell of."""

    async def script(world: World) -> None:
        world.watches.ready.set()
        await world.event(CONFIG_MAP, None, config_map(1))
        world.watches.ear._listed()
        await world.resync(10)

    assert play(script).cache.get(CONFIG_MAP, "team-a", "c") is None  # the API server has none


def test_news_of_a_watch_are_not_listed_again() -> None:
    async def script(world: World) -> None:
        world.watches.ready.set()
        await world.event(CONFIG_MAP, "MODIFIED", config_map(1))
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


def test_o28_a_kind_that_may_be_listed_again_is_soon() -> None:
    async def script(world: World) -> None:
        world.cluster.deny("list", CONFIG_MAP, "", 403)
        await world.watches.begin(world.cluster)
        world.cluster.keep(CONFIG_MAP, config_map(1))
        asyncio.get_running_loop().call_later(RESYNC_SECONDS + 5, world.cluster.refuse.clear)
        await world.resync(RESYNC_SECONDS + 60)

    assert play(script).cache.get(CONFIG_MAP, "team-a", "c")


def test_o03_kopf_never_gives_up_on_the_api_server() -> None:
    waits = iter(kopf_settings().networking.error_backoffs)  # type: ignore[arg-type]
    drawn = [next(waits) for _ in range(1000)]
    assert all(0 < wait <= RECONNECT_SECONDS for wait in drawn)
    assert len(set(drawn[20:])) > 900  # by chance, each time anew


def test_o01_a_watch_that_is_silent_is_begun_anew_before_long() -> None:
    longest = kopf_settings().watching.inactivity_timeout
    assert longest > 60  # the API server's bookmarks come so often
    assert longest + RECONNECT_SECONDS <= 90


def test_o01_a_watch_ends_by_itself_and_is_given_up_soon_after() -> None:
    watching = kopf_settings().watching
    assert watching.server_timeout == 300
    assert watching.client_timeout == 330


def test_o02_a_version_that_is_always_too_old_is_not_asked_for_without_a_pause() -> None:
    assert kopf_settings().watching.reconnect_backoff == FIRST_RECONNECT


def test_o01_kopf_is_one_that_heeds_a_silent_watch() -> None:
    """Before 1.44 the setting of it was unknown, and passed over."""
    [pin] = [r for r in requires("modelroute") or () if r.startswith("kopf")]
    assert "1.44" in pin
    assert tuple(map(int, version("kopf").split(".")[:2])) >= (1, 44)


@pytest.mark.parametrize("kind", [k for k in WATCHED if k.selector], ids=lambda k: k.name)
def test_only_what_is_ours_is_watched_of_children(kind: Kind) -> None:
    selectors = kopf_settings().watching.label_selectors
    of_pods = "modelroute.dev/route,app.kubernetes.io/component!=prepull"
    label = of_pods if kind.name == "Pod" else "app.kubernetes.io/managed-by=modelroute"
    assert selectors[kind.group, kind.version, kind.plural] == label


def test_kopf_copies_and_compares_nothing() -> None:
    storage = kopf_settings().persistence.diffbase_storage
    body = kopf.Body(cast("Any", config_map(1)))
    assert (storage.build(body=body), storage.fetch(body=body)) == ({}, None)
