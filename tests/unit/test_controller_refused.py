"""A spec that is refused stops nothing but itself: the last good one goes on."""

import asyncio
from typing import Any

from modelroute.controller.kube.kinds import DEPLOYMENT, MODEL_ROUTE, SLICE
from modelroute.controller.watching.cache import Cache, Key
from tests.fakes.kube import FakeCluster
from tests.fakes.manifests import VLLM, manifest
from tests.fakes.reconcilers import reconciler

KEY = Key("team-a", "chat")
BAD = {"backends": [VLLM | {"name": "a"}, VLLM | {"name": "a"}]}


class World:
    """A route that was good once, and whose spec is not any more."""

    def __init__(self, **spec: Any) -> None:
        self.cluster, self.now, self.again = FakeCluster(), 1000.0, list[Key]()
        self.begin()
        self.change(1, manifest(**spec)["spec"])
        self.reconcile()
        self.change(2, BAD)

    def begin(self) -> None:
        """A new operator."""
        self.reconciler = reconciler(self.cluster, Cache(), clock=lambda: self.now, again=self.again.append)
        self.cache = self.reconciler._cache

    def hand_over(self) -> None:
        """To a new operator, which looks at once."""
        self.begin()
        self.reconcile()

    def change(self, generation: int, spec: dict[str, Any]) -> None:
        live = self.cluster.objects.get((MODEL_ROUTE.name, "chat")) or manifest(namespace="team-a")
        live = live | {"spec": spec, "metadata": live["metadata"] | {"generation": generation}}
        self.cluster.keep(MODEL_ROUTE, live)

    def reconcile(self) -> None:
        self.now += 10
        self.cluster.writes.clear()
        self.again.clear()
        self.cluster.fill(self.cache)
        asyncio.run(self.reconciler.reconcile(KEY))

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.cluster.objects[MODEL_ROUTE.name, "chat"]["status"]
        return found

    def accepted(self) -> dict[str, Any]:
        [found] = [c for c in self.status()["conditions"] if c["type"] == "Accepted"]
        assert isinstance(found, dict)
        return found


def test_what_the_last_good_one_needs_is_made_again() -> None:
    world = World()
    del world.cluster.objects[DEPLOYMENT.name, "chat--small"]
    world.cache.remove(DEPLOYMENT, world.cache.get(DEPLOYMENT, "team-a", "chat--small") or {})
    world.reconcile()
    assert "patch Deployment/chat--small" in world.cluster.writes


def test_endpoints_of_the_last_good_one_are_news() -> None:
    world = World(backends=[{"name": "old", "targetRef": {"name": "legacy", "port": 80}}])
    world.reconcile()
    meta = {"name": "legacy-x", "namespace": "team-a", "labels": {"kubernetes.io/service-name": "legacy"}}
    piece = {"metadata": meta, "addressType": "IPv4", "ports": [], "endpoints": [{"addresses": ["10.0.0.1"]}]}
    world.cluster.fill(world.cache)
    assert world.cache.put(SLICE, world.cluster.keep(SLICE, piece)) == {KEY}


def test_it_is_looked_at_again_once_its_endpoints_are_news() -> None:
    """Until its status was written they were nobody's."""
    world = World()
    world.reconcile()
    assert world.again == [KEY]
    world.reconcile()
    assert world.again == []


def test_the_status_says_that_the_new_one_is_refused() -> None:
    world = World()
    world.reconcile()
    assert (world.accepted()["status"], world.accepted()["reason"]) == ("False", "InvalidSpec")
    assert (world.accepted()["observedGeneration"], world.status()["observedGeneration"]) == (2, 2)
    assert world.cluster.events.count("InvalidSpec") == 1


def test_it_is_told_once() -> None:
    world = World()
    world.reconcile()
    world.cluster.events.clear()
    world.reconcile()
    assert (world.cluster.writes, world.cluster.events) == ([], [])


def test_a_spec_that_was_mended_is_accepted() -> None:
    world = World()
    world.reconcile()
    world.change(3, manifest()["spec"])
    world.reconcile()
    assert world.accepted()["status"] == "True"
    assert "Accepted" in world.cluster.events


def test_another_route_of_the_name_gets_nothing_of_it() -> None:
    world = World()
    world.cluster.objects[MODEL_ROUTE.name, "chat"]["metadata"]["uid"] = "another"
    world.cluster.objects.pop((DEPLOYMENT.name, "chat--small"))
    world.reconcile()
    assert world.cluster.writes == ["patch ModelRoute/chat"]


def test_o16_a_successor_goes_on_with_the_last_good_one() -> None:
    world = World()
    world.reconcile()
    del world.cluster.objects[DEPLOYMENT.name, "chat--small"]
    world.hand_over()
    assert world.cluster.writes == ["patch Deployment/chat--small"]
    assert world.accepted()["status"] == "False"


def test_o16_nor_does_it_touch_what_the_last_good_one_made() -> None:
    """A null in a template takes a field of ours away."""
    template = {"spec": {"securityContext": {"runAsUser": None}}}
    world = World(backends=[VLLM | {"vllm": {"model": "org/small", "template": template}}])
    world.reconcile()
    world.hand_over()
    assert world.cluster.writes == []


def test_the_last_good_one_is_kept_until_another_is_good() -> None:
    world = World()
    world.reconcile()
    assert world.status()["accepted"]["generation"] == 1
    world.change(3, manifest()["spec"])
    world.reconcile()
    assert "accepted" not in world.status()


def test_one_that_was_good_for_a_predecessor_alone_is_not_carried_out() -> None:
    world = World()
    world.reconcile()
    world.status()["accepted"]["spec"] = BAD
    world.hand_over()
    assert world.cluster.writes == []


def test_an_operator_that_never_saw_a_good_one_only_tells() -> None:
    world = World()
    world.hand_over()
    assert world.cluster.writes == ["patch ModelRoute/chat"]
