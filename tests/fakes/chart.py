"""The chart as helm renders it, for the tests that look at it. Helm is needed: without it they fail."""

import functools
import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts/modelroute"
BIN = Path(os.environ.get("CLUSTER_DIR", Path.home() / ".cache/modelroute-cluster")) / "bin"
ENVIRONMENT = os.environ | {"PATH": f"{os.environ['PATH']}:{BIN}"}

POLICED = ("default", "namespaced", "full")
"""Those of ``VALUES`` with NetworkPolicies, two replicas and the right to read Secrets."""
VALUES = {
    "default": [],
    "namespaced": [
        "--set=watchNamespaces={team-a,team-b}",
        "--set=image.pullSecrets[0].name=registry",
        "--set=priorityClassName=system-cluster-critical",
        "--set=image.router.tag=2.0.0",
    ],
    "bare": [
        "--set=webhooks.enabled=false",
        "--set=networkPolicies.enabled=false",
        "--set=readSecrets=false",
        "--set=replicas=1",
    ],
    "full": [
        "--set=serviceMonitor.enabled=true",
        "--set=serviceMonitor.labels.release=prometheus",
        "--set=prometheusUrl=http://prometheus.monitoring.svc:9090",
        "--set=nodeSelector.pool=system",
        "--set=tolerations[0].key=system",
        "--set=podAnnotations.team=platform",
        "--set=networkPolicies.extraEgress[0].ports[0].port=9000",
    ],
}


def helm(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = ["helm", *map(str, arguments)]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=60)


@functools.cache
def rendered(*arguments: str) -> str:
    done = helm("template", "modelroute", CHART, "--namespace=modelroute-system", "--kube-version=1.30", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects(text: str, kind: str) -> list[dict[str, Any]]:
    return [o for o in yaml.safe_load_all(text) if o and o["kind"] == kind]
