"""Children are made, put back when they are changed by hand, and taken away when they are no longer asked for."""

from typing import Any

import pytest

from modelroute.controller.kube.kinds import (
    CHILDREN,
    CLAIM,
    CONFIG_MAP,
    DEPLOYMENT,
    DISRUPTION_BUDGET,
    MODEL_ROUTE,
    SERVICE,
    SERVICE_ACCOUNT,
    Kind,
)
from tests.controlplane.plane import Operator, Plane, until
from tests.controlplane.routes import (
    CACHE,
    CACHED,
    ROUTER,
    SMALL,
    condition,
    create,
    deployment,
    names,
    put_service,
    route,
    settle,
    touch,
)
from tests.fakes.manifests import BOTH, HOSTED, VLLM


def image(plane: Plane, namespace: str) -> Any:
    return deployment(plane, namespace, "chat--small")["spec"]["template"]["spec"]["containers"][0]["image"]


def set_image(plane: Plane, namespace: str, value: str) -> None:
    path = "/spec/template/spec/containers/0/image"
    plane.admin.replace(DEPLOYMENT, namespace, "chat--small", path, value)


def test_sec_every_child_is_controlled_by_its_route(plane: Plane, operator: Operator, namespace: str) -> None:
    made = create(plane, namespace)
    settle(plane, namespace, ROUTER | SMALL)
    for place in ROUTER | SMALL:
        kind, name = place.split("/")
        child = plane.admin.get(CHILDREN[kind], namespace, name)["metadata"]
        [owner] = child["ownerReferences"]
        assert (owner["uid"], owner["controller"]) == (made["metadata"]["uid"], True), place
        assert child["namespace"] == made["metadata"]["namespace"], place


def test_nothing_is_put_on_the_route_itself(plane: Plane, operator: Operator, namespace: str) -> None:
    made = create(plane, namespace)
    settle(plane, namespace, ROUTER | SMALL)
    meta = route(plane, namespace)["metadata"]
    assert (meta.get("annotations"), meta.get("finalizers")) == (made["metadata"].get("annotations"), None)


def test_a_change_of_the_spec_reaches_the_child(plane: Plane, operator: Operator, namespace: str) -> None:
    create(plane, namespace)
    settle(plane, namespace, ROUTER | SMALL)
    plane.admin.replace(MODEL_ROUTE, namespace, "chat", "/spec/backends/0/vllm/image", "vllm:next")
    until("the new image", lambda: image(plane, namespace) == "vllm:next")


def test_a_router_that_begins_to_speak_tls_rests_again(plane: Plane, operator: Operator, namespace: str) -> None:
    create(plane, namespace)
    settle(plane, namespace, ROUTER | SMALL)
    plane.admin.merge(MODEL_ROUTE, namespace, "chat", {"spec": {"router": {"tls": {"secretRef": {"name": "cert"}}}}})
    settle(plane, namespace, ROUTER | SMALL)
    [port] = plane.admin.get(SERVICE, namespace, "chat-router")["spec"]["ports"]
    assert (port["name"], port["port"]) == ("https", 443)
    before = applied(operator, namespace)
    assert before
    touch(plane, operator, namespace)
    assert applied(operator, namespace) == before


def applied(operator: Operator, namespace: str) -> list[str]:
    """What the operator logged of its changes in ``namespace``."""
    return [line for line in operator.log().splitlines() if namespace in line and "applied " in line]


def test_o11_an_edit_by_hand_is_put_back(plane: Plane, operator: Operator, namespace: str) -> None:
    create(plane, namespace)
    settle(plane, namespace, ROUTER | SMALL)
    asked = image(plane, namespace)
    set_image(plane, namespace, "vllm:mine")
    until("the image that was asked for", lambda: image(plane, namespace) == asked)


PROBE = "/spec/template/spec/containers/0/livenessProbe"


@pytest.mark.parametrize(
    ("kind", "name", "changes"),
    [
        (SERVICE, "chat-router", {"/spec/ports/0/port": 81}),
        (SERVICE, "chat--small", {"/spec/ports": [{"name": "http", "port": 9}, {"name": "mine", "port": 8000}]}),
        (DISRUPTION_BUDGET, "chat-router", {"/spec/maxUnavailable": None, "/spec/minAvailable": 1}),
        (DEPLOYMENT, "chat-router", {PROBE: {"tcpSocket": {"port": 1}}}),
        (CONFIG_MAP, "chat-router-snapshot", {"/data": {"snapshot.json": "{}"}}),
        (SERVICE_ACCOUNT, "chat-router", {"/automountServiceAccountToken": True}),
    ],
    ids=["port", "ports", "budget", "probe", "data", "token"],
)
def test_o11_an_edit_that_contradicts_what_is_asked_for_is_put_back(
    plane: Plane, operator: Operator, namespace: str, kind: Kind, name: str, changes: dict[str, Any]
) -> None:
    create(plane, namespace)
    settle(plane, namespace, ROUTER | SMALL)
    before = content(plane.admin.get(kind, namespace, name))
    operations = [{"op": "add", "path": path, "value": value} for path, value in changes.items()]
    plane.admin.must("PATCH", kind.path(namespace, name), operations, "json-patch+json")
    until("what was there", lambda: content(plane.admin.get(kind, namespace, name)) == before)


def content(live: dict[str, Any]) -> dict[str, Any]:
    return {field: live.get(field) for field in ("spec", "data", "automountServiceAccountToken")}


def test_o11_the_replicas_that_are_kept_cannot_be_scaled_away(plane: Plane, operator: Operator, namespace: str) -> None:
    create(plane, namespace, backends=[VLLM | {"scaling": {"minReplicas": 2}}])
    settle(plane, namespace, ROUTER | SMALL)
    plane.admin.merge(DEPLOYMENT, namespace, "chat--small", {"spec": {"replicas": 0}}, "scale")
    until("2 replicas", lambda: deployment(plane, namespace, "chat--small")["spec"]["replicas"] == 2)


def test_o11_what_others_add_stays(plane: Plane, operator: Operator, namespace: str) -> None:
    create(plane, namespace)
    settle(plane, namespace, ROUTER | SMALL)
    plane.admin.merge(DEPLOYMENT, namespace, "chat--small", {"metadata": {"annotations": {"team": "a"}}})
    set_image(plane, namespace, "vllm:mine")
    until("the image that was asked for", lambda: image(plane, namespace) != "vllm:mine")
    assert deployment(plane, namespace, "chat--small")["metadata"]["annotations"]["team"] == "a"


@pytest.mark.parametrize("place", sorted(ROUTER | SMALL))
def test_o12_a_deleted_child_is_made_again_within_five_seconds(
    plane: Plane, operator: Operator, namespace: str, place: str
) -> None:
    create(plane, namespace)
    settle(plane, namespace, ROUTER | SMALL)
    kind, name = place.split("/")
    lost = plane.admin.get(CHILDREN[kind], namespace, name)["metadata"]["uid"]
    plane.admin.delete(CHILDREN[kind], namespace, name)
    until("another one", lambda: (plane.admin.get(CHILDREN[kind], namespace, name) or lost) != lost, seconds=5)


def test_a_child_that_lost_its_labels_is_known_by_its_owner(plane: Plane, operator: Operator, namespace: str) -> None:
    create(plane, namespace)
    settle(plane, namespace, ROUTER | SMALL)
    before = deployment(plane, namespace, "chat--small")["metadata"]
    plane.admin.merge(DEPLOYMENT, namespace, "chat--small", {"metadata": {"labels": None}})
    settle(plane, namespace, ROUTER | SMALL)
    assert deployment(plane, namespace, "chat--small")["metadata"]["uid"] == before["uid"]


def test_a_removed_backend_takes_its_children_along(plane: Plane, operator: Operator, namespace: str) -> None:
    create(plane, namespace, backends=[CACHED, HOSTED])
    settle(plane, namespace, ROUTER | SMALL | {CACHE})
    plane.admin.replace(MODEL_ROUTE, namespace, "chat", "/spec/backends", [HOSTED])
    settle(plane, namespace, ROUTER)


def test_o13_a_deleted_route_takes_everything_along(plane: Plane, operator: Operator, namespace: str) -> None:
    create(plane, namespace)
    settle(plane, namespace, ROUTER | SMALL)
    plane.admin.delete(MODEL_ROUTE, namespace, "chat")
    until("no children", lambda: names(plane, namespace) == set(), seconds=60)


def test_children_that_were_left_behind_are_taken_in_again(plane: Plane, operator: Operator, namespace: str) -> None:
    create(plane, namespace)
    settle(plane, namespace, ROUTER | SMALL)
    before = deployment(plane, namespace, "chat--small")["metadata"]["uid"]
    plane.admin.delete(MODEL_ROUTE, namespace, "chat", policy="Orphan")
    until("the route is gone", lambda: route(plane, namespace) is None, seconds=60)
    again = create(plane, namespace)["metadata"]["uid"]

    def owners() -> list[str]:
        return [o["uid"] for o in deployment(plane, namespace, "chat--small")["metadata"].get("ownerReferences", ())]

    until("the new owner", lambda: owners() == [again])
    assert deployment(plane, namespace, "chat--small")["metadata"]["uid"] == before


def test_what_has_a_childs_name_but_another_owner_is_left_alone(
    plane: Plane, operator: Operator, namespace: str
) -> None:
    theirs = put_service(plane, namespace, "chat--small")
    create(plane, namespace)
    until(
        "Programmed tells of it", lambda: "Service/chat--small" in condition(plane, namespace, "Programmed")["message"]
    )
    assert plane.admin.get(SERVICE, namespace, "chat--small")["metadata"]["uid"] == theirs["metadata"]["uid"]
    assert "ownerReferences" not in plane.admin.get(SERVICE, namespace, "chat--small")["metadata"]


def test_a_name_is_taken_once_it_is_free(plane: Plane, operator: Operator, namespace: str) -> None:
    plane.admin.create(CONFIG_MAP, namespace, {"metadata": {"name": "chat-router-snapshot"}})
    create(plane, namespace)
    settle(plane, namespace, (ROUTER | SMALL) - {"ConfigMap/chat-router-snapshot"})
    assert "data" not in plane.admin.get(CONFIG_MAP, namespace, "chat-router-snapshot")
    plane.admin.delete(CONFIG_MAP, namespace, "chat-router-snapshot")
    touch(plane, operator, namespace)
    settle(plane, namespace, ROUTER | SMALL)


def test_a_claim_of_a_users_own_is_never_touched(plane: Plane, operator: Operator, namespace: str) -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    before = plane.admin.create(CLAIM, namespace, {"metadata": {"name": "models"}, "spec": spec})
    create(plane, namespace, backends=[VLLM | {"vllm": {"model": "m", "modelCache": {"claimName": "models"}}}, BOTH[1]])
    settle(plane, namespace, ROUTER | SMALL)
    plane.admin.replace(MODEL_ROUTE, namespace, "chat", "/spec/backends", [HOSTED])
    settle(plane, namespace, ROUTER)
    assert plane.admin.get(CLAIM, namespace, "models")["metadata"]["uid"] == before["metadata"]["uid"]
