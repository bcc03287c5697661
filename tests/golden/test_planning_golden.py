"""Every object that is made for a route, as a file. ``UPDATE_GOLDEN=1`` writes the files anew; read the difference.

A difference in a pod template means that an upgrade of the operator restarts every replica, which takes minutes each.
"""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelroute.planning.observed import Observed
from tests.fakes import world

FILES = Path(__file__).parent / "planning"

SMALL: dict[str, Any] = {
    "backends": [
        {"name": "small", "weight": 90, "vllm": {"model": "Qwen/Qwen2.5-7B-Instruct", "gpus": 0}},
        {"name": "big", "weight": 10, "model": "gpt-4o", "external": world.KEYED["external"]},
    ],
    "fallbacks": [{"backend": "big"}],
}
FULL: dict[str, Any] = {
    "models": ["chat", "gpt-4o-mini"],
    "backends": [
        {
            "name": "large",
            "weight": 3,
            "model": "large",
            "vllm": {
                "model": "/cache/large",
                "image": "registry.example.com:5000/vllm@sha256:0123456789abcdef",
                "args": ["--max-model-len=8192"],
                "gpus": 4,
                "resources": {"requests": {"cpu": "8"}, "limits": {"memory": "64Gi"}},
                "modelCache": {"size": "200Gi", "storageClassName": "fast", "accessMode": "ReadWriteMany"},
                "sharedMemory": "16Gi",
                "startupTimeout": "1h",
                "drainTimeout": "5m",
            },
            "scaling": {"minReplicas": 3},
            "parameters": {"systemPrompt": "Be brief.", "maxTokens": {"max": 512}, "temperature": {"default": "0.2"}},
            "timeouts": {"connect": "500ms", "firstToken": "5s", "total": "5m"},
            "loadBalancing": {"type": "PrefixHash", "slowStart": "1m"},
            "limits": {"maxInFlight": 64},
            "health": {"ejection": "10s"},
            "coldStart": {"policy": "HoldThenFallback"},
        },
        {"name": "shared", "vllm": {"model": "org/s", "modelCache": {"claimName": "models"}}},
        world.BEHIND,
        world.KEYED,
        {"name": "local", "weight": 0, "external": {"baseURL": "http://llm.other.svc:8080"}},
    ],
    "rules": [
        {"name": "vip", "when": {"tiers": ["vip"], "headers": {"X-Team": "a"}}, "prefer": ["large"]},
        {"name": "private", "when": {"headers": {"X-Data": "secret"}}, "exclude": ["shared"], "failClosed": True},
    ],
    "timeouts": {"total": "10m"},
    "retry": {"attempts": 2, "backoff": {"min": "500ms"}},
    "canary": {"backend": "shared", "percent": 5, "baseline": "large", "allow": ["u-17"]},
    "fallbacks": [{"backend": "big", "failures": ["ColdStart", "Timeout"]}],
    "router": {
        "replicas": 3,
        "service": {"type": "NodePort", "port": 8080, "nodePort": 30080},
        "auth": {
            "trustedHeaders": {"user": "X-User-Id", "tier": "X-User-Tier"},
            "apiKeysSecretRef": {"name": "chat-keys"},
        },
        "tls": {"secretRef": {"name": "chat-cert"}},
        "resources": {"limits": {"memory": "1Gi"}},
    },
}
SEEN = Observed(
    slices={
        "chat--large": (world.pods("10.0.0.2", "10.0.0.1"),),
        "legacy": (world.pods("10.0.1.1", name="web", port=8080),),
    },
    services={"legacy": world.LEGACY},
    secrets={"openai": frozenset({"api-key"})},
    claims=frozenset({"models"}),
)


@pytest.mark.parametrize(("name", "spec", "seen"), [("small", SMALL, Observed()), ("full", FULL, SEEN)])
def test_objects_are_as_they_were(name: str, spec: dict[str, Any], seen: Observed) -> None:
    objects = world.planned(world.route(**spec), seen).objects
    rendered = yaml.safe_dump_all(objects, sort_keys=True, width=1000)
    path = FILES / f"{name}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(rendered)
    assert rendered == path.read_text(), f"read the difference, then: UPDATE_GOLDEN=1 pytest {Path(__file__).name}"
