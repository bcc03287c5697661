"""The operator's stated rights are those that it uses: a right too many is a way in, one too few a condition."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from modelroute.controller.kube.kinds import CHILDREN, EVENT, MANAGED, MODEL_ROUTE, POD, SCALED_OBJECT, SECRET, SERVICE
from modelroute.controller.kube.rbac import CLUSTER_RULES, LEASE_RULES, OWN_RULES, RULES, policy_rules
from modelroute.planning.names import SIDECAR_LABEL
from tests.controlplane import hooks
from tests.controlplane.api import Api
from tests.controlplane.plane import HOME, Operator, Plane, until
from tests.controlplane.replicas import address, gate, make_replica
from tests.controlplane.routes import (
    CACHE,
    CACHED,
    KEYED,
    ROUTER,
    SMALL,
    becomes,
    create,
    publish_endpoints,
    settle,
)
from tests.fakes.manifests import HOSTED, VLLM
from tests.fakes.standin import standin


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
EACH = ("Deployment", "Service", "PodDisruptionBudget")
OTHERS = {f"{kind}/chat--{name}" for name in ("hpa", "keda", "pulled") for kind in EACH}
OTHERS |= {"HorizontalPodAutoscaler/chat--hpa", "DaemonSet/chat--pulled-pull"}
POLICIES = {"NetworkPolicy/chat-router", "NetworkPolicy/chat-backends"}


@pytest.fixture
def complete(plane: Plane, running: Operator) -> Iterator[Operator]:
    """The operator with all that it can be told to do."""
    running.end()
    running.arguments += ("--network-policies",)
    running.start()
    until("the operator is ready", running.ready, seconds=120)
    yield running
    running.end()
    running.arguments = running.arguments[:-1]
    running.start()
    until("the operator is ready", running.ready, seconds=120)


def ask_for_a_router(plane: Plane, namespace: str) -> None:
    """Of the routers' Deployment nothing is left then, and a pod has one in it."""
    plane.admin.replace(MODEL_ROUTE, namespace, "chat", "/spec/router", {"mode": "Sidecar"})
    until("no gateway", lambda: plane.admin.get(SERVICE, namespace, "chat-router") is None)
    meta = {"name": "app", "labels": {SIDECAR_LABEL: "chat"}}
    plane.admin.create(POD, namespace, {"metadata": meta, "spec": {"containers": [{"name": "a", "image": "a:1"}]}})


def certificates(plane: Plane) -> str:
    found: dict[str, str] = plane.admin.get(SECRET, HOME, "modelroute-webhook")["data"]
    return found["ca.crt"]


def take_names(plane: Plane, namespace: str, taken: str) -> None:
    """Put objects of someone else's into ``taken`` that have the names of all that was made in ``namespace``."""
    for kind in CHILDREN.values():
        for made in plane.admin.all(kind, namespace, MANAGED):
            body = {k: v for k, v in made.items() if k not in ("status", "metadata")}
            if kind is SERVICE:
                body["spec"] = {"ports": made["spec"]["ports"]}
            plane.admin.create(kind, taken, body | {"metadata": {"name": made["metadata"]["name"]}})


def test_sec_all_stated_rights_are_used_and_no_others(plane: Plane, hooked: str, complete: Operator, keda: Any) -> None:
    namespace = hooked
    keda()
    create(plane, namespace, backends=[CACHED, KEYED, SCALED, KEDAS, PULLED])
    settle(plane, namespace, ROUTER | SMALL | {CACHE} | OTHERS | POLICIES)
    until("a ScaledObject", lambda: plane.admin.get(SCALED_OBJECT, namespace, "chat--keda"))
    until("router pods", lambda: plane.admin.all(POD, namespace, "app.kubernetes.io/component=router"))
    publish_endpoints(plane, namespace, "chat--small", "http", "10.0.0.1")
    until("an event", lambda: plane.admin.all(EVENT, namespace))
    taken = plane.namespace()
    take_names(plane, namespace, taken)
    create(plane, taken, backends=[CACHED, KEYED, SCALED, PULLED])
    becomes(plane, taken, "Programmed", "False", "NameConflict")
    host = address()
    make_replica(plane, namespace, "a")
    with standin("--served-model-name", "small", host=host, port=8000):
        plane.make_pods_ready(namespace, "backend", host)
        until("a gate is open", lambda: gate(plane, namespace, "a")["status"] == "True", seconds=60)
    plane.admin.replace(MODEL_ROUTE, namespace, "chat", "/spec/backends", [VLLM | {"name": "next"}])
    settle(plane, namespace, ROUTER | POLICIES | {f"{kind}/chat--next" for kind in EACH})
    plane.admin.replace(MODEL_ROUTE, namespace, "chat", "/spec/backends", [HOSTED])
    settle(plane, namespace, ROUTER | {"NetworkPolicy/chat-router"})
    until("no ScaledObject", lambda: plane.admin.get(SCALED_OBJECT, namespace, "chat--keda") is None)
    ask_for_a_router(plane, namespace)
    plane.admin.delete(SECRET, HOME, "modelroute-webhook")
    until("the certificates again", lambda: plane.admin.get(SECRET, HOME, "modelroute-webhook"), seconds=40)
    plane.admin.merge(SECRET, HOME, "modelroute-webhook", {"data": {"ca.crt": ""}})
    until("the certificates again", lambda: certificates(plane), seconds=40)
    rights = (RULES, LEASE_RULES, OWN_RULES, CLUSTER_RULES)
    stated = {(*thing, verb) for rules in rights for thing, verbs in rules.items() for verb in verbs}

    # A watch is in the audit log only when it has ended; who may list may watch.
    def verbs(rights: set[tuple[str, str, str]]) -> set[tuple[str, str, str]]:
        return {right for right in rights if right[2] != "watch"}

    # Server-side apply asks for the right to create too, but is in the log as a patch alone.
    applied = {(group, resource, "create") for group, resource, verb in used(plane) if verb == "patch"}
    assert verbs(used(plane)) <= verbs(stated)
    assert verbs(stated) <= verbs(used(plane)) | applied


def may(asking: Api, namespace: str) -> set[tuple[str, str, str, str]]:
    """As `kubectl auth can-i --list` says: group, resource, verb, and name or nothing."""
    review = {"kind": "SelfSubjectRulesReview", "apiVersion": "authorization.k8s.io/v1"}
    path = f"/apis/{review['apiVersion']}/selfsubjectrulesreviews"
    found = asking.must("POST", path, review | {"spec": {"namespace": namespace}})["status"]
    assert not found["incomplete"], found
    return expanded(found["resourceRules"])


def expanded(rules: list[dict[str, list[str]]]) -> set[tuple[str, str, str, str]]:
    return {
        (group, resource, verb, name)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames") or [""]
    }


def test_sec_what_the_operator_may_is_what_is_stated(plane: Plane, running: Operator, namespace: str) -> None:
    operator = Api(yaml.safe_load(plane.operator_kubeconfig.read_text()))
    plane.users.append(operator)
    usual = may(hooks.user(plane, namespace, "anybody"), namespace)
    everywhere = expanded(policy_rules(RULES)) | expanded(policy_rules(CLUSTER_RULES))
    assert may(operator, namespace) - usual == everywhere
    own = expanded(policy_rules(LEASE_RULES)) | expanded(policy_rules(OWN_RULES))
    assert may(operator, HOME) - usual == everywhere | own
