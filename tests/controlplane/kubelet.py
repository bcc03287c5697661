"""What a kubelet says of a pod whose containers run: here there is no node."""

import time
from typing import Any

KubeObject = dict[str, Any]


def says(pod: KubeObject, address: str | None = None) -> KubeObject:
    """The status of ``pod``, for a strategic merge. What is so already keeps its time."""
    status = pod.get("status", {})
    conditions = {c["type"]: c for c in status.get("conditions", ())}
    gates = [gate["conditionType"] for gate in pod["spec"].get("readinessGates", ())]
    opened = all(conditions.get(gate, {}).get("status") == "True" for gate in gates)
    known = {c["name"]: c for c in status.get("containerStatuses", ())}
    found: KubeObject = {
        "phase": "Running",
        "conditions": [
            *(_condition(conditions, kind, holds=True) for kind in ("PodScheduled", "ContainersReady")),
            _condition(conditions, "Ready", holds=opened),
        ],
        "containerStatuses": [known.get(c["name"]) or _container(c) for c in pod["spec"]["containers"]],
    }
    return found | ({"podIP": address, "podIPs": [{"ip": address}]} if address else {})


def restarted(pod: KubeObject) -> KubeObject:
    """The status of ``pod``, for a strategic merge, after its containers ended and were started again."""
    containers = [_container(c) | {"restartCount": 1, "ready": False} for c in pod["spec"]["containers"]]
    conditions = {c["type"]: c for c in pod["status"]["conditions"]}
    unready = [_condition(conditions, kind, holds=False) for kind in ("ContainersReady", "Ready")]
    return {"conditions": unready, "containerStatuses": containers}


def _condition(known: dict[str, KubeObject], kind: str, *, holds: bool) -> KubeObject:
    status = "True" if holds else "False"
    before = known.get(kind, {})
    return before if before.get("status") == status else {"type": kind, "status": status, "lastTransitionTime": _now()}


def _container(spec: KubeObject) -> KubeObject:
    usual = {"ready": True, "started": True, "restartCount": 0, "imageID": ""}
    return {"name": spec["name"], "image": spec["image"], **usual, "state": {"running": {"startedAt": _now()}}}


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
