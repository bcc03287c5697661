"""The API server takes what people apply first: the examples, and the chart's objects."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.controlplane.plane import BINARIES, ROOT, Plane

EXAMPLES = sorted(p for p in (ROOT / "examples").glob("*.yaml") if p.stem != "standalone")


def applied(plane: Plane, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """What ``kubectl apply`` would be told; nothing is kept."""
    flags = [f"--kubeconfig={plane.directory / 'kubeconfig'}", "--dry-run=server", "--validate=strict"]
    command = [str(BINARIES / "kubectl"), "apply", "--server-side", "--force-conflicts", *flags, *arguments]
    return subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(scope="module", autouse=True)
def namespaces(plane: Plane) -> None:
    """In a dry run no namespace is made that a later object could be in."""
    for name in ("demo", "modelroute"):
        labels = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}
        plane.admin.must("POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_an_example_is_taken_without_a_warning(plane: Plane, path: Path) -> None:
    done = applied(plane, "--namespace=demo", "-f", str(path))
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr


def test_the_example_for_no_cluster_is_refused_by_one(plane: Plane) -> None:
    done = applied(plane, "-f", str(ROOT / "examples/standalone.yaml"))
    assert done.returncode == 1
    assert "spec.backends[0].external.baseURL" in done.stderr
    assert "a backend may not be this machine" in done.stderr


def test_the_chart_is_taken_without_a_warning(plane: Plane) -> None:
    environment = os.environ | {"PATH": f"{os.environ['PATH']}:{BINARIES}"}
    command = ["helm", "template", "modelroute", str(ROOT / "charts/modelroute"), "--namespace=modelroute"]
    chart = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    done = applied(plane, "-f", "-", given=chart)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    assert "deployment.apps/modelroute-operator" in done.stdout
