"""The demo's cluster, once for all e2e tests: `./dev demo` is the installation that a user makes."""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from tests.fakes.load import Load

ROOT = Path(__file__).resolve().parents[2]
URL = "http://127.0.0.1:30080"
CLUSTER_DIR = Path(os.environ.get("CLUSTER_DIR", Path.home() / ".cache/modelroute-cluster"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test of a file may build images, the real vLLM's among them: minutes, where nothing is cached."""
    for item in items:
        if item.path.parent.name == "e2e":
            item.add_marker(pytest.mark.timeout(1800))


class Cluster:
    """kubectl against the demo's cluster, and waiting."""

    def __init__(self, demo_output: str) -> None:
        self.demo_output = demo_output
        told = re.search(r"export KUBECONFIG=(\S+) .*use-context (\S+)", demo_output)
        assert told, demo_output
        self.kubeconfig, context = told.groups()
        self.command = ["kubectl", "--context", context]

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """All that it says, warnings too."""
        done = self._kubectl(*arguments, stdin=stdin, check=check)
        return done.stdout + done.stderr

    def _kubectl(self, *arguments: str, stdin: str | None, check: bool) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {
            "KUBECONFIG": self.kubeconfig,
            "PATH": f"{CLUSTER_DIR / 'bin'}:{os.environ['PATH']}",
        }
        done = subprocess.run(
            [*self.command, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            env=environment,
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    def get(self, *arguments: str) -> Any:
        return json.loads(self._kubectl("get", *arguments, "-o", "json", stdin=None, check=True).stdout)

    def patch(self, spec: dict[str, Any], name: str = "chat") -> None:
        self.kubectl("-n", "demo", "patch", "mroute", name, "--type=merge", "-p", json.dumps({"spec": spec}))

    def until(self, what: str, seconds: float, holds: Callable[[], Any]) -> Any:
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            if found := holds():
                return found
            time.sleep(0.2)
        state = self.kubectl("-n", "demo", "describe", "mroute,pods", check=False)
        pytest.fail(f"not within {seconds} s: {what}\n{state[-6000:]}")

    def backends(self, name: str = "chat") -> dict[str, dict[str, Any]]:
        """The status of each backend, by name."""
        return {b["name"]: b for b in self.get("-n", "demo", "mroute", name).get("status", {}).get("backends", ())}

    def condition(self, kind: str, name: str = "chat", namespace: str = "demo") -> dict[str, Any]:
        found = self.get("-n", namespace, "mroute", name).get("status", {}).get("conditions", ())
        return next((c for c in found if c["type"] == kind), {"status": "Unknown", "reason": "", "message": ""})


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The cluster after `./dev demo`; a demo that fails is the failure of every test here, never a skip."""
    done = subprocess.run([ROOT / "dev", "demo"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return Cluster(done.stdout)


@pytest.fixture
def quickstart(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with the quickstart as its file has it, Ready, before and after the test."""

    def restore() -> None:
        cluster.kubectl("apply", "-f", str(ROOT / "examples/quickstart.yaml"))
        cluster.until("the quickstart is Ready", 120, lambda: ready(cluster))

    restore()
    yield cluster
    restore()


def ready(cluster: Cluster) -> bool:
    route = cluster.get("-n", "demo", "mroute", "chat")
    seen = route.get("status", {}).get("observedGeneration") == route["metadata"]["generation"]
    return bool(seen and cluster.condition("Ready")["status"] == "True")


@pytest.fixture
def client(cluster: Cluster) -> OpenAI:
    return OpenAI(base_url=f"{URL}/v1", api_key="not-needed", max_retries=0, timeout=60)


@pytest.fixture
def load(cluster: Cluster) -> Iterator[Load]:
    """Steady requests, plain and streamed, until the test has seen enough."""
    running = Load(f"{URL}/v1/chat/completions", workers=4)
    with running:
        yield running
