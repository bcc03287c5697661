"""A number of replicas has one writer, on a real API server: ours, an autoscaler's, or anybody's."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from modelroute.controller.kube.kinds import DEPLOYMENT, FIELD_MANAGER, MODEL_ROUTE, POD, SCALED_OBJECT
from tests.controlplane.plane import ROOT, Operator, Plane, until
from tests.controlplane.routes import (
    ROUTER,
    SMALL,
    at_rest,
    becomes,
    create,
    deployment,
    is_told,
    route,
    settle,
    touch,
)
from tests.fakes.manifests import HOSTED, VLLM

HPA = "HorizontalPodAutoscaler/chat--small"
URL = "http://prometheus.monitoring.svc:9090"


def backend(engine: str, **scaling: Any) -> dict[str, Any]:
    return VLLM | {"scaling": {"engine": engine, "minReplicas": 2, "maxReplicas": 8} | scaling}


def number(plane: Plane, namespace: str) -> int:
    found: int = deployment(plane, namespace, "chat--small")["spec"]["replicas"]
    return found


def scale(plane: Plane, namespace: str, count: int) -> None:
    """What an autoscaler does."""
    plane.admin.merge(DEPLOYMENT, namespace, "chat--small", {"spec": {"replicas": count}}, "scale")


def change(plane: Plane, operator: Operator, namespace: str, engine: str, **scaling: Any) -> None:
    """Give the number to another one, and wait until the operator has acted on that and rests."""
    plane.admin.replace(MODEL_ROUTE, namespace, "chat", "/spec/backends", [backend(engine, **scaling), HOSTED])
    until("a status of it", lambda: is_told(plane, namespace))
    touch(plane, operator, namespace)


def numbers(plane: Plane, namespace: str, since: str) -> list[int]:
    """Every number that the Deployment has had since that version."""
    query = {"watch": "1", "resourceVersion": since, "timeoutSeconds": "1"}
    lines = plane.admin.ask("GET", DEPLOYMENT.path(namespace), **query).text.splitlines()
    seen = [json.loads(line)["object"] for line in lines]
    return [o["spec"]["replicas"] for o in seen if o["metadata"]["name"] == "chat--small"]


def test_o23_what_another_writes_is_left_alone_and_nothing_is_written(
    plane: Plane, operator: Operator, namespace: str
) -> None:
    create(plane, namespace, backends=[backend("External"), HOSTED])
    settle(plane, namespace, ROUTER | SMALL)
    assert number(plane, namespace) == 2
    for count in (5, 1, 7):
        scale(plane, namespace, count)
        touch(plane, operator, namespace)
        mark = at_rest(plane, namespace)
        for _ in range(3):
            touch(plane, operator, namespace)
        assert (number(plane, namespace), plane.writes(mark, namespace)) == (count, [])


def test_o23_a_change_of_writer_never_makes_it_one(plane: Plane, operator: Operator, namespace: str) -> None:
    create(plane, namespace, backends=[backend("BuiltIn"), HOSTED])
    settle(plane, namespace, ROUTER | SMALL)
    since = deployment(plane, namespace, "chat--small")["metadata"]["resourceVersion"]
    change(plane, operator, namespace, "External")
    assert number(plane, namespace) == 2
    change(plane, operator, namespace, "External", targetInFlight=9)  # we own it still, and apply again
    assert number(plane, namespace) == 2
    scale(plane, namespace, 5)
    change(plane, operator, namespace, "External", targetInFlight=10)
    assert number(plane, namespace) == 5
    change(plane, operator, namespace, "BuiltIn")
    assert number(plane, namespace) == 5
    change(plane, operator, namespace, "External")
    assert number(plane, namespace) == 5
    assert set(numbers(plane, namespace, since)) <= {2, 5}


def test_o23_a_template_that_changes_leaves_the_number(plane: Plane, operator: Operator, namespace: str) -> None:
    create(plane, namespace, backends=[backend("External"), HOSTED])
    settle(plane, namespace, ROUTER | SMALL)
    since = deployment(plane, namespace, "chat--small")["metadata"]["resourceVersion"]
    for count, image in ((2, "vllm:a"), (6, "vllm:b")):
        scale(plane, namespace, count)
        plane.admin.replace(MODEL_ROUTE, namespace, "chat", "/spec/backends/0/vllm/image", image)
        until("the image", partial(has_image, plane, namespace, image))
    assert set(numbers(plane, namespace, since)) <= {2, 6}


def has_image(plane: Plane, namespace: str, image: str) -> bool:
    return image in str(deployment(plane, namespace, "chat--small")["spec"])


def test_o11_a_number_of_ours_is_put_back(plane: Plane, operator: Operator, namespace: str) -> None:
    create(plane, namespace, backends=[backend("BuiltIn"), HOSTED])
    settle(plane, namespace, ROUTER | SMALL)
    scale(plane, namespace, 7)
    until("the number that was decided", lambda: number(plane, namespace) == 2)


def message(plane: Plane, namespace: str) -> str:
    """What the status says of the backend."""
    told: str = route(plane, namespace)["status"]["backends"][0]["message"]
    return told


def test_o23_an_autoscaler_of_the_cluster_keeps_the_floor(plane: Plane, operator: Operator, namespace: str) -> None:
    create(plane, namespace, backends=[backend("HPA", minReplicas=1), HOSTED])
    settle(plane, namespace, ROUTER | SMALL | {HPA})
    change(plane, operator, namespace, "HPA", minReplicas=3)
    until("3 by the autoscaler", lambda: number(plane, namespace) == 3, seconds=60)
    # There is no metrics API here: load brings nothing, and the status says so, once.
    why = "HorizontalPodAutoscaler does not scale it: FailedGetPodsMetric: "
    until("why it does no more", lambda: why in message(plane, namespace), seconds=60)
    touch(plane, operator, namespace)
    mark = at_rest(plane, namespace)
    for _ in range(3):
        touch(plane, operator, namespace)
    assert plane.writes(mark, namespace) == []
    change(plane, operator, namespace, "BuiltIn")
    settle(plane, namespace, ROUTER | SMALL)
    assert (number(plane, namespace), why in message(plane, namespace)) == (3, False)


def test_o23_without_keda_it_is_said_what_to_do_and_with_it_all_goes_on(
    plane: Plane, operator: Operator, namespace: str, keda: Any
) -> None:
    create(plane, namespace, backends=[backend("KEDA", serverAddress=URL), HOSTED])
    message = becomes(plane, namespace, "Programmed", "False", "ApplyFailed")
    assert "ScaledObject/chat--small: this cluster has no such kind; install KEDA" in message
    settle(plane, namespace, ROUTER | SMALL)
    keda()
    touch(plane, operator, namespace)
    until("a ScaledObject", lambda: plane.admin.get(SCALED_OBJECT, namespace, "chat--small"), seconds=60)
    scale(plane, namespace, 6)
    touch(plane, operator, namespace)
    mark = at_rest(plane, namespace)
    touch(plane, operator, namespace)
    assert (number(plane, namespace), plane.writes(mark, namespace)) == (6, [])
    plane.admin.replace(MODEL_ROUTE, namespace, "chat", "/spec/backends", [backend("BuiltIn"), HOSTED])
    until("none", lambda: plane.admin.get(SCALED_OBJECT, namespace, "chat--small") is None)
    assert number(plane, namespace) == 6


PREVIOUS = ROOT / "tests/golden/previous/small.yaml"
SMALL_SPEC = [
    {"name": "small", "weight": 90, "vllm": {"model": "Qwen/Qwen2.5-7B-Instruct", "gpus": 0}},
    HOSTED | {"weight": 10},
]


def installed_before(plane: Plane, namespace: str, uid: str) -> None:
    """The backend as the operator of before had made it."""
    for made in yaml.safe_load_all(Path(PREVIOUS).read_text()):
        if made["kind"] == "Deployment" and made["metadata"]["name"] == "chat--small":
            made["metadata"]["namespace"] = namespace
            made["metadata"]["ownerReferences"][0]["uid"] = uid
            path = DEPLOYMENT.path(namespace, "chat--small")
            plane.admin.must("PATCH", path, made, "apply-patch+yaml", fieldManager=FIELD_MANAGER, force="true")


def pods(plane: Plane, namespace: str) -> set[str]:
    return {p["metadata"]["uid"] for p in plane.admin.all(POD, namespace, "app.kubernetes.io/component=backend")}


def test_o26_an_upgrade_restarts_no_replica(plane: Plane, stopped: Operator, namespace: str) -> None:
    made = create(plane, namespace, backends=SMALL_SPEC)
    installed_before(plane, namespace, made["metadata"]["uid"])
    before = until("a pod", lambda: pods(plane, namespace))
    spec = deployment(plane, namespace, "chat--small")["spec"]  # its generation counts annotations, too
    mark = plane.mark()
    stopped.start()
    until("it is ready", stopped.ready, seconds=120)
    settle(plane, namespace, ROUTER | SMALL)
    touch(plane, stopped, namespace)
    assert (deployment(plane, namespace, "chat--small")["spec"], pods(plane, namespace)) == (spec, before)
    assert plane.writes(mark, namespace).count("patch deployments/chat--small/") == 1
    # And back: the operator of before applies what it made.
    stopped.end()
    installed_before(plane, namespace, made["metadata"]["uid"])
    assert (deployment(plane, namespace, "chat--small")["spec"], pods(plane, namespace)) == (spec, before)
