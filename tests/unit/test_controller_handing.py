"""A reconcile and its errands: handed over after the writes, seen at the next look, forgotten with the route."""

# ruff: noqa: ARG002 - stand-ins for Errands need its arguments

import asyncio
from collections.abc import Collection, Sequence
from typing import Any

import pytest

from modelroute.controller.beside import Beside
from modelroute.controller.errands.errands import Errands, Seen
from modelroute.controller.errands.words import errand_pod
from modelroute.controller.kube.calls import ApiError
from modelroute.controller.kube.kinds import CONFIG_MAP, MODEL_ROUTE, POD
from modelroute.controller.watching.cache import Cache, Key
from modelroute.planning import names
from modelroute.planning.errands import Errand
from modelroute.planning.observed import WarmUpResult
from tests.fakes.manifests import VLLM, manifest
from tests.fakes.pods import FakePods
from tests.fakes.reconcilers import reconciler
from tests.unit.test_controller_reconciler import KEY, World


def replica(name: str = "small-a") -> dict[str, Any]:
    """A pod that waits for its first answer."""
    labels = names.labels(names.backend_selector("chat", "small"))
    loaded = {"type": "ContainersReady", "status": "True", "lastTransitionTime": "2026-05-01T08:00:00Z"}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"readinessGates": [{"conditionType": names.WARM_GATE}]},
        "status": {"podIP": "10.0.0.1", "conditions": [loaded]},
    }


class Handed(Errands):
    """Notes what it is given, and after which writes."""

    def __init__(self, world: World) -> None:
        super().__init__(world.cluster, world.cache, FakePods(), lambda _: None, lambda: 0.0)
        self.world = world
        self.given: list[tuple[list[str], set[str], bool]] = []

    def hand(
        self,
        key: Key,
        wanted: Sequence[Errand],
        present: Collection[str],
        backends: Collection[str],
    ) -> None:
        wrote = "patch Deployment/chat--small" in self.world.cluster.writes
        self.given.append(([errand_pod(e) for e in wanted], set(present), wrote))


def beside(errands: Handed) -> Beside:
    found = Beside(errands.world.cluster, errands.world.cache, lambda _: None, lambda: 0.0)
    found.errands = errands
    return found


def test_errands_are_handed_over_after_the_writes_with_whom_there_is() -> None:
    world = World(backends=[VLLM])
    world.cluster.keep(POD, replica())
    errands = Handed(world)
    world.reconciler = reconciler(world.cluster, world.cache, beside=beside(errands))
    world.reconcile()
    assert errands.given == [(["small-a"], {"small-a"}, True)]


def test_errands_are_handed_over_though_something_was_refused() -> None:
    world = World(backends=[VLLM])
    world.cluster.keep(POD, replica())
    world.cluster.deny("patch", CONFIG_MAP, "chat-router-snapshot", 403)
    errands = Handed(world)
    world.reconciler = reconciler(world.cluster, world.cache, beside=beside(errands))
    with pytest.raises(ApiError):
        world.reconcile()
    assert [pods for pods, _, _ in errands.given] == [["small-a"]]


def test_what_came_of_errands_is_seen_at_the_next_look() -> None:
    class Known(Handed):
        def seen(self, key: Key) -> Seen:
            return Seen({"small-a": WarmUpResult(1000.0, 0.003, 0.31)}, frozenset(), {"small-a": "small-a is stuck"})

    world = World(backends=[VLLM])
    world.cluster.keep(POD, replica())
    world.reconciler = reconciler(world.cluster, world.cache, beside=beside(Known(world)))
    world.reconcile()
    [backend] = world.cluster.objects[MODEL_ROUTE.name, "chat"]["status"]["backends"]
    assert backend["warmup"]["milliseconds"] == 310
    assert backend["message"].endswith("small-a is stuck")


class Forgetting(Handed):
    """Notes which routes are gone."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.forgotten: list[Key] = []

    def forget(self, key: Key) -> None:
        self.forgotten.append(key)


def test_the_errands_of_a_route_that_is_gone_are_forgotten() -> None:
    world = World(backends=[VLLM])
    errands = Forgetting(world)
    gone = reconciler(world.cluster, Cache(), beside=beside(errands))
    asyncio.run(gone.reconcile(KEY))
    assert errands.forgotten == [KEY]


def test_the_errands_of_a_route_in_whose_place_is_one_that_is_refused_are_forgotten() -> None:
    world = World(backends=[VLLM])
    errands = Forgetting(world)
    world.reconciler = reconciler(world.cluster, world.cache, beside=beside(errands))
    world.reconcile()
    del world.cluster.objects[MODEL_ROUTE.name, "chat"]
    world.cluster.keep(MODEL_ROUTE, manifest(namespace="team-a", backends=[VLLM, VLLM]))
    world.reconcile()
    assert errands.forgotten == [KEY]
