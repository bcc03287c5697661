"""O20: why a replica does not run is told in a condition, in the backend's message and in an Event; others serve on."""

from typing import Any

import pytest

from modelroute.controller.kube.kinds import EVENT, POD
from tests.controlplane.plane import Operator, Plane, until
from tests.controlplane.routers import Routers
from tests.controlplane.routes import (
    ROUTER,
    SMALL,
    becomes,
    condition,
    create,
    endpoints,
    publish_endpoints,
    route,
    settle,
)
from tests.fakes.manifests import HOSTED, VLLM

SECONDS = 30
TWO = VLLM | {"scaling": {"minReplicas": 2}, "warmup": {"readinessGate": False}}
KILLED = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}
FAILED = {"terminated": {"reason": "Error", "exitCode": 1}}
WAITS = {"waiting": {"reason": "CrashLoopBackOff"}}
CAUSES: dict[str, tuple[dict[str, Any], str]] = {
    "ImagePullBackOff": ({"state": {"waiting": {"reason": "ImagePullBackOff"}}}, "cannot be pulled"),
    "OOMKilled": ({"state": KILLED}, "(OOMKilled, exit code 137)"),
    "CrashLoopBackOff": ({"state": WAITS, "lastState": FAILED}, "(Error, exit code 1)"),
    "Unschedulable": ({}, "no node can take the pod"),  # as the scheduler says by itself: there is no node
}


def tell(plane: Plane, namespace: str, pod: str, state: dict[str, Any]) -> None:
    """What a kubelet would say of the container of ``pod``."""
    told = {"name": "vllm", "image": "vllm:none", "imageID": "", "restartCount": 3, "ready": False, **state}
    plane.admin.merge(POD, namespace, pod, {"status": {"containerStatuses": [told]}}, "status")


@pytest.mark.parametrize(("state", "cause"), CAUSES.values(), ids=CAUSES)
def test_o20_why_a_replica_does_not_run_is_told_and_the_other_serves(
    plane: Plane, operator: Operator, namespace: str, routers: Routers, state: dict[str, Any], cause: str
) -> None:
    create(plane, namespace, backends=[TWO, HOSTED])
    settle(plane, namespace, ROUTER | SMALL)
    replicas = "app.kubernetes.io/component=backend"
    one, other = until("two pods", lambda: len(found := plane.admin.all(POD, namespace, replicas)) == 2 and found)
    plane.make_pod_ready(one)
    publish_endpoints(plane, namespace, "chat--small", "http", "10.0.0.1")
    routers.start()
    becomes(plane, namespace, "Ready", "True")
    if state:
        tell(plane, namespace, other["metadata"]["name"], state)
    until(
        "it is told in a condition", lambda: cause in condition(plane, namespace, "Ready")["message"], seconds=SECONDS
    )
    assert cause in route(plane, namespace)["status"]["backends"][0]["message"]
    until("an Event", lambda: any(cause in e["note"] for e in plane.admin.all(EVENT, namespace)), seconds=SECONDS)
    assert endpoints(plane, namespace, "small") == ["10.0.0.1:8000"]
