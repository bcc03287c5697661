"""All that can be made for vLLM backends, as a file: every field of theirs, autoscalers, pre-pull and policies.

``UPDATE_GOLDEN=1`` writes it anew; read the difference. The other files hold what could be made before, too.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from modelroute.planning.observed import Observed
from modelroute.planning.plan import plan
from tests.fakes import deploying, world

FILE = Path(__file__).parent / "planning/deploying.yaml"
SETTINGS = replace(
    world.SETTINGS,
    network_policies=True,
    monitoring_namespace="monitoring",
    prometheus_url="http://prometheus.monitoring.svc:9090",
)
EVERYTHING: dict[str, Any] = {
    "name": "all",
    "model": "sql",
    "vllm": deploying.GOOD["a pod template"]["backends"][0]["vllm"]
    | {
        "gpus": 4,
        "gpuResource": "amd.com/gpu",
        "tensorParallel": 2,
        "imagePullSecrets": [{"name": "registry"}],
        "hubTokenSecretRef": {"name": "hub", "key": "token"},
        "nodeSelector": {"gpu": "mi300"},
        "tolerations": [{"key": "spot", "value": "true"}],
        "loraAdapters": [{"name": "sql", "source": "org/sql"}],
        "prePull": True,
    },
    "scaling": {"idle": {"action": "Sleep"}},
    "warmup": {"readinessGate": False},
}
SPEC: dict[str, Any] = {
    "backends": [
        EVERYTHING,
        {"name": "hpa", "vllm": {"model": "m"}, "scaling": {"engine": "HPA", "maxReplicas": 4, "metric": "queue"}},
        {"name": "keda", "vllm": {"model": "m"}, "scaling": {"engine": "KEDA", "minReplicas": 0, "maxReplicas": 4}},
        {"name": "theirs", "vllm": {"model": "m"}, "scaling": {"engine": "External", "minReplicas": 2}},
    ],
}


def test_objects_are_as_they_were() -> None:
    objects = plan(world.route(**SPEC), Observed(), SETTINGS, world.moment(world.NOW)).objects
    rendered = yaml.safe_dump_all(objects, sort_keys=True, width=1000)
    if os.environ.get("UPDATE_GOLDEN"):
        FILE.write_text(rendered)
    assert rendered == FILE.read_text(), f"read the difference, then: UPDATE_GOLDEN=1 pytest {Path(__file__).name}"
