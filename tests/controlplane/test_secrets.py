"""A key is read where it is mounted: that it changes restarts nothing, and it is seen nowhere but in its Secret."""

import base64
from collections.abc import Iterator
from typing import Any

from modelroute.controller.kube.kinds import EVENT, POD, SECRET
from tests.controlplane.plane import Operator, Plane, until
from tests.controlplane.routes import (
    KEYED,
    ROUTER,
    at_rest,
    becomes,
    create,
    deployment,
    put_secret,
    route,
    settle,
    touch,
)

OLD, NEW = "sk-planted-old-51c2", "sk-planted-new-e07b"


def leaked(seen: str) -> list[str]:
    """What of the keys is to be seen there, as it is or as a Secret has it."""
    forms = [form for key in (OLD, NEW) for form in (key, base64.b64encode(key.encode()).decode())]
    return [form for form in forms if form in seen]


def router_pods(plane: Plane, namespace: str) -> set[str]:
    pods = plane.admin.all(POD, namespace, "app.kubernetes.io/component=router")
    return {pod["metadata"]["uid"] for pod in pods}


def test_o19_a_key_that_is_rotated_restarts_nothing(plane: Plane, operator: Operator, namespace: str) -> None:
    put_secret(plane, namespace, token=OLD)
    create(plane, namespace, backends=[KEYED])
    settle(plane, namespace, ROUTER)
    becomes(plane, namespace, "ResolvedRefs", "True")
    pods = until("2 router pods", lambda: len(found := router_pods(plane, namespace)) == 2 and found)
    touch(plane, operator, namespace)
    generation = deployment(plane, namespace, "chat-router")["metadata"]["generation"]
    mark = at_rest(plane, namespace)
    plane.admin.merge(SECRET, namespace, "openai", {"stringData": {"token": NEW}})
    for _ in range(2):
        touch(plane, operator, namespace)
    assert plane.writes(mark, namespace) == []
    assert deployment(plane, namespace, "chat-router")["metadata"]["generation"] == generation
    assert router_pods(plane, namespace) == pods
    said = f"{route(plane, namespace)} {plane.admin.all(EVENT, namespace)} {operator.log()}"
    assert leaked(said) == []


def listed(plane: Plane, namespace: str) -> Iterator[tuple[str, Any]]:
    """Each kind of the namespace by its resource, with all there is of it."""
    groups = plane.admin.must("GET", "/apis")["groups"]
    for path in ("/api/v1", *(f"/apis/{group['preferredVersion']['groupVersion']}" for group in groups)):
        for kind in plane.admin.must("GET", path)["resources"]:
            if kind["namespaced"] and "list" in kind["verbs"]:
                yield kind["name"], plane.admin.must("GET", f"{path}/namespaces/{namespace}/{kind['name']}")["items"]


def test_sec_a_planted_key_is_in_no_object_metric_or_log(plane: Plane, operator: Operator, namespace: str) -> None:
    put_secret(plane, namespace, token=OLD)
    create(plane, namespace, backends=[KEYED])
    settle(plane, namespace, ROUTER)
    becomes(plane, namespace, "ResolvedRefs", "True")
    until("router pods", lambda: router_pods(plane, namespace))
    plane.admin.merge(SECRET, namespace, "openai", {"data": {"token": None}, "stringData": {"wrong": OLD}})
    touch(plane, operator, namespace)
    becomes(plane, namespace, "ResolvedRefs", "False")
    found = dict(listed(plane, namespace))
    assert OLD in base64.b64decode(found.pop("secrets")[0]["data"]["wrong"]).decode(), "else nothing is looked for"
    assert {"modelroutes", "configmaps", "deployments", "pods", "replicasets", "events"} <= {
        k for k in found if found[k]
    }
    seen = f"{found} {operator.metrics()} {operator.log()}"
    assert operator.metrics()
    assert leaked(seen) == []
