"""The operator lives through what happens to the API server: a crash of it, and the loss of the definition."""

from modelroute.controller.kinds import MODEL_ROUTE
from tests.controlplane.plane import Operator, Plane, until
from tests.controlplane.routes import ROUTER, SMALL, create, settle
from tests.fakes.manifests import HOSTED


def test_it_goes_on_when_the_api_server_is_back(plane: Plane, operator: Operator, namespace: str) -> None:
    create(plane, namespace)
    settle(plane, namespace, ROUTER | SMALL)
    plane.crash_api_server()
    plane.admin.replace(MODEL_ROUTE, namespace, "chat", "/spec/backends", [HOSTED])
    settle(plane, namespace, ROUTER)
    assert operator.running()


def test_it_waits_for_a_definition_that_is_gone(plane: Plane, operator: Operator, namespace: str) -> None:
    create(plane, namespace)
    settle(plane, namespace, ROUTER | SMALL)
    seen = operator.log().count("is not installed")
    plane.remove_definition()
    until("it says that it waits", lambda: operator.log().count("is not installed") > seen, seconds=30)
    plane.install_definition()
    other = plane.namespace()
    create(plane, other)
    settle(plane, other, ROUTER | SMALL)
    assert operator.running()
