"""The operator's stated rights are those that it uses: a right too many is a way in, one too few a condition."""

from collections.abc import Iterator
from typing import Any

import pytest

from modelroute.controller.kinds import EVENT, MODEL_ROUTE, POD, SCALED_OBJECT
from modelroute.controller.rbac import RULES
from tests.controlplane.plane import Operator, Plane, until
from tests.controlplane.routes import CACHE, CACHED, KEYED, ROUTER, SMALL, create, publish_endpoints, settle
from tests.fakes.manifests import HOSTED, VLLM


def used(plane: Plane) -> set[tuple[str, str, str]]:
    """Group, resource and verb of all that the operator has asked for."""
    found = set()
    for ask in plane.asked():
        resource = "/".join(part for part in (ask["resource"], ask.get("subresource", "")) if part)
        found.add((ask.get("apiGroup", ""), resource, ask["verb"]))
    return found


URL = "http://prometheus.monitoring.svc"
SCALED = VLLM | {"name": "hpa", "scaling": {"engine": "HPA"}}
KEDAS = VLLM | {"name": "keda", "scaling": {"engine": "KEDA", "serverAddress": URL}}
PULLED = VLLM | {"name": "pulled", "vllm": {"model": "m", "prePull": True, "nodeSelector": {"a": "b"}}}
OTHERS = {f"{kind}/chat--{name}" for name in ("hpa", "keda", "pulled") for kind in ("Deployment", "Service")}
OTHERS |= {"HorizontalPodAutoscaler/chat--hpa", "DaemonSet/chat--pulled-pull"}
POLICIES = {"NetworkPolicy/chat-router", "NetworkPolicy/chat-backends"}


@pytest.fixture
def complete(plane: Plane, operator: Operator) -> Iterator[Operator]:
    """The operator with all that it can be told to do."""
    operator.end()
    found = Operator(plane.operator_kubeconfig, "--network-policies")
    until("the operator is ready", found.ready, seconds=120)
    yield found
    found.end()
    operator.start()
    until("the operator is ready", operator.ready, seconds=120)


def test_all_stated_rights_are_used_and_no_others(
    plane: Plane,
    complete: Operator,
    namespace: str,
    keda: Any,
) -> None:
    keda()
    create(plane, namespace, backends=[CACHED, KEYED, SCALED, KEDAS, PULLED])
    settle(plane, namespace, ROUTER | SMALL | {CACHE} | OTHERS | POLICIES)
    until("a ScaledObject", lambda: plane.admin.get(SCALED_OBJECT, namespace, "chat--keda"))
    until("router pods", lambda: plane.admin.all(POD, namespace, "app.kubernetes.io/component=router"))
    publish_endpoints(plane, namespace, "chat--small", "http", "10.0.0.1")
    until("an event", lambda: plane.admin.all(EVENT, namespace))
    plane.admin.replace(MODEL_ROUTE, namespace, "chat", "/spec/backends", [VLLM | {"name": "next"}])
    settle(plane, namespace, ROUTER | POLICIES | {"Deployment/chat--next", "Service/chat--next"})
    plane.admin.replace(MODEL_ROUTE, namespace, "chat", "/spec/backends", [HOSTED])
    settle(plane, namespace, ROUTER | {"NetworkPolicy/chat-router"})
    until("no ScaledObject", lambda: plane.admin.get(SCALED_OBJECT, namespace, "chat--keda") is None)
    stated = {(group, resource, verb) for (group, resource), verbs in RULES.items() for verb in verbs}

    # A watch is in the audit log only when it has ended; who may list may watch.
    def verbs(rights: set[tuple[str, str, str]]) -> set[tuple[str, str, str]]:
        return {right for right in rights if right[2] != "watch"}

    # Server-side apply asks for the right to create too, but is in the log as a patch alone.
    applied = {(group, resource, "create") for group, resource, verb in used(plane) if verb == "patch"}
    assert verbs(used(plane)) <= verbs(stated)
    assert verbs(stated) <= verbs(used(plane)) | applied
