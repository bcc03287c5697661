"""Replicas of the backend "small" as pods without a node, at addresses of this machine where a vLLM may listen."""

import os
import random
from typing import Any

from modelroute.controller.kube.kinds import EVENT, POD
from modelroute.planning import names
from tests.controlplane import kubelet
from tests.controlplane.plane import Plane
from tests.fakes.manifests import VLLM

COLD = VLLM | {"scaling": {"minReplicas": 0}}
"""The backend without replicas of its own: a test makes those that it wants."""
COMPONENT = "app.kubernetes.io/component=backend"


def address() -> str:
    """One of the loopback network that nobody else uses; replicas listen on port 8000."""
    return f"127.{random.randint(64, 254)}.{os.getpid() % 250 + 1}.{random.randint(1, 254)}"


def make_replica(plane: Plane, namespace: str, name: str, *, gated: bool = True) -> None:
    """A pod of the backend that its Deployment does not know of; no node takes it."""
    gates = [{"conditionType": names.WARM_GATE}] if gated else []
    labels = names.labels(names.backend_selector("chat", "small"))
    container = {"name": "vllm", "image": "vllm:none", "resources": {"requests": {"cpu": "1000"}}}
    spec = {"containers": [container], "readinessGates": gates}
    plane.admin.create(POD, namespace, {"metadata": {"name": name, "labels": labels}, "spec": spec})


def restart(plane: Plane, namespace: str, name: str) -> None:
    """Its container ended and was started again."""
    said = {"status": kubelet.restarted(plane.admin.get(POD, namespace, name))}
    plane.admin.must("PATCH", POD.path(namespace, name, "status"), said, "strategic-merge-patch+json")


def conditions(plane: Plane, namespace: str, name: str) -> dict[str, str]:
    """The status of each of its conditions."""
    found = plane.admin.get(POD, namespace, name)["status"]["conditions"]
    return {c["type"]: c["status"] for c in found}


def gate(plane: Plane, namespace: str, name: str) -> dict[str, Any]:
    """Its readiness gate, or an empty one."""
    found = plane.admin.get(POD, namespace, name)["status"].get("conditions", ())
    return next((c for c in found if c["type"] == names.WARM_GATE), {"status": "", "reason": "", "message": ""})


def notes(plane: Plane, namespace: str, reason: str) -> list[str]:
    """What Events of that reason say."""
    return [e["note"] for e in plane.admin.all(EVENT, namespace) if e.get("reason") == reason]
