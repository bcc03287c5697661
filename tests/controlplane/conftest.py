"""A real control plane without a node: pods stay Pending unless a test says otherwise."""

import os
import sys
from collections.abc import Iterator

import pytest

from tests.controlplane import hooks
from tests.controlplane.plane import BINARIES, PROGRAMS, Operator, Plane, until
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


@pytest.fixture
def namespace(plane: Plane) -> Iterator[str]:
    """One for a test alone."""
    name = plane.namespace()
    yield name
    plane.admin.ask("DELETE", f"/api/v1/namespaces/{name}")


@pytest.fixture(scope="module")
def asking(plane: Plane, running: Operator) -> Iterator[None]:
    """The API server asks the operator about namespaces with a label."""
    hooks.install(plane, f"https://localhost:{running.webhook_port}", everywhere=False)
    until("the API server trusts the operator", lambda: hooks.told(plane), seconds=60)
    yield
    hooks.remove(plane)


@pytest.fixture
def hooked(plane: Plane, asking: None, operator: Operator, namespace: str) -> str:
    """A namespace for a test alone, where the API server asks the operator."""
    hooks.mark(plane, namespace)
    return namespace
