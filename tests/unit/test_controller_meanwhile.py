"""What changes while a reconcile writes comes back with its own writes, and no watch brings it as news after that."""

import asyncio
from typing import Any

from modelroute.controller.kube.kinds import MODEL_ROUTE, SERVICE
from modelroute.controller.watching.cache import Cache, Key
from tests.fakes.kube import FakeCluster
from tests.fakes.manifests import HOSTED, VLLM, manifest
from tests.fakes.reconcilers import reconciler

CHAT, OTHER = Key("team-a", "chat"), Key("team-a", "other")
BEHIND = {"name": "theirs", "targetRef": {"name": "chat--small", "port": 8000}}


class Edited(FakeCluster):
    """The user changes the route just before its status is written, once."""

    change: dict[str, Any] | None = None

    async def write_status(self, live: dict[str, Any], status: dict[str, Any]) -> dict[str, Any] | None:
        if self.change:
            edit(self, **self.change)
            self.change = None
        return await super().write_status(live, status)


class World:
    """A route of a vLLM backend, and another whose backend is the Service of that one."""

    def __init__(self) -> None:
        self.cluster, self.cache, self.again = Edited(), Cache(), list[Key]()
        self.cluster.keep(MODEL_ROUTE, manifest(namespace="team-a", backends=[VLLM]))
        theirs = manifest(namespace="team-a", backends=[BEHIND])
        theirs["metadata"]["name"] = "other"
        self.cluster.keep(MODEL_ROUTE, theirs)
        self.cluster.fill(self.cache)
        self._reconciler = reconciler(self.cluster, self.cache, again=self.again.append)

    def reconcile(self) -> list[Key]:
        """The routes that are to be looked at after it."""
        self.again.clear()
        asyncio.run(self._reconciler.reconcile(CHAT))
        return self.again

    def watched(self) -> frozenset[Key]:
        """To whom it is news what a watch brings of the route."""
        return self.cache.put(MODEL_ROUTE, self.cluster.objects[MODEL_ROUTE.name, "chat"])


def edit(cluster: FakeCluster, **spec: Any) -> None:
    found = cluster.objects[MODEL_ROUTE.name, "chat"]
    cluster.keep(MODEL_ROUTE, found | {"spec": found["spec"] | spec})


def test_o10_a_change_that_came_back_with_the_status_is_looked_at() -> None:
    world = World()
    world.cluster.change = {"backends": [HOSTED]}
    assert CHAT in world.reconcile()
    assert world.watched() == set()


def test_a_route_that_is_as_it_was_is_not_looked_at_again() -> None:
    assert CHAT not in World().reconcile()


def test_who_refers_to_a_child_learns_that_it_is_made() -> None:
    world = World()
    assert OTHER in world.reconcile()
    assert OTHER not in world.reconcile()


def test_who_refers_to_a_child_learns_that_it_is_deleted() -> None:
    world = World()
    world.reconcile()
    edit(world.cluster, backends=[HOSTED])
    world.cluster.fill(world.cache)
    assert OTHER in world.reconcile()
    assert (SERVICE.name, "chat--small") not in world.cluster.objects
