"""What the tests here ask of a ModelRoute and of its children."""

import json
import time
from typing import Any

import httpx

from modelroute.controller.kube.kinds import (
    CHILDREN,
    CONFIG_MAP,
    DEPLOYMENT,
    MANAGED,
    MODEL_ROUTE,
    POD,
    SECRET,
    SERVICE,
    SLICE,
    WATCHED,
)
from modelroute.planning.names import REVISION_ANNOTATION
from tests.controlplane.api import Api
from tests.controlplane.plane import Operator, Plane, until
from tests.fakes.manifests import VLLM, manifest

ROUTER_PODS = "app.kubernetes.io/component=router"
ROUTER = {"Deployment/chat-router", "Service/chat-router", "ServiceAccount/chat-router"}
ROUTER |= {"PodDisruptionBudget/chat-router", "ConfigMap/chat-router-snapshot"}
SMALL = {"Deployment/chat--small", "Service/chat--small", "PodDisruptionBudget/chat--small"}
CACHE = "PersistentVolumeClaim/chat--small-cache"
CACHED = VLLM | {"vllm": {"model": "org/small", "modelCache": {"size": "1Gi"}}}
KEYED: dict[str, Any] = {
    "name": "big",
    "external": {"baseURL": "https://api.example.com/v1", "apiKeySecretRef": {"name": "openai", "key": "token"}},
}
BEHIND = {"name": "old", "targetRef": {"name": "legacy", "port": 80}}
LEGACY = {"metadata": {"name": "legacy"}, "spec": {"ports": [{"name": "web", "port": 80}]}}


def create(plane: Plane, namespace: str, **spec: Any) -> dict[str, Any]:
    """The ModelRoute "chat" with these fields in its spec."""
    return plane.admin.create(MODEL_ROUTE, namespace, manifest(namespace=namespace, **spec))


def apply(api: Api, namespace: str, **spec: Any) -> httpx.Response:
    """As `kubectl apply --server-side` does: the ModelRoute "chat" with these fields in its spec."""
    path, given = MODEL_ROUTE.path(namespace, "chat"), manifest(namespace=namespace, **spec)
    return api.ask("PATCH", path, given, "apply-patch+yaml", fieldManager="test", force="true")


def settle(plane: Plane, namespace: str, children: set[str]) -> None:
    """Wait for just these children, and for a status that is about the newest spec."""
    until(f"children {sorted(children)}", lambda: names(plane, namespace) == children, seconds=60)
    until("a status of the newest spec", lambda: is_told(plane, namespace))


def names(plane: Plane, namespace: str) -> set[str]:
    """All that is managed by the operator, as Kind/name."""
    kinds = [kind for kind in CHILDREN.values() if kind in WATCHED]  # of the others the API server knows nothing
    found = {(k, o["metadata"]["name"]) for k in kinds for o in plane.admin.all(k, namespace, MANAGED)}
    return {f"{kind.name}/{name}" for kind, name in found}


def route(plane: Plane, namespace: str) -> dict[str, Any]:
    found: dict[str, Any] = plane.admin.get(MODEL_ROUTE, namespace, "chat")
    return found


def is_told(plane: Plane, namespace: str) -> bool:
    found = route(plane, namespace)
    return bool(found.get("status", {}).get("observedGeneration") == found["metadata"]["generation"])


def condition(plane: Plane, namespace: str, kind: str) -> dict[str, str]:
    """The condition, or an empty one."""
    told = route(plane, namespace).get("status", {}).get("conditions", ())
    return next((c for c in told if c["type"] == kind), {"status": "", "reason": "", "message": ""})


def becomes(plane: Plane, namespace: str, kind: str, status: str, reason: str = "", seconds: float = 20) -> str:
    """The message of the condition once it has this status and reason."""

    def met() -> dict[str, str] | None:
        found = condition(plane, namespace, kind)
        return found if found["status"] == status and reason in ("", found["reason"]) else None

    message: str = until(f"{kind} is {status} {reason}", met, seconds)["message"]
    return message


def touch(plane: Plane, operator: Operator, namespace: str) -> None:
    """Have the operator look at the route again, though nothing about it needs doing; return when it has."""
    before = operator.metric("modelroute_reconcile_seconds_count")
    note = {"metadata": {"annotations": {"test/touched": str(time.monotonic_ns())}}}
    plane.admin.merge(MODEL_ROUTE, namespace, "chat", note)
    until("a reconcile", lambda: operator.metric("modelroute_reconcile_seconds_count") > before)


def at_rest(plane: Plane, namespace: str) -> int:
    """The mark after a second without a write: scheduler and controllers have had their say, and it was told."""

    def nothing_written() -> bool:
        mark = plane.mark()
        time.sleep(1)
        return plane.writes(mark, namespace) == []

    until("it rests", nothing_written, seconds=30)
    return plane.mark()


def snapshot(plane: Plane, namespace: str) -> dict[str, Any]:
    """What the routers are given."""
    found = plane.admin.get(CONFIG_MAP, namespace, "chat-router-snapshot")
    decoded: dict[str, Any] = json.loads(found["data"]["snapshot.json"]) if found else {}
    return decoded


def endpoints(plane: Plane, namespace: str, backend: str) -> list[str]:
    found = [b for b in snapshot(plane, namespace).get("backends", ()) if b["name"] == backend]
    return [e for b in found for e in b.get("endpoints", ())]


def publish_endpoints(plane: Plane, namespace: str, service: str, port: str, *addresses: str) -> None:
    """What the EndpointSlice controller does where pods run."""
    labels = {"kubernetes.io/service-name": service}
    body = {
        "metadata": {"generateName": f"{service}-", "labels": labels},
        "addressType": "IPv4",
        "ports": [{"name": port, "port": 8000, "protocol": "TCP"}],
        "endpoints": [{"addresses": [a], "conditions": {"ready": True}} for a in addresses],
    }
    plane.admin.create(SLICE, namespace, body)


def revisions(plane: Plane, namespace: str) -> list[str]:
    """What the router pods were last told to take up."""
    return revisions_of(plane, namespace, ROUTER_PODS)


def revisions_of(plane: Plane, namespace: str, selector: str) -> list[str]:
    pods = plane.admin.all(POD, namespace, selector)
    return [pod["metadata"].get("annotations", {}).get(REVISION_ANNOTATION, "") for pod in pods]


def change_snapshot(plane: Plane, namespace: str) -> None:
    """Wait for the two router pods, then have a replica become ready."""
    until("2 router pods", lambda: len(plane.admin.all(POD, namespace, ROUTER_PODS)) == 2)
    publish_endpoints(plane, namespace, "chat--small", "http", "10.0.0.1")
    until("its endpoint", lambda: endpoints(plane, namespace, "small"))


def put_secret(plane: Plane, namespace: str, name: str = "openai", **values: str) -> None:
    plane.admin.create(SECRET, namespace, {"metadata": {"name": name}, "stringData": values})


def deployment(plane: Plane, namespace: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = plane.admin.get(DEPLOYMENT, namespace, name)
    return found


def put_service(plane: Plane, namespace: str, name: str) -> dict[str, Any]:
    """A Service that is nobody's child."""
    return plane.admin.create(SERVICE, namespace, LEGACY | {"metadata": {"name": name}})
