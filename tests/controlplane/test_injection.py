"""Pods that ask for a router by label get it, at the real API server; its admission plugins have their say, too."""

import time
from typing import Any

import httpx
import pytest

from modelroute.controller.kube.kinds import CONFIG_MAP, DEPLOYMENT, MODEL_ROUTE, POD
from modelroute.planning.names import SIDECAR
from tests.controlplane import hooks
from tests.controlplane.plane import Plane, until
from tests.controlplane.routers import Routers
from tests.controlplane.routes import KEYED, SMALL, becomes, create, names, revisions_of, settle
from tests.fakes.manifests import BOTH, HOSTED, VLLM

SIDECARS = {"mode": "Sidecar"}
LABELS = {"app": "shop", "modelroute.dev/sidecar": "chat"}
SNAPSHOT = {"ConfigMap/chat-router-snapshot"}
SAFE = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
SHOP: dict[str, Any] = {
    "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [{"name": "shop", "image": "shop:1", "securityContext": SAFE}],
}


def pod(name: str = "shop", **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": LABELS | labels}, "spec": SHOP}


def made(plane: Plane, namespace: str, **labels: str) -> httpx.Response:
    return plane.admin.ask("POST", POD.path(namespace), pod(**labels))


def sidecar(found: dict[str, Any]) -> dict[str, Any]:
    [router] = [c for c in found["spec"].get("initContainers", ()) if c["name"] == SIDECAR]
    assert isinstance(router, dict)
    return router


def test_a_pod_of_a_deployment_gets_its_router(plane: Plane, hooked: str) -> None:
    create(plane, hooked, backends=[HOSTED], router=SIDECARS)
    spec = {"selector": {"matchLabels": {"app": "shop"}}, "template": {"metadata": {"labels": LABELS}, "spec": SHOP}}
    plane.admin.create(DEPLOYMENT, hooked, {"metadata": {"name": "shop"}, "spec": spec})
    [found] = until("its pod", lambda: plane.admin.all(POD, hooked, "app=shop"), seconds=60)
    assert sidecar(found)["restartPolicy"] == "Always"
    [shop] = found["spec"]["containers"]
    assert {"name": "OPENAI_BASE_URL", "value": "http://127.0.0.1:14000/v1"} in shop["env"]


def test_a_restricted_namespace_admits_it(plane: Plane, hooked: str) -> None:
    hooks.mark(plane, hooked, **{"pod-security.kubernetes.io/enforce": "restricted"})
    create(plane, hooked, backends=[KEYED], router=SIDECARS)
    answer = made(plane, hooked)
    assert answer.is_success, answer.text
    assert sidecar(answer.json())["securityContext"]["readOnlyRootFilesystem"] is True


def test_the_router_gets_no_token_of_the_pods_account(plane: Plane, hooked: str) -> None:
    create(plane, hooked, backends=[HOSTED], router=SIDECARS)
    found = made(plane, hooked).json()
    at = "/var/run/secrets/kubernetes.io/serviceaccount"
    volumes = {v["name"]: v for v in found["spec"]["volumes"]}

    def mounted(container: dict[str, Any]) -> list[dict[str, Any]]:
        return [volumes[m["name"]] for m in container["volumeMounts"] if m["mountPath"] == at]

    assert mounted(sidecar(found)) == [{"name": f"{SIDECAR}-no-token", "emptyDir": {}}]
    assert "projected" in mounted(found["spec"]["containers"][0])[0]


def test_what_another_webhook_adds_is_told_too(plane: Plane, hooked: str) -> None:
    """A pod that comes with the router in it, such as one that is made from another: nothing is put in twice."""
    create(plane, hooked, backends=[HOSTED], router=SIDECARS)
    first = made(plane, hooked).json()
    again = {"metadata": {"name": "again", "labels": first["metadata"]["labels"]}, "spec": first["spec"]}
    again["spec"]["containers"].append({"name": "more", "image": "more:1"})
    second = plane.admin.must("POST", POD.path(hooked), again)
    sidecar(second)
    assert "OPENAI_BASE_URL" in [e["name"] for e in second["spec"]["containers"][1]["env"]]


@pytest.mark.parametrize(
    ("router", "says"),
    [(None, 'ModelRoute "chat" is not in namespace'), ({"mode": "None"}, 'ModelRoute "chat" has router.mode None')],
)
def test_a_pod_that_cannot_have_it_is_refused(plane: Plane, hooked: str, router: Any, says: str) -> None:
    if router:
        create(plane, hooked, backends=[HOSTED], router=router)
    answer = made(plane, hooked)
    assert answer.status_code == 422
    assert f"metadata.labels.modelroute.dev/sidecar: {says}" in answer.json()["message"]


def test_a_label_that_is_a_path_reaches_nothing(plane: Plane, hooked: str) -> None:
    answer = made(plane, hooked, **{"modelroute.dev/sidecar": "../secrets/openai"})
    assert answer.status_code == 422


def test_no_other_pod_is_looked_at(plane: Plane, hooked: str) -> None:
    plain = {"metadata": {"name": "plain", "labels": {"app": "shop"}}, "spec": SHOP}
    assert "initContainers" not in plane.admin.must("POST", POD.path(hooked), plain)["spec"]


def test_programmed_says_that_nobody_asks_for_it_yet(plane: Plane, hooked: str) -> None:
    create(plane, hooked, backends=[HOSTED], router=SIDECARS)
    said = becomes(plane, hooked, "Programmed", "True", "NoSidecars", seconds=60)
    assert said.startswith("no pod carries the label modelroute.dev/sidecar: chat yet")


def test_programmed_counts_the_routers_in_pods(plane: Plane, hooked: str, routers: Routers) -> None:
    create(plane, hooked, backends=[HOSTED], router=SIDECARS | {"sidecar": {"adminPort": 8001}})
    made(plane, hooked)
    said = becomes(plane, hooked, "Programmed", "False", "RoutersNotReady", seconds=60)
    assert said == "0 of 1 pods with a router in them are ready"
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    state = {"name": SIDECAR, "ready": True, "image": "r", "imageID": "r", "restartCount": 0}
    state |= {"state": {"running": {"startedAt": now}}}
    address = routers.answer("shop")
    at: dict[str, Any] = {"podIP": address, "podIPs": [{"ip": address}]}
    plane.admin.merge(POD, hooked, "shop", {"status": {"initContainerStatuses": [state]} | at}, "status")
    becomes(plane, hooked, "Programmed", "True", "RoutersUpToDate")


def test_a_new_configuration_is_told_to_the_kubelet_of_such_a_pod(plane: Plane, hooked: str) -> None:
    create(plane, hooked, backends=[HOSTED], router=SIDECARS)
    made(plane, hooked)
    becomes(plane, hooked, "Programmed", "False", "RoutersNotReady", seconds=60)
    plane.admin.replace(MODEL_ROUTE, hooked, "chat", "/spec/models", ["other"])

    def current() -> bool:
        written = plane.admin.get(CONFIG_MAP, hooked, "chat-router-snapshot")
        return "other" in written["data"]["snapshot.json"] and revisions_of(plane, hooked, "app=shop") == [
            written["metadata"]["annotations"]["modelroute.dev/revision"]
        ]

    until("the newest revision on the pod", current)


def test_a_change_of_mode_takes_away_what_is_no_longer_wanted(plane: Plane, hooked: str) -> None:
    create(plane, hooked, backends=BOTH, router={"mode": "Gateway"})
    until("the gateway", lambda: "Deployment/chat-router" in names(plane, hooked), seconds=60)
    plane.admin.replace(MODEL_ROUTE, hooked, "chat", "/spec/router", {"mode": "None"})
    settle(plane, hooked, SNAPSHOT | SMALL)
    plane.admin.replace(MODEL_ROUTE, hooked, "chat", "/spec/backends", [VLLM])
    becomes(plane, hooked, "Programmed", "True", "SnapshotWritten")
