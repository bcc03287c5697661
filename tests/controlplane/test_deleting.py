"""A route that is deleted takes all along, whoever is there to see it; a namespace that ends is left in peace."""

import time
from collections.abc import Iterator

import pytest

from modelroute.controller.kube.kinds import MODEL_ROUTE, POD, SERVICE
from tests.controlplane.denying import denied, lifted
from tests.controlplane.plane import Operator, Plane, until
from tests.controlplane.routes import ROUTER, SMALL, create, names, route, settle


def test_o13_what_is_deleted_while_no_operator_runs_takes_everything_along(
    plane: Plane, stopped: Operator, namespace: str
) -> None:
    stopped.start()
    create(plane, namespace)
    settle_after_start(plane, stopped, namespace)
    until("pods", lambda: plane.admin.all(POD, namespace))
    stopped.end()
    plane.admin.delete(MODEL_ROUTE, namespace, "chat")
    until("the route is gone", lambda: route(plane, namespace) is None)
    until("no children", lambda: names(plane, namespace) == set(), seconds=60)
    until("no pods", lambda: plane.admin.all(POD, namespace) == [], seconds=60)


def settle_after_start(plane: Plane, operator: Operator, namespace: str) -> None:
    until("it leads", operator.leads, 60)
    settle(plane, namespace, ROUTER | SMALL)


@pytest.mark.parametrize("children", [0, 1, 3, 6])
def test_o13_a_route_that_goes_while_it_is_carried_out_leaves_nothing(
    plane: Plane, operator: Operator, namespace: str, children: int
) -> None:
    create(plane, namespace)
    until(f"{children} children", lambda: len(names(plane, namespace)) >= children)
    plane.admin.delete(MODEL_ROUTE, namespace, "chat")
    other = plane.namespace()
    create(plane, other)
    settle(plane, other, ROUTER | SMALL)  # by then the first one's reconcile is over
    until("no children", lambda: names(plane, namespace) == set(), seconds=60)
    until("no pods", lambda: plane.admin.all(POD, namespace) == [], seconds=60)


@pytest.fixture
def held(plane: Plane, namespace: str) -> Iterator[str]:
    """A policy of the cluster's by which no ModelRoute of the namespace can be deleted; its name."""
    rule = {"apiGroups": [MODEL_ROUTE.group], "apiVersions": ["*"], "operations": ["DELETE"], "resources": ["*"]}
    with denied(plane, namespace, rule, {"expression": "false"}) as name:
        yield name


def test_o14_a_namespace_that_is_being_deleted_is_left_in_peace_and_goes(
    plane: Plane, operator: Operator, namespace: str, held: str
) -> None:
    """Its children go first while the route stays, held by a policy; a ConfigMap has a finalizer of someone else's."""
    create(plane, namespace)
    settle(plane, namespace, ROUTER | SMALL)
    path = f"/api/v1/namespaces/{namespace}"
    waits = {"name": "waits", "finalizers": ["example.com/wait"]}
    plane.admin.must("POST", f"{path}/configmaps", {"metadata": waits})
    refused = lambda: not plane.admin.ask("DELETE", MODEL_ROUTE.path(namespace, "chat"), dryRun="All").is_success  # noqa: E731
    until("the policy is in force", refused)
    said, failed = operator.log().count("the namespace is being deleted"), operator.failures(namespace)
    plane.admin.must("DELETE", path)
    until("it is said", lambda: operator.log().count("the namespace is being deleted") > said, seconds=60)
    until("no Service", lambda: plane.admin.all(SERVICE, namespace) == [], seconds=60)
    mark, began = plane.mark(), time.monotonic()
    time.sleep(5)
    asked = [ask for ask in plane.asked(mark) if ask.get("namespace") == namespace]
    assert len(asked) / (time.monotonic() - began) < 5
    assert operator.failures(namespace) == failed
    lifted(plane, held)
    change = {"metadata": {"finalizers": None}}
    plane.admin.must("PATCH", f"{path}/configmaps/waits", change, "merge-patch+json")
    until("the namespace is gone", lambda: plane.admin.ask("GET", path).status_code == 404, seconds=120)


def test_a_service_that_is_held_while_it_is_wanted_again_holds_up_nothing_else(
    plane: Plane, operator: Operator, namespace: str
) -> None:
    create(plane, namespace)
    settle(plane, namespace, ROUTER | SMALL)
    plane.admin.merge(SERVICE, namespace, "chat-router", {"metadata": {"finalizers": ["example.com/wait"]}})
    for mode, wanted in (("None", SMALL | {"ConfigMap/chat-router-snapshot"}), ("Gateway", ROUTER | SMALL)):
        plane.admin.merge(MODEL_ROUTE, namespace, "chat", {"spec": {"router": {"mode": mode}}})
        settle(plane, namespace, wanted | {"Service/chat-router"})
    ends = plane.admin.get(SERVICE, namespace, "chat-router")
    assert ends["metadata"]["deletionTimestamp"]
    plane.admin.merge(SERVICE, namespace, "chat-router", {"metadata": {"finalizers": None}})

    def uid() -> str:
        found: str = (plane.admin.get(SERVICE, namespace, "chat-router") or ends)["metadata"]["uid"]
        return found

    until("another", lambda: uid() != ends["metadata"]["uid"])
