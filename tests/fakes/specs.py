"""Random specs of a ModelRoute, each valid, so that from any of them one may come to any other."""

import random
from typing import Any

_CACHES = (None, None, {"size": "1Gi"})
_ROUTERS: tuple[dict[str, Any], ...] = (
    {},
    {"replicas": 1},
    {"mode": "None"},
    {"service": {"type": "NodePort"}},
    {"auth": {"apiKeysSecretRef": {"name": "keys"}}},
    {"resources": {"requests": {"cpu": "50m"}}},
    {"tls": {"secretRef": {"name": "cert"}}},
)


def spec(chance: random.Random) -> dict[str, Any]:
    """One of many; a vllm backend, a Service and a hosted API in any company."""
    names = chance.sample(("a", "b", "c"), chance.randint(1, 3))
    backends = [{"name": name, "weight": chance.randint(1, 5)} | _kind(chance) for name in names]
    found: dict[str, Any] = {"backends": backends, "router": chance.choice(_ROUTERS)}
    if chance.random() < 0.4:
        found["rules"] = [{"name": "r", "when": {"minChars": chance.randint(1, 9)}, "prefer": [chance.choice(names)]}]
    if chance.random() < 0.4:
        found["fallbacks"] = [{"backend": chance.choice(names)}]
    if chance.random() < 0.3:
        found["canary"] = {"backend": chance.choice(names), "percent": chance.randint(0, 100)}
    if chance.random() < 0.3:
        found["models"] = [f"m{chance.randint(1, 3)}"]
    return found


def _kind(chance: random.Random) -> dict[str, Any]:
    kind = chance.randrange(4)
    if kind == 0:
        return {"external": {"baseURL": f"https://api{chance.randint(1, 3)}.example.com/v1"}}
    if kind == 1:
        return {"targetRef": {"name": "legacy", "port": 80}}
    vllm: dict[str, Any] = {"model": f"org/m{chance.randint(1, 2)}", "gpus": chance.randint(0, 2)}
    if cache := chance.choice(_CACHES):
        vllm["modelCache"] = cache
    if chance.random() < 0.5:
        vllm["args"] = [f"--max-model-len={chance.choice((1024, 2048))}"]
    if chance.random() < 0.3:
        vllm["resources"] = {"requests": {"cpu": chance.choice(("100m", "1"))}}
    return {"vllm": vllm, "scaling": {"minReplicas": chance.randint(0, 3)}}
