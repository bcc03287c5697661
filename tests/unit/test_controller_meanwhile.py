"""What others change while a reconcile writes: it comes back with its own writes, or overtakes the answers to them."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from modelroute.controller.kube.kinds import CHILDREN, MODEL_ROUTE, SERVICE
from modelroute.controller.reconciler import ANYWAY_SECONDS
from modelroute.controller.watching.cache import Cache, Key
from tests.fakes.kube import FakeCluster, KubeObject
from tests.fakes.manifests import HOSTED, VLLM, manifest
from tests.fakes.reconcilers import reconciler

CHAT, OTHER = Key("team-a", "chat"), Key("team-a", "other")
BEHIND = {"name": "theirs", "targetRef": {"name": "chat--small", "port": 8000}}


def nothing(_: KubeObject) -> None:
    """Nobody does anything."""


class Busy(FakeCluster):
    """Others do something just before a status is written, and just after a child was applied, once."""

    before_status: Callable[[KubeObject], object] = staticmethod(nothing)
    after_service: Callable[[KubeObject], object] = staticmethod(nothing)

    async def write_status(self, live: KubeObject, status: KubeObject) -> KubeObject | None:
        change, self.before_status = self.before_status, nothing
        change(live)
        return await super().write_status(live, status)

    async def apply(self, desired: KubeObject) -> KubeObject:
        applied = await super().apply(desired)
        if (desired["kind"], desired["metadata"]["name"]) == ("Service", "chat--small"):
            change, self.after_service = self.after_service, nothing
            change(applied)
        return applied

    async def delete(self, live: KubeObject) -> KubeObject | None:
        """A load balancer holds the router's Service for a while."""
        if live["metadata"]["name"] != "chat-router" or live["kind"] != "Service":
            return await super().delete(live)
        ending = {"metadata": live["metadata"] | {"deletionTimestamp": "2026-05-01T08:00:00Z"}}
        left = self.keep(CHILDREN[live["kind"]], self.objects["Service", "chat-router"] | ending)
        self.on_ending(left)
        return left

    on_ending: Callable[[KubeObject], object] = staticmethod(nothing)


class World:
    """A route of a vLLM backend, and another whose backend is the Service of that one."""

    def __init__(self) -> None:
        self.cluster, self.cache, self.again = Busy(), Cache(), list[Key]()
        self.cluster.keep(MODEL_ROUTE, manifest(namespace="team-a", backends=[VLLM]))
        theirs = manifest(namespace="team-a", backends=[BEHIND])
        theirs["metadata"]["name"] = "other"
        self.cluster.keep(MODEL_ROUTE, theirs)
        self.cluster.fill(self.cache)
        self._reconciler = reconciler(self.cluster, self.cache, again=self.again.append)

    def reconcile(self) -> list[Key]:
        """The routes that are to be looked at after it."""
        self.again.clear()
        self.delay = asyncio.run(self._reconciler.reconcile(CHAT))
        return self.again

    def edit(self, **spec: Any) -> KubeObject:
        """The user changes the route; as a watch tells of it."""
        found = self.cluster.objects[MODEL_ROUTE.name, "chat"]
        return self.cluster.keep(MODEL_ROUTE, found | {"spec": found["spec"] | spec})

    def change(self, **spec: Any) -> list[Key]:
        """The user changes the route, and it is reconciled."""
        self.cache.put(MODEL_ROUTE, self.edit(**spec))
        return self.reconcile()


def test_o10_a_change_that_came_back_with_the_status_is_looked_at() -> None:
    world = World()
    world.cluster.before_status = lambda _: world.edit(backends=[HOSTED])
    assert CHAT in world.reconcile()
    assert world.cache.put(MODEL_ROUTE, world.cluster.objects[MODEL_ROUTE.name, "chat"]) == set()


def test_a_route_that_is_as_it_was_is_not_looked_at_again_but_once_an_hour() -> None:
    world = World()
    assert CHAT not in world.reconcile()
    assert world.delay
    assert ANYWAY_SECONDS / 2 <= world.delay <= ANYWAY_SECONDS


def test_who_refers_to_a_child_learns_that_it_is_made() -> None:
    world = World()
    assert OTHER in world.reconcile()
    assert OTHER not in world.reconcile()


def test_who_refers_to_a_child_learns_that_it_is_deleted() -> None:
    world = World()
    world.reconcile()
    assert OTHER in world.change(backends=[HOSTED])
    assert (SERVICE.name, "chat--small") not in world.cluster.objects


def test_o11_an_edit_that_overtook_the_answer_to_our_own_write_is_put_back() -> None:
    world = World()

    def edit(applied: KubeObject) -> None:
        theirs = applied["spec"] | {"selector": {"app": "theirs"}}
        world.cache.put(SERVICE, world.cluster.keep(SERVICE, applied | {"spec": theirs}))

    world.cluster.after_service = edit
    world.reconcile()
    assert world.cluster.objects[SERVICE.name, "chat--small"]["spec"]["selector"] != {"app": "theirs"}


@pytest.mark.parametrize("quicker", ["the watch", "the answer"])
def test_what_ends_for_a_while_after_it_was_deleted_is_known_to(quicker: str) -> None:
    world = World()
    if quicker == "the watch":
        world.cluster.on_ending = lambda live: world.cache.put(SERVICE, live)
    world.reconcile()
    world.change(router={"mode": "None"})
    world.change(router={"mode": "Gateway"})
    assert "deletionTimestamp" in (world.cache.get(SERVICE, "team-a", "chat-router") or {})["metadata"]
    assert ("Deployment", "chat-router") in world.cluster.objects
