"""Autoscalers and numbers of replicas, against an API server in memory: the kind that is not watched, and the order."""

from typing import Any

import pytest

from modelroute.controller.kube.calls import ApiError, Call
from modelroute.controller.kube.kinds import DEPLOYMENT, HORIZONTAL_AUTOSCALER, MODEL_ROUTE, SCALED_OBJECT, SERVICE
from modelroute.controller.reconciler import UNWATCHED_SECONDS
from tests.fakes.manifests import VLLM
from tests.fakes.reconcilers import reconciler
from tests.fakes.world import moment
from tests.unit.test_controller_reconciler import World

PLACE = (SCALED_OBJECT.name, "chat--small")
OURS: dict[str, Any] = {"manager": "modelroute", "fieldsV1": {"f:spec": {"f:replicas": {}}}}


def backend(engine: str) -> dict[str, Any]:
    address = {"serverAddress": "http://prometheus.monitoring.svc"} if engine == "KEDA" else {}
    return VLLM | {"scaling": {"engine": engine, "maxReplicas": 4, **address}}


def scaled(engine: str) -> World:
    """At rest with that engine."""
    world = World(backends=[backend(engine)])
    for _ in range(3):
        world.reconcile()
    assert world.cluster.writes == []
    return world


def change(world: World, engine: str) -> None:
    found = world.cluster.objects[MODEL_ROUTE.name, "chat"]
    found["spec"]["backends"] = [backend(engine)]
    world.cluster.keep(MODEL_ROUTE, found)


def test_a_scaled_object_is_looked_at_now_and_then_since_nobody_tells_of_it() -> None:
    world = scaled("KEDA")
    assert world.reconcile() == UNWATCHED_SECONDS


def test_o12_a_scaled_object_that_went_is_made_again() -> None:
    world = scaled("KEDA")
    del world.cluster.objects[PLACE]
    world.reconcile()
    assert PLACE in world.cluster.objects


def test_o11_a_scaled_object_that_was_edited_is_put_back() -> None:
    world = scaled("KEDA")
    world.cluster.objects[PLACE]["spec"]["maxReplicaCount"] = 99
    world.reconcile()
    assert world.cluster.objects[PLACE]["spec"]["maxReplicaCount"] == 4


def test_o09_a_scaled_object_is_not_forgotten_by_an_operator_that_is_new() -> None:
    before = scaled("KEDA")
    world = World(before.cluster, backends=[backend("BuiltIn")])
    world.reconcile()
    assert PLACE not in world.cluster.objects
    world.reconcile()
    assert world.cluster.writes == []


@pytest.mark.parametrize("engine", ["HPA", "KEDA"])
def test_o23_an_autoscaler_is_gone_before_the_number_is_ours(engine: str) -> None:
    world = scaled(engine)
    change(world, "BuiltIn")
    world.reconcile()
    kind = HORIZONTAL_AUTOSCALER.name if engine == "HPA" else SCALED_OBJECT.name
    assert world.cluster.writes[0] == f"delete {kind}/chat--small"
    assert f"patch {DEPLOYMENT.name}/chat--small" in world.cluster.writes


def test_o23_the_number_and_the_autoscaler_come_in_turn() -> None:
    world = scaled("BuiltIn")
    change(world, "HPA")
    world.reconcile()
    writes = world.cluster.writes
    assert writes.index(f"patch {DEPLOYMENT.name}/chat--small") < writes.index(
        f"patch {HORIZONTAL_AUTOSCALER.name}/chat--small"
    )


def test_o23_a_number_that_is_applied_again_is_of_the_version_that_was_seen() -> None:
    world = scaled("BuiltIn")
    found = world.cluster.objects[DEPLOYMENT.name, "chat--small"]
    found["metadata"]["managedFields"] = [OURS]
    version = world.cluster.keep(DEPLOYMENT, found)["metadata"]["resourceVersion"]
    sent: list[dict[str, Any]] = []
    world.cluster.form = lambda desired: sent.append(desired) or desired  # type: ignore[method-assign, func-returns-value]
    change(world, "External")
    world.reconcile()
    [applied] = [o for o in sent if o["metadata"]["name"] == "chat--small"]
    assert (applied["spec"]["replicas"], applied["metadata"]["resourceVersion"]) == (1, version)


def test_o23_a_race_is_tried_again_and_overwrites_nothing() -> None:
    world = scaled("BuiltIn")
    change(world, "External")
    call = Call("patch", DEPLOYMENT, "team-a", "chat--small")
    world.cluster.refuse["patch", "Deployment/chat--small"] = ApiError(call, 409, "the object has been modified")
    with pytest.raises(ApiError, match="has been modified"):
        world.reconcile()
    world.cluster.refuse.clear()
    world.reconcile()
    assert "patch Deployment/chat--small" in world.cluster.writes


def test_a_schedule_is_not_late_for_a_name_that_someone_holds() -> None:
    day = {"name": "day", "cron": "0 8 * * *", "duration": "1h", "minReplicas": {"small": 2}}
    world = World(backends=[VLLM], schedules=[day])
    world.cluster.keep(SERVICE, {"metadata": {"name": "chat-router", "namespace": "team-a"}, "spec": {}})
    world.reconciler = reconciler(world.cluster, world.cache, clock=lambda: moment("2026-05-01T07:59:55Z"))
    assert world.reconcile() == 5.0
