"""What a start takes: read from pods as a kubelet would tell of them, kept in the status, told to the routers."""

import datetime as dt
from typing import Any

from modelroute.controller.kube.kinds import POD
from modelroute.planning.names import WARM_GATE
from modelroute.planning.times.moments import rfc3339
from tests.controlplane.plane import Operator, Plane, until
from tests.controlplane.routes import ROUTER, SMALL, create, route, settle, snapshot, touch
from tests.fakes.manifests import HOSTED, VLLM

REPLICAS = "app.kubernetes.io/component=backend"


def start(plane: Plane, namespace: str, *phases: int) -> None:
    """Say of the backend's pod that its phases (to a node, a container, its weights, an answer) took so many seconds.

    They are put before now by making it older than it is: nothing can be ready in the future.
    """
    [pod] = until("a pod", lambda: plane.admin.all(POD, namespace, REPLICAS))
    moment = dt.datetime.fromisoformat(pod["metadata"]["creationTimestamp"]).timestamp()
    times = [rfc3339(moment := moment + phase) for phase in phases]
    kinds = ("PodScheduled", "", "ContainersReady", WARM_GATE)
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": since}
        for kind, since in zip(kinds, times, strict=True)
        if kind
    ]
    conditions.append({"type": "Ready", "status": "True", "lastTransitionTime": times[-1]})
    container: dict[str, Any] = {"name": "vllm", "image": "vllm:none", "imageID": "", "restartCount": 0, "ready": True}
    running = container | {"state": {"running": {"startedAt": times[1]}}}
    status = {"phase": "Running", "conditions": conditions, "containerStatuses": [running]}
    plane.admin.merge(POD, namespace, pod["metadata"]["name"], {"status": status}, "status")


def test_a_start_is_learnt_and_told_once(plane: Plane, operator: Operator, namespace: str) -> None:
    create(plane, namespace, backends=[VLLM | {"warmup": {"readinessGate": True}}, HOSTED])
    settle(plane, namespace, ROUTER | SMALL)
    before = operator.metric("modelroute_replica_start_seconds_count")
    start(plane, namespace, 0, 1, 2, 0)

    def learnt() -> dict[str, Any]:
        found: dict[str, Any] = route(plane, namespace)["status"]["backends"][0].get("start", {})
        return found

    found = until("a start", learnt)
    assert (found["seconds"], found["pull"], found["load"], found["starts"]) == (3, 1, 2, 1)
    until("the routers' part", lambda: snapshot(plane, namespace)["backends"][0].get("start") == {"seconds": 3.0})
    touch(plane, operator, namespace)
    assert learnt() == found
    assert operator.metric("modelroute_replica_start_seconds_count") == before + 4
