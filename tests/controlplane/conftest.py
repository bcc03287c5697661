"""A real control plane without a node: pods stay Pending unless a test says otherwise."""

import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from modelroute.controller.kube.kinds import SCALED_OBJECT
from tests.controlplane import hooks
from tests.controlplane.clocked import ClockedOperator
from tests.controlplane.plane import BINARIES, DEFINITIONS, PROGRAMS, Operator, Plane, until
from tests.controlplane.routers import Routers


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    missing = [program for program in PROGRAMS if not (BINARIES / program).exists()]
    if missing:
        say = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        say(f"{BINARIES} lacks {', '.join(missing)}; cluster/build.sh control-plane builds them")
    made = Plane(tmp_path_factory.mktemp("plane"))
    yield made
    made.stop()


@pytest.fixture(scope="session")
def running(plane: Plane) -> Iterator[Operator]:
    found = Operator(plane.operator_kubeconfig, "--webhook-port={webhook-port}")
    until("the operator is ready", found.ready, seconds=120)  # the start of Python on a busy machine takes long
    yield found
    found.end()


@pytest.fixture
def operator(running: Operator) -> Iterator[Operator]:
    """The operator at work; what it logs during a test is shown when the test fails."""
    until("the operator leads", running.leads, 60)
    before = len(running.log())
    yield running
    sys.stdout.write(running.log()[before:][-6000:])


@pytest.fixture
def routers(plane: Plane, namespace: str) -> Iterator[Routers]:
    """Routers for the pods of the namespace; none runs before the test starts them."""
    made = Routers(plane, namespace)
    yield made
    made.close()


@pytest.fixture
def stopped(operator: Operator) -> Iterator[Operator]:
    """The operator, which does not run during the test unless the test starts it."""
    operator.end()
    yield operator
    if operator.running():
        operator.end()
    operator.start()


@pytest.fixture(scope="module")
def nobody(running: Operator) -> Iterator[None]:
    """No operator but those that the module's tests start."""
    running.end()
    yield
    running.start()


@pytest.fixture(scope="module")
def alone(plane: Plane, running: Operator) -> Iterator[ClockedOperator]:
    """The one operator there is meanwhile: two clocks would have two opinions."""
    running.end()
    found = ClockedOperator(plane.operator_kubeconfig)
    until("it to be ready", found.ready, 60)
    yield found
    found.end()
    running.start()
    until("the other to be ready", running.ready, 60)


@pytest.fixture
def clocked(alone: ClockedOperator) -> Iterator[ClockedOperator]:
    """It, by the true time at first; what it logs during a test is shown when the test fails."""
    before = len(alone.log())
    yield alone
    alone.set_by(0)
    sys.stdout.write(alone.log()[before:][-6000:])


@pytest.fixture(autouse=True)
def swept(plane: Plane) -> Iterator[None]:
    """No test leaves routes to those after it, whose pods would take what those wait for."""
    before = len(plane.namespaces)
    yield
    for name in plane.namespaces[before:]:
        plane.admin.ask("DELETE", f"/api/v1/namespaces/{name}")


@pytest.fixture
def namespace(plane: Plane) -> str:
    """One for a test alone."""
    return plane.namespace()


@pytest.fixture(scope="module")
def asking(plane: Plane, running: Operator) -> Iterator[None]:
    """The API server asks the operator about namespaces with a label."""
    hooks.install(plane, f"https://localhost:{running.webhook_port}", everywhere=False)
    until("the API server trusts the operator", lambda: hooks.told(plane), seconds=60)
    hooks.taken_up(plane, "default")
    yield
    hooks.remove(plane)


@pytest.fixture
def hooked(plane: Plane, asking: None, operator: Operator, namespace: str) -> str:
    """A namespace for a test alone, where the API server asks the operator."""
    hooks.mark(plane, namespace)
    hooks.heeded(plane, namespace)
    return namespace


def definition() -> dict[str, Any]:
    """KEDA's kind, as far as it matters here."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1alpha1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": "ScaledObject", "listKind": "ScaledObjectList", "plural": "scaledobjects"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "scaledobjects.keda.sh"},
        "spec": {"group": "keda.sh", "scope": "Namespaced", "names": names, "versions": [version]},
    }


@pytest.fixture
def keda(plane: Plane) -> Iterator[Any]:
    """Call it to install KEDA's kind."""
    path = f"{DEFINITIONS}/scaledobjects.keda.sh"

    def install() -> None:
        plane.admin.must("POST", DEFINITIONS, definition())
        until("the kind", lambda: plane.admin.ask("GET", SCALED_OBJECT.path("default")).is_success)

    yield install
    plane.admin.ask("DELETE", path)
    until("no kind", lambda: plane.admin.ask("GET", path).status_code == 404, seconds=60)
