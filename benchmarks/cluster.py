"""Finds the demo's cluster for the benchmarks that need one, and runs kubectl against it.

Called by ``apply`` and ``steady``. Never makes a cluster: ``./dev demo`` does.
"""

import os
import shutil
import subprocess
from pathlib import Path

CLUSTER_DIR = Path(os.environ.get("CLUSTER_DIR", Path.home() / ".cache/modelroute-cluster"))
NAMESPACE, ROUTE = "demo", "chat"
OPERATOR_NAMESPACE = "modelroute-system"
ROUTER = ("127.0.0.1", 30080)


class NoDemoError(Exception):
    """The demo does not run here; the message says what to do."""


def kubeconfig() -> Path | None:
    """Where the demo's cluster is described: KUBECONFIG, else kind's file, else the compiled cluster's."""
    named = os.environ.get("KUBECONFIG")
    known = [Path(named)] if named else [CLUSTER_DIR / "kind.kubeconfig", CLUSTER_DIR / "kubeconfig"]
    return next((path for path in known if path.exists()), None)


def audit_log() -> Path | None:
    """The audit log of the cluster that is asked; only the compiled one keeps it where we can read it."""
    path = CLUSTER_DIR / "logs/audit.log"
    return path if kubeconfig() == CLUSTER_DIR / "kubeconfig" and path.exists() else None


def kubectl() -> list[str]:
    """The command that talks to the demo's cluster."""
    config = kubeconfig()
    program = shutil.which("kubectl", path=f"{CLUSTER_DIR / 'bin'}:{os.environ['PATH']}")
    if config is None or program is None:
        raise NoDemoError("there is no cluster of the demo here; run `./dev demo` first")
    return [program, "--kubeconfig", str(config)]


def asked(*arguments: str) -> str:
    """What kubectl prints. NoDemoError with its last words when it fails."""
    done = subprocess.run(
        [*kubectl(), "--request-timeout=10s", *arguments], check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise NoDemoError(
            f"{done.stderr.strip()[-500:].removeprefix('error: ')}\nthe demo does not run here; run `./dev demo` first"
        )
    return done.stdout


def require_ready_route() -> None:
    """NoDemoError unless the demo's ModelRoute is Ready."""
    ready = '{.status.conditions[?(@.type=="Ready")].status}'
    if asked("-n", NAMESPACE, "get", "mroute", ROUTE, "-o", f"jsonpath={ready}") != "True":
        raise NoDemoError(f"ModelRoute {NAMESPACE}/{ROUTE} is not Ready; run `./dev demo` again, it waits for it")
