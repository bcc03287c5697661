"""O18: nobody answers the API server. Our kind is refused, and nothing else is held up."""

import signal
import time
from collections.abc import Iterator

import httpx
import pytest

from modelroute.controller.kube.kinds import CONFIG_MAP, MODEL_ROUTE
from tests.controlplane import hooks
from tests.controlplane.plane import HOME, Operator, Plane, until
from tests.controlplane.routes import apply, becomes, create, route
from tests.fakes.manifests import HOSTED

APP = {"metadata": {"name": "app"}, "spec": {"containers": [{"name": "app", "image": "app:1"}]}}


@pytest.fixture(scope="module")
def down(plane: Plane, running: Operator) -> Iterator[list[str]]:
    """Nobody answers, and it is asked about everywhere, as by the chart. Namespaces with a route from before."""
    until("the operator works", running.ready, seconds=60)
    namespaces = [plane.namespace() for _ in range(4)]
    for namespace in namespaces:
        create(plane, namespace, backends=[HOSTED], router={"mode": "None"})
    for namespace in namespaces:
        becomes(plane, namespace, "Accepted", "True", seconds=60)
    hooks.install(plane, f"https://localhost:{running.webhook_port}", everywhere=True)
    until("the API server trusts the operator", lambda: hooks.told(plane), seconds=30)
    running.end(signal.SIGKILL)
    try:
        until("nobody answers", lambda: not change(plane, namespaces[0]).is_success)
        yield namespaces
    finally:
        hooks.remove(plane)
        running.start()


def change(plane: Plane, namespace: str) -> httpx.Response:
    """A new spec each time."""
    return apply(plane.admin, namespace, backends=[HOSTED], models=[f"m{time.monotonic_ns()}"])


def test_o18_our_kind_is_refused_and_it_is_said_why(plane: Plane, down: list[str]) -> None:
    answer = change(plane, down[0])
    assert answer.status_code == 500
    assert 'failed calling webhook "modelroutes.modelroute.dev"' in answer.json()["message"]


def test_o18_other_kinds_are_unharmed(plane: Plane, down: list[str]) -> None:
    plane.admin.create(CONFIG_MAP, down[0], {"metadata": {"name": "other"}})
    plane.admin.must("POST", f"/api/v1/namespaces/{down[0]}/pods", APP)


def test_o18_the_status_can_be_written(plane: Plane, down: list[str]) -> None:
    path = MODEL_ROUTE.path(down[0], "chat", "status")
    plane.admin.must("PATCH", path, {"status": {"canary": "written"}}, "merge-patch+json")
    assert route(plane, down[0])["status"]["canary"] == "written"


def test_o18_labels_and_finalizers_can_be_changed(plane: Plane, down: list[str]) -> None:
    meta = {"labels": {"a": "b"}, "finalizers": ["example.com/wait"]}
    plane.admin.merge(MODEL_ROUTE, down[0], "chat", {"metadata": meta})
    plane.admin.merge(MODEL_ROUTE, down[0], "chat", {"metadata": {"finalizers": None}})


@pytest.mark.parametrize(("which", "policy"), [(1, "Background"), (2, "Foreground")])
def test_o18_a_route_can_be_deleted(plane: Plane, down: list[str], which: int, policy: str) -> None:
    plane.admin.delete(MODEL_ROUTE, down[which], "chat", policy)
    until("it is gone", lambda: route(plane, down[which]) is None, seconds=60)


def test_o14_o18_a_namespace_can_be_deleted(plane: Plane, down: list[str]) -> None:
    path = f"/api/v1/namespaces/{down[3]}"
    plane.admin.must("DELETE", path)
    until("it is gone", lambda: plane.admin.ask("GET", path).status_code == 404, seconds=60)


@pytest.mark.usefixtures("down")
def test_o18_the_operators_own_namespace_is_not_asked_about(plane: Plane) -> None:
    assert apply(plane.admin, HOME, backends=[HOSTED], router={"mode": "None"}).is_success
    plane.admin.delete(MODEL_ROUTE, HOME, "chat")


def test_o18_an_uninstall_ends_it(plane: Plane, down: list[str]) -> None:
    hooks.remove(plane)
    until("a change", lambda: change(plane, down[0]).is_success)
