"""What ``manifests`` holds, of spec.router: each mistake as its spec, its path and what is said; and what is right."""

from typing import Any

MISTAKES: dict[str, tuple[dict[str, Any], str, str]] = {
    "keys of nowhere": ({"router": {"auth": {"apiKeysSecretRef": {}}}}, "spec.router.auth.apiKeysSecretRef", '"name"'),
    "TLS without a certificate": ({"router": {"tls": {}}}, "spec.router.tls", '"secretRef"'),
    "a nodePort without type": (
        {"router": {"service": {"nodePort": 30080}}},
        "spec.router.service.nodePort",
        "needs type NodePort",
    ),
    "an unknown Service type": ({"router": {"service": {"type": "X"}}}, "spec.router.service.type", "none of Cl"),
    "a Service in front of no router": (
        {"router": {"mode": "None", "service": {"port": 8080}}},
        "spec.router.service",
        "only a router of mode Gateway",
    ),
    "TLS on loopback": (
        {"router": {"mode": "Sidecar", "tls": {"secretRef": {"name": "cert"}}}},
        "spec.router.tls",
        "serves https",
    ),
    "one port for two": (
        {"router": {"mode": "Sidecar", "sidecar": {"port": 14001}}},
        "spec.router.sidecar.adminPort",
        "same as port",
    ),
    "an unknown mode": ({"router": {"mode": "Mesh"}}, "spec.router.mode", '"Mesh" is none of Gateway, None, Sidecar'),
}

GOOD: dict[str, dict[str, Any]] = {
    "a nodePort": {"router": {"service": {"type": "NodePort", "nodePort": 30080}}},
    "a route for the world": {
        "router": {"auth": {"apiKeysSecretRef": {"name": "keys"}}, "tls": {"secretRef": {"name": "cert"}}}
    },
    "a router in each pod": {"router": {"mode": "Sidecar", "service": {}, "sidecar": {"port": 9000}}},
    "no router": {"router": {"mode": "None"}},
}
