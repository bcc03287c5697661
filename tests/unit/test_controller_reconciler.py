"""One reconcile against an API server in memory: what a real one does too seldom to wait for."""

import asyncio
from typing import Any

import pytest
from prometheus_client import REGISTRY

from modelroute.controller.kube.calls import ApiError
from modelroute.controller.kube.kinds import CONFIG_MAP, DEPLOYMENT, MODEL_ROUTE, POD, SECRET, SERVICE, Kind
from modelroute.controller.reconciler import FOREIGN_SECONDS, LOOKS, UNRESOLVED_SECONDS, UNWATCHED_SECONDS
from modelroute.controller.watching.cache import Cache, Key
from modelroute.planning.names import COMPONENT_LABEL
from tests.fakes.kube import FakeCluster
from tests.fakes.manifests import VLLM, manifest
from tests.fakes.reconcilers import reconciler

KEY = Key("team-a", "chat")
KEYED = {
    "name": "big",
    "external": {"baseURL": "https://api.example.com/v1", "apiKeySecretRef": {"name": "openai", "key": "token"}},
}


class World:
    """A route, and an operator that sees all that is written at once."""

    def __init__(self, cluster: FakeCluster | None = None, **spec: Any) -> None:
        self.cluster = cluster or FakeCluster()
        given = manifest(namespace="team-a", **spec)
        given["metadata"] |= {"generation": 1}
        self.cluster.keep(MODEL_ROUTE, given)
        self.cache = Cache()
        self.reconciler = reconciler(self.cluster, self.cache)

    def reconcile(self) -> float | None:
        self.cluster.writes.clear()
        self.cluster.fill(self.cache)
        return asyncio.run(self.reconciler.reconcile(KEY))

    def condition(self, kind: str) -> dict[str, str]:
        told = self.cluster.objects[MODEL_ROUTE.name, "chat"]["status"]["conditions"]
        [found] = [c for c in told if c["type"] == kind]
        assert isinstance(found, dict)
        return found


def pod(name: str, made: str = "2026-05-01T08:00:00Z", **annotations: str) -> dict[str, Any]:
    meta = {"name": name, "namespace": "team-a", "annotations": annotations, "creationTimestamp": made}
    return {"metadata": meta}


def test_a_second_run_writes_nothing() -> None:
    world = World()
    world.reconcile()
    world.reconcile()
    assert world.cluster.writes == []


def test_a_form_that_the_server_changes_is_sent_once() -> None:
    class Stubborn(FakeCluster):
        def form(self, desired: dict[str, Any]) -> dict[str, Any]:
            return desired | {"spec": desired["spec"] | {"replicas": 7}} if desired["kind"] == "Deployment" else desired

    world = World(Stubborn())
    world.reconcile()
    world.reconcile()
    assert world.cluster.writes == []


def test_a_form_that_the_server_changes_is_sent_again_when_someone_else_changes_it() -> None:
    class Stubborn(FakeCluster):
        def form(self, desired: dict[str, Any]) -> dict[str, Any]:
            return desired | {"spec": desired["spec"] | {"replicas": 7}} if desired["kind"] == "Deployment" else desired

    world = World(Stubborn(), backends=[VLLM])
    world.reconcile()
    live = world.cluster.objects[DEPLOYMENT.name, "chat--small"]
    world.cluster.keep(DEPLOYMENT, live | {"spec": live["spec"] | {"replicas": 9}})
    world.reconcile()
    assert world.cluster.writes == ["patch Deployment/chat--small"]


def test_a_child_that_went_while_it_was_applied_is_made_again() -> None:
    world = World()

    class Vanishing(Cache):
        def put(self, kind: Any, seen: Any) -> frozenset[Key]:
            if kind is not SERVICE:
                return super().put(kind, seen)
            world.cluster.objects.pop((SERVICE.name, seen["metadata"]["name"]), None)
            return frozenset()

    world.cache = Vanishing()
    world.reconciler = reconciler(world.cluster, world.cache)
    world.reconcile()
    world.reconcile()
    assert "patch Service/chat-router" in world.cluster.writes


def test_a_status_that_the_server_cuts_down_is_sent_once() -> None:
    class Older(FakeCluster):
        async def write_status(self, live: dict[str, Any], status: dict[str, Any]) -> dict[str, Any] | None:
            return await super().write_status(live, {k: v for k, v in status.items() if k != "canary"})

    world = World(Older())
    world.reconcile()
    world.reconcile()
    assert world.cluster.writes == []


def test_a_refusal_is_told_and_the_rest_is_done() -> None:
    world = World()
    world.cluster.deny("patch", DEPLOYMENT, "chat--small", 422, "selector is immutable")
    with pytest.raises(ApiError):
        world.reconcile()
    assert world.condition("Programmed")["message"] == "cannot patch Deployment/chat--small: selector is immutable"
    assert {"patch Service/chat--small", "patch Deployment/chat-router"} <= set(world.cluster.writes)


def test_what_passes_is_not_told() -> None:
    world = World()
    world.cluster.deny("patch", DEPLOYMENT, "chat--small", 503)
    with pytest.raises(ApiError):
        world.reconcile()
    assert "patch ModelRoute/chat" not in world.cluster.writes


def test_without_the_right_to_see_pods_the_status_is_told_all_the_same() -> None:
    world = World()
    world.cluster.deny("list", POD, "", 403)
    with pytest.raises(ApiError):
        world.reconcile()
    assert world.condition("Programmed")["reason"] == "Forbidden"


def test_a_secret_that_it_may_not_read_stops_nothing() -> None:
    world = World(backends=[KEYED])
    world.cluster.deny("get", SECRET, "openai", 403)
    assert world.reconcile() == LOOKS["Unknown"] > UNRESOLVED_SECONDS
    assert world.condition("ResolvedRefs")["reason"] == "SecretNotReadable"
    assert world.condition("Programmed")["reason"] != "Forbidden"


@pytest.mark.parametrize(("kind", "written"), [(POD, False), (SERVICE, True)])
def test_o28_a_first_snapshot_is_written_and_others_unless_addresses_are_not_seen(kind: Kind, *, written: bool) -> None:
    world = World()
    world.reconcile()
    assert "patch ConfigMap/chat-router-snapshot" in world.cluster.writes
    world.cluster.keep(MODEL_ROUTE, manifest(namespace="team-a", models=["other"]))
    world.cluster.deny("list", kind, "", 403)
    world.cache.note_refusal(kind, None, world.cluster.refuse["list", f"{kind.name}/"])
    with pytest.raises(ApiError):
        world.reconcile()
    assert ("patch ConfigMap/chat-router-snapshot" in world.cluster.writes) == written


def test_what_may_not_be_looked_at_is_not_overwritten() -> None:
    world = Met(theirs())
    world.cluster.deny("get", CONFIG_MAP, SNAPSHOT, 403)
    with pytest.raises(ApiError):
        world.reconcile()
    assert "data" not in world.cluster.objects[CONFIG_MAP.name, SNAPSHOT]
    assert world.condition("Programmed")["reason"] == "Forbidden"


SNAPSHOT = "chat-router-snapshot"


def theirs(**labels: str) -> dict[str, Any]:
    """A ConfigMap that has a child's name."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": SNAPSHOT, "labels": labels}}


class Met(World):
    """One in which a child's name is taken by something that the watch does not show."""

    def __init__(self, there: dict[str, Any]) -> None:
        super().__init__()
        self.cluster.keep(CONFIG_MAP, there)
        self.cluster.looks.clear()

    def reconcile(self) -> float | None:
        there = self.cluster.objects.pop((CONFIG_MAP.name, SNAPSHOT))
        self.cluster.fill(self.cache)
        self.cluster.objects[CONFIG_MAP.name, SNAPSHOT] = there
        return asyncio.run(self.reconciler.reconcile(KEY))


def test_o10_a_new_child_costs_one_request() -> None:
    world = World()
    world.reconcile()
    children = [w for w in world.cluster.writes if "ModelRoute" not in w]
    assert len(children) == len(set(children)) > 0
    assert world.cluster.looks == []


def test_o10_what_has_the_name_of_a_child_is_not_written_over() -> None:
    world = Met(theirs())
    assert world.reconcile() == FOREIGN_SECONDS
    assert "data" not in world.cluster.objects[CONFIG_MAP.name, SNAPSHOT]
    assert world.condition("Programmed")["reason"] == "NameConflict"


def test_what_is_known_to_have_the_name_of_a_child_is_only_looked_at() -> None:
    world = Met(theirs())
    world.reconcile()
    world.cluster.writes.clear()
    world.reconcile()
    assert world.cluster.writes == []


def test_a_name_that_was_given_back_is_taken() -> None:
    world = Met(theirs())
    world.reconcile()
    del world.cluster.objects[CONFIG_MAP.name, SNAPSHOT]
    World.reconcile(world)
    assert "data" in world.cluster.objects[CONFIG_MAP.name, SNAPSHOT]


def test_o10_a_child_that_the_watch_does_not_show_yet_is_taken_in() -> None:
    world = Met(theirs(**{"modelroute.dev/route": "chat"}))
    world.reconcile()
    assert "data" in world.cluster.objects[CONFIG_MAP.name, SNAPSHOT]


def test_a_missing_secret_is_looked_for_soon() -> None:
    world = World(backends=[KEYED])
    assert world.reconcile() == UNRESOLVED_SECONDS
    world.cluster.keep(SECRET, {"metadata": {"name": "openai"}, "data": {"token": "c2VjcmV0"}})
    assert UNWATCHED_SECONDS <= (world.reconcile() or 0) <= 2 * UNWATCHED_SECONDS, "it may go, too"


def test_a_name_that_is_taken_is_looked_at_again() -> None:
    world = World()
    world.cluster.keep(CONFIG_MAP, {"metadata": {"name": "chat-router-snapshot"}, "data": {}})
    assert world.reconcile() == FOREIGN_SECONDS


def test_o13_a_predecessors_children_are_left_to_the_garbage_collector() -> None:
    world = World()
    world.reconcile()
    theirs = world.cluster.objects[SERVICE.name, "chat-router"]
    theirs["metadata"]["ownerReferences"][0]["uid"] = "of-a-route-before"
    world.cluster.keep(SERVICE, theirs)
    world.reconcile()
    assert "patch Service/chat-router" not in world.cluster.writes


def test_events_come_after_the_status_and_once() -> None:
    world = World(backends=[KEYED])
    world.reconcile()
    assert "SecretNotFound" in world.cluster.events
    world.cluster.events.clear()
    world.reconcile()
    assert world.cluster.events == []


def test_o13_a_route_that_is_going_is_left_alone() -> None:
    world = World()
    world.cluster.objects[MODEL_ROUTE.name, "chat"]["metadata"]["deletionTimestamp"] = "2026-05-01T08:00:00Z"
    assert world.reconcile() is None
    assert world.cluster.writes == []


def test_a_route_that_is_gone_is_nothing_to_do() -> None:
    cluster = FakeCluster()
    gone = reconciler(cluster, Cache())
    assert asyncio.run(gone.reconcile(KEY)) is None
    assert cluster.writes == []


def test_o14_a_namespace_that_ends_is_no_error() -> None:
    world = World()
    world.cluster.deny("patch", CONFIG_MAP, "chat-router-snapshot", 403)
    world.cluster.refuse["patch", "ConfigMap/chat-router-snapshot"].ending = True
    assert world.reconcile() is None
    assert world.cluster.events == []


def test_a_start_is_measured_when_the_status_has_it_and_once() -> None:
    def measured() -> float:
        found = REGISTRY.get_sample_value("modelroute_replica_start_seconds_sum", {"phase": "load"})
        return found or 0.0

    world, before = World(), measured()
    labels = {"modelroute.dev/route": "chat", "modelroute.dev/backend": "small", COMPONENT_LABEL: "backend"}
    container = {
        "name": "vllm",
        "image": "v",
        "ready": True,
        "state": {"running": {"startedAt": "2026-05-01T08:00:01Z"}},
    }
    loaded = {"type": "ContainersReady", "status": "True", "lastTransitionTime": "2026-05-01T08:00:31Z"}
    seen = pod("replica")
    seen["metadata"] |= {"labels": labels, "resourceVersion": "5", "uid": "uid-pod"}
    world.cache.put(POD, seen | {"status": {"conditions": [loaded], "containerStatuses": [container]}})
    for _ in range(2):
        world.reconcile()
        assert measured() - before == 30
