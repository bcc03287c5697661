"""The operator lives through what happens to the API server: a crash, overload, and the loss of the definition."""

import itertools
import sys
import time
from collections.abc import Iterator

import pytest

from modelroute.controller.kube.kinds import MODEL_ROUTE
from tests.controlplane.between import Answer, Between
from tests.controlplane.plane import Operator, Plane, until
from tests.controlplane.routes import ROUTER, SMALL, create, settle
from tests.fakes.manifests import HOSTED


def test_o03_it_goes_on_when_the_api_server_is_back(plane: Plane, operator: Operator, namespace: str) -> None:
    create(plane, namespace)
    settle(plane, namespace, ROUTER | SMALL)
    plane.crash_api_server()
    plane.admin.replace(MODEL_ROUTE, namespace, "chat", "/spec/backends", [HOSTED])
    settle(plane, namespace, ROUTER)
    assert operator.running()


@pytest.fixture
def proxy(plane: Plane) -> Iterator[Between]:
    made = Between(plane)
    yield made
    made.stop()


@pytest.mark.parametrize(
    "answers", [[Answer(429, {"Retry-After": "2"})], [Answer(500), Answer(504)]], ids=["429", "500-504"]
)
def test_o04_an_api_server_that_refuses_all_is_asked_less_than_five_times_a_second(
    plane: Plane, stopped: Operator, proxy: Between, namespace: str, answers: list[Answer]
) -> None:
    """By one replica, with its watches as in real use; its lease is a short one, and so asked for twice as often."""
    behind, turns = Operator(proxy.kubeconfig(plane.operator_kubeconfig), *stopped.arguments), itertools.cycle(answers)
    try:
        until("it leads", behind.leads, 60)
        create(plane, namespace)
        settle(plane, namespace, ROUTER | SMALL)
        proxy.fate = lambda _: next(turns)
        proxy.reset()  # each watch has to be begun anew
        time.sleep(5)
        began = time.monotonic()
        time.sleep(20)
        asked, seconds = proxy.since(began), time.monotonic() - began
        proxy.fate = lambda _: None
        until("it leads again", behind.leads, 60)
        plane.admin.replace(MODEL_ROUTE, namespace, "chat", "/spec/backends", [HOSTED])
        settle(plane, namespace, ROUTER)
    finally:
        behind.end()
        sys.stdout.write(behind.log()[-6000:])
    assert asked, "else nothing was refused"
    assert len(asked) / seconds < 5


def test_o15_it_waits_for_a_definition_that_is_gone(plane: Plane, operator: Operator, namespace: str) -> None:
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


def test_o15_it_waits_for_a_definition_that_is_missing_at_its_start(plane: Plane, stopped: Operator) -> None:
    plane.remove_definition()
    seen = stopped.log().count("is not installed")
    try:
        stopped.start()
        until("it says that it waits", lambda: stopped.log().count("is not installed") > seen + 1, seconds=30)
        assert stopped.running()
        assert stopped.health()[0] == 200
        assert not stopped.ready()
    finally:
        plane.install_definition()
    until("it leads", stopped.leads, 60)
    other = plane.namespace()
    create(plane, other)
    settle(plane, other, ROUTER | SMALL)


def test_o30_it_catches_up_when_etcd_is_back(plane: Plane, operator: Operator, namespace: str) -> None:
    create(plane, namespace)
    settle(plane, namespace, ROUTER | SMALL)
    plane.pause_etcd()
    try:
        until("it does not lead any more", lambda: not operator.leads())
        assert operator.health()[0] == 200
    finally:
        plane.resume_etcd()
    plane.admin.replace(MODEL_ROUTE, namespace, "chat", "/spec/backends", [HOSTED])
    settle(plane, namespace, ROUTER)
    assert operator.running()
