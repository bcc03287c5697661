"""The cluster stands against the operator for a while, and what comes of it is what would have come without that.

Each test spoils a first reconcile or a change in one namespace and not in another, ends the spoiling, and compares.
"""

import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any, Self

import pytest

from modelroute.controller.kube.kinds import DEPLOYMENT, MODEL_ROUTE, SERVICE, Kind
from tests.controlplane.denying import denied, lifted
from tests.controlplane.endstate import states_when_alike
from tests.controlplane.plane import Operator, Plane, until
from tests.controlplane.routes import KEYED, ROUTER, SMALL, becomes, create, names, put_secret, settle
from tests.fakes.manifests import HOSTED, VLLM

FIRST: dict[str, Any] = {"backends": [VLLM, HOSTED]}
CHANGED: dict[str, Any] = {"backends": [VLLM | {"weight": 3}, KEYED], "router": {"replicas": 3}}


def ends_alike(plane: Plane, spoilt: str, spec: dict[str, Any]) -> None:
    """Whether ``spoilt`` comes to what a namespace comes to that nobody spoils; what differs is shown."""
    straight = plane.namespace()
    put_secret(plane, straight, token="sk-1")
    create(plane, straight, **spec)
    for namespace in (straight, spoilt):
        settle(plane, namespace, ROUTER | SMALL)
    mine, theirs = states_when_alike(plane, (spoilt, straight))
    assert mine == theirs


@pytest.fixture
def keyed(namespace: str, plane: Plane) -> str:
    """A namespace with the Secret of ``KEYED``."""
    put_secret(plane, namespace, token="sk-1")
    return namespace


def test_a_quota_that_refuses_children_is_named_and_then_over(plane: Plane, operator: Operator, keyed: str) -> None:
    quota = {"metadata": {"name": "full"}, "spec": {"hard": {"count/deployments.apps": "1", "services": "1"}}}
    path = f"/api/v1/namespaces/{keyed}/resourcequotas"
    plane.admin.must("POST", path, quota)
    until("it is in force", lambda: "hard" in plane.admin.must("GET", f"{path}/full")["status"])
    create(plane, keyed, **FIRST)
    message = becomes(plane, keyed, "Programmed", "False", "Forbidden")
    assert "exceeded quota: full" in message
    assert {n for n in names(plane, keyed) if n.startswith(("ConfigMap", "ServiceAccount"))}, "the rest goes on"
    plane.admin.must("DELETE", f"{path}/full")
    ends_alike(plane, keyed, FIRST)


@pytest.fixture
def policy(plane: Plane, keyed: str) -> Iterator[str]:
    """A policy of the cluster's that refuses the replicas' Deployment in the namespace."""
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["*"]}
    validation = {"expression": "!object.metadata.name.endsWith('--small')", "message": "not on a Friday"}
    given: dict[str, Any] = {"metadata": {"name": "x--small"}, "spec": {"selector": {"matchLabels": {"a": "b"}}}}
    given["spec"]["template"] = {
        "metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": "a", "image": "a"}]},
    }
    refused = lambda: "not on a Friday" in plane.admin.ask("POST", DEPLOYMENT.path(keyed), given, dryRun="All").text  # noqa: E731
    with denied(plane, keyed, rule, validation) as name:
        until("it is in force", refused)
        yield name


def test_an_admission_policy_that_refuses_a_child_is_named_and_then_over(
    plane: Plane, operator: Operator, keyed: str, policy: str
) -> None:
    create(plane, keyed, **FIRST)
    assert "not on a Friday" in becomes(plane, keyed, "Programmed", "False", "ApplyFailed")
    assert names(plane, keyed) == ROUTER | (SMALL - {"Deployment/chat--small"})
    lifted(plane, policy)
    ends_alike(plane, keyed, FIRST)


class Rival:
    """Another field manager, which takes fields of ours by force again and again."""

    def __init__(self, plane: Plane, namespace: str) -> None:
        self.wrote = 0
        self._plane, self._namespace = plane, namespace
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        admin = self._plane.admin
        template = {"spec": {"containers": [{"name": "router", "image": "other/router:1"}]}}
        changes: dict[Kind, dict[str, Any]] = {
            DEPLOYMENT: {"spec": {"replicas": 7, "template": template}},
            SERVICE: {"spec": {"ports": [{"name": "http", "port": 8080, "targetPort": 1}]}},
        }
        while not self._end.wait(0.2):
            for kind, change in changes.items():
                body = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": {"name": "chat-router"}} | change
                path = kind.path(self._namespace, "chat-router")
                admin.ask("PATCH", path, body, "apply-patch+yaml", fieldManager="rival", force="true")
                self.wrote += 1


def test_a_rival_field_manager_wins_nothing_and_starts_no_flood(plane: Plane, operator: Operator, keyed: str) -> None:
    create(plane, keyed, **FIRST)
    settle(plane, keyed, ROUTER | SMALL)
    mark, began = plane.mark(), time.monotonic()
    with Rival(plane, keyed) as rival:
        until("it has gone on a while", lambda: rival.wrote >= 40)
        plane.admin.replace(MODEL_ROUTE, keyed, "chat", "/spec", CHANGED)
        until("it has gone on a while", lambda: rival.wrote >= 60)
    lasted = time.monotonic() - began
    written = plane.writes(mark, keyed)
    assert len(written) < max(2 * rival.wrote, 20 * lasted), "more than it answers the rival"
    put_back(plane, keyed)
    ends_alike(plane, keyed, CHANGED)


def put_back(plane: Plane, namespace: str) -> None:
    """Wait until nothing of the rival's values is left; what it owned beside ours goes with a word of its own.

    What is the rival's alone still, such as an image, cannot be taken away before it is ours again.
    """
    for kind in (DEPLOYMENT, SERVICE):
        until(f"it lets go of the {kind.name}", partial(lets_go, plane, namespace, kind))


def lets_go(plane: Plane, namespace: str, kind: Kind) -> bool:
    body = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": {"name": "chat-router"}}
    path = kind.path(namespace, "chat-router")
    return plane.admin.ask("PATCH", path, body, "apply-patch+yaml", fieldManager="rival", force="true").is_success


def test_a_change_that_comes_while_etcd_stands_is_carried_out(plane: Plane, operator: Operator, keyed: str) -> None:
    create(plane, keyed, **FIRST)
    until("its first child", lambda: names(plane, keyed))
    plane.admin.replace(MODEL_ROUTE, keyed, "chat", "/spec", CHANGED)
    plane.pause_etcd()
    try:
        until("it does not lead any more", lambda: not operator.leads())
    finally:
        plane.resume_etcd()
    ends_alike(plane, keyed, CHANGED)


def test_a_secret_that_comes_late_is_taken_up(plane: Plane, operator: Operator, namespace: str) -> None:
    create(plane, namespace, **CHANGED)
    becomes(plane, namespace, "ResolvedRefs", "False", "SecretNotFound")
    put_secret(plane, namespace, token="sk-1")
    ends_alike(plane, namespace, CHANGED)
