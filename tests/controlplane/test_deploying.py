"""What is made for vLLM backends, on a real API server: admitted where pods must be restricted, kept, and told of."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from modelroute.controller.kube.kinds import (
    CHILDREN,
    DAEMON_SET,
    HORIZONTAL_AUTOSCALER,
    MODEL_ROUTE,
    POD,
    SERVICE_ACCOUNT,
)
from modelroute.planning.observed import KubeObject, Observed
from modelroute.planning.plan import plan
from tests.controlplane.plane import Operator, Plane, until
from tests.controlplane.routes import (
    ROUTER,
    ROUTER_PODS,
    SMALL,
    at_rest,
    becomes,
    condition,
    create,
    deployment,
    publish_endpoints,
    route,
    settle,
    touch,
)
from tests.fakes import world
from tests.fakes.manifests import BOTH, HOSTED, VLLM
from tests.golden.test_deploying_golden import SETTINGS, SPEC

PULLED = VLLM | {"vllm": {"model": "org/small", "prePull": True, "nodeSelector": {"gpu": "yes"}}}
SCALED = VLLM | {"scaling": {"engine": "HPA", "maxReplicas": 4}}


@pytest.fixture
def strict(plane: Plane) -> str:
    """A namespace whose pods must be restricted."""
    name = plane.namespace()
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    plane.admin.must("PATCH", f"/api/v1/namespaces/{name}", {"metadata": {"labels": labels}}, "merge-patch+json")
    return name


def rendered(namespace: str) -> list[KubeObject]:
    """All that can be made, but for what this control plane has no kinds or classes of."""
    objects = plan(world.route(**SPEC), Observed(), SETTINGS, world.moment(world.NOW)).objects
    found = [o for o in objects if o["kind"] != "ScaledObject"]
    for made in found:
        made["metadata"]["namespace"] = namespace
        pod = made["spec"].get("template", {}).get("spec", {}) if "spec" in made else {}
        for missing in ("priorityClassName", "runtimeClassName"):
            pod.pop(missing, None)
    return found


def test_all_that_is_made_is_admitted(plane: Plane, strict: str) -> None:
    query = {"fieldManager": "test", "dryRun": "All", "fieldValidation": "Strict"}
    for made in rendered(strict):
        path = CHILDREN[made["kind"]].path(strict, made["metadata"]["name"])
        answer = plane.admin.ask("PATCH", path, made, "apply-patch+yaml", **query)
        assert answer.is_success, answer.text
        assert "warning" not in answer.headers, answer.headers


def test_sec_every_pod_is_admitted_where_pods_must_be_restricted(plane: Plane, strict: str) -> None:
    plane.admin.create(SERVICE_ACCOUNT, strict, {"metadata": {"name": "chat-router"}})
    until("its account", lambda: plane.admin.get(SERVICE_ACCOUNT, strict, "default"))
    templates = [o["spec"]["template"] for o in rendered(strict) if o["kind"] in ("Deployment", "DaemonSet")]
    assert len(templates) == 6
    for template in templates:
        pod = {"metadata": template["metadata"] | {"generateName": "x-"}, "spec": template["spec"]}
        answer = plane.admin.ask("POST", POD.path(strict), pod, dryRun="All")
        assert answer.is_success, answer.text


@pytest.mark.parametrize(
    ("backend", "kind", "field"),
    [
        (SCALED, HORIZONTAL_AUTOSCALER, "/spec/maxReplicas"),
        (PULLED, DAEMON_SET, "/spec/template/spec/terminationGracePeriodSeconds"),
    ],
    ids=["HPA", "pre-pull"],
)
def test_o11_o12_what_is_edited_or_deleted_is_put_back(
    plane: Plane, operator: Operator, namespace: str, backend: Any, kind: Any, field: str
) -> None:
    name = "chat--small-pull" if kind is DAEMON_SET else "chat--small"
    create(plane, namespace, backends=[backend, HOSTED])
    settle(plane, namespace, ROUTER | SMALL | {f"{kind.name}/{name}"})
    before = plane.admin.get(kind, namespace, name)
    plane.admin.replace(kind, namespace, name, field, 9)
    until("what was there", lambda: plane.admin.get(kind, namespace, name)["spec"] == before["spec"])
    plane.admin.delete(kind, namespace, name)
    lost = before["metadata"]["uid"]
    until("another", lambda: (plane.admin.get(kind, namespace, name) or before)["metadata"]["uid"] != lost, seconds=5)
    plane.admin.replace(MODEL_ROUTE, namespace, "chat", "/spec/backends", BOTH)
    settle(plane, namespace, ROUTER | SMALL)


@pytest.fixture
def node(plane: Plane, namespace: str) -> Iterator[Any]:
    """Call it with a number of GPUs to have a node with them, and room for everything else; no kubelet runs there.

    It is for ``three`` of this test alone: replicas of others, that of the test before too, may still wait for a GPU.
    """
    made = "/api/v1/nodes/gpu"

    def add(gpus: int) -> None:
        plane.admin.must("POST", "/api/v1/nodes", {"metadata": {"name": "gpu"}})
        room = {"cpu": "64", "memory": "256Gi", "pods": "100", "nvidia.com/gpu": str(gpus)}
        ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": now(), "lastTransitionTime": now()}
        status = {"capacity": room, "allocatable": room, "conditions": [ready]}
        plane.admin.must("PATCH", f"{made}/status", {"status": status}, "merge-patch+json")
        plane.admin.must("PATCH", made, {"spec": {"taints": [taint(namespace)]}}, "merge-patch+json")

    yield add
    plane.admin.ask("DELETE", made)


def taint(namespace: str) -> dict[str, str]:
    return {"key": "test", "value": namespace, "effect": "NoSchedule"}


def three(namespace: str) -> dict[str, Any]:
    """A backend with three replicas, which are let in at the node of their test."""
    vllm = {"model": "org/small", "tolerations": [taint(namespace)]}
    return VLLM | {"scaling": {"minReplicas": 3}, "vllm": vllm}


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def replicas(plane: Plane, namespace: str) -> list[KubeObject]:
    return plane.admin.all(POD, namespace, "app.kubernetes.io/component=backend")


def told(plane: Plane, namespace: str) -> str:
    message: str = route(plane, namespace)["status"]["backends"][0].get("message", "")
    return message


def test_o20_o21_no_gpu_to_be_had_is_not_a_slow_start(
    plane: Plane, operator: Operator, namespace: str, node: Any
) -> None:
    node(gpus=0)
    create(plane, namespace, backends=[three(namespace)])
    settle(plane, namespace, ROUTER | SMALL)
    lacking = "0 of 3 replicas are ready: no node has 1 free nvidia.com/gpu"
    until("what is lacking", lambda: told(plane, namespace) == lacking, seconds=30)
    until("2 router pods", lambda: len(plane.admin.all(POD, namespace, ROUTER_PODS)) == 2)
    plane.make_pods_ready(namespace, "router")
    becomes(plane, namespace, "Ready", "False", "InsufficientGPU")


def test_o21_what_there_is_is_counted_and_nothing_is_made_and_deleted(
    plane: Plane, operator: Operator, namespace: str, node: Any
) -> None:
    node(gpus=1)
    create(plane, namespace, backends=[three(namespace)])
    settle(plane, namespace, ROUTER | SMALL)
    publish_endpoints(plane, namespace, "chat--small", "http", "10.0.0.1")
    counted = "1 of 3 replicas are ready: no node has 1 free nvidia.com/gpu"
    until("the count", lambda: told(plane, namespace) == counted, seconds=30)
    touch(plane, operator, namespace)  # its Event comes after the status
    bound = [p for p in replicas(plane, namespace) if p["spec"].get("nodeName")]
    pods, mark = {p["metadata"]["uid"] for p in replicas(plane, namespace)}, at_rest(plane, namespace)
    for _ in range(3):
        touch(plane, operator, namespace)
    assert plane.writes(mark, namespace) == []
    assert ({p["metadata"]["uid"] for p in replicas(plane, namespace)}, len(bound)) == (pods, 1)


def test_o20_a_quota_that_refuses_pods_is_told_in_words_that_stay(
    plane: Plane, operator: Operator, namespace: str
) -> None:
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"requests.nvidia.com/gpu": "0"}}}
    path = f"/api/v1/namespaces/{namespace}/resourcequotas"
    plane.admin.must("POST", path, quota)
    until("it is in force", lambda: "hard" in plane.admin.must("GET", f"{path}/none")["status"])
    create(plane, namespace, backends=[three(namespace)])
    settle(plane, namespace, ROUTER | SMALL)
    until("the refusal", lambda: "FailedCreate: pods are forbidden: exceeded quota: none" in told(plane, namespace))
    assert "chat--small-" not in told(plane, namespace)


def test_a_token_that_is_missing_is_named_and_replicas_that_run_go_on(
    plane: Plane, operator: Operator, namespace: str
) -> None:
    backend = VLLM | {"vllm": {"model": "m", "hubTokenSecretRef": {"name": "hub", "key": "token"}}}
    create(plane, namespace, backends=[backend])
    settle(plane, namespace, ROUTER | SMALL)
    publish_endpoints(plane, namespace, "chat--small", "http", "10.0.0.1")
    found = becomes(plane, namespace, "ResolvedRefs", "False", "SecretNotFound")
    assert found == f'spec.backends[0].vllm.hubTokenSecretRef: Secret "hub" is not in namespace {namespace}'
    until("it is ready", lambda: route(plane, namespace)["status"]["readyBackends"] == "1/1")


def test_sec_a_template_that_reaches_too_far_leaves_what_was(plane: Plane, operator: Operator, namespace: str) -> None:
    create(plane, namespace)
    settle(plane, namespace, ROUTER | SMALL)
    before = deployment(plane, namespace, "chat--small")["metadata"]["generation"]
    wrong = {"spec": {"hostNetwork": True}}
    plane.admin.replace(MODEL_ROUTE, namespace, "chat", "/spec/backends/0/vllm/template", wrong)
    message = becomes(plane, namespace, "Accepted", "False", "InvalidSpec")
    assert message.startswith('spec.backends[0].vllm.template.spec: a template cannot set "hostNetwork"')
    assert deployment(plane, namespace, "chat--small")["metadata"]["generation"] == before
    assert condition(plane, namespace, "Accepted")["status"] == "False"
