"""What all children share: identity, owner, and the pod settings of the "restricted" Pod Security Standard.

Used by the makers beside it. Never knows one kind of child from another.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from modelroute.api import types as t
from modelroute.planning import names
from modelroute.planning.observed import KubeObject

USER = 65532
"""The user and group that every container runs as; it needs no entry in the image's /etc/passwd."""

PRE_STOP_SECONDS = 5
"""A pod that ends goes on answering so long, until every router and kube-proxy has dropped its address."""
END_MARGIN_SECONDS = 15
"""Between the end of a drain and the kill: for what a process does after its last answer."""

POD_SECURITY: KubeObject = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "runAsGroup": USER,
    "fsGroup": USER,
    "fsGroupChangePolicy": "OnRootMismatch",  # a cache of weights is not walked through at every start
    "seccompProfile": {"type": "RuntimeDefault"},
}
CONTAINER_SECURITY: KubeObject = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
# The kubelet's own sleep: images need no shell.
LIFECYCLE: KubeObject = {"preStop": {"sleep": {"seconds": PRE_STOP_SECONDS}}}

# An empty one of these is not the same as none: any directory, or all there are.
_TELLING = ("emptyDir", "labelSelector", "namespaceSelector", "podSelector")

_API_VERSIONS = {
    "DaemonSet": "apps/v1",
    "Deployment": "apps/v1",
    "HorizontalPodAutoscaler": "autoscaling/v2",
    "NetworkPolicy": "networking.k8s.io/v1",
    "PodDisruptionBudget": "policy/v1",
    "ScaledObject": "keda.sh/v1alpha1",
}


def child(
    kind: str, name: str, metadata: t.Metadata, selector: dict[str, str], body: dict[str, Any], revision: str = ""
) -> KubeObject:
    """An object that belongs to the ModelRoute of ``metadata``; ``body`` is all but its identity, empty parts left out.

    ``revision`` is noted in an annotation, where there is one.
    """
    content = _tidy(body)
    owner = {"apiVersion": t.API_VERSION, "kind": t.KIND, "name": metadata.name, "uid": metadata.uid}
    return {
        "apiVersion": _API_VERSIONS.get(kind, "v1"),
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": metadata.namespace,
            "labels": names.labels(selector),
            "annotations": {
                names.CONTENT_ANNOTATION: digest(content),
                **({names.REVISION_ANNOTATION: revision} if revision else {}),
            },
            "ownerReferences": [{**owner, "controller": True}],
        },
        **content,
    }


def digest(body: Mapping[str, Any]) -> str:
    """A short hash of ``body``, as the content annotation has it."""
    return hashlib.sha256(json.dumps(_tidy(body), sort_keys=True).encode()).hexdigest()[:12]


def pod(selector: dict[str, str], spec: dict[str, Any]) -> KubeObject:
    """A pod template with what every pod of ours has: no token, no Service variables, restricted security."""
    return {
        "metadata": {"labels": names.labels(selector)},
        "spec": {
            "automountServiceAccountToken": False,
            # A Service named "vllm" would set VLLM_PORT, which vLLM takes for its own setting.
            "enableServiceLinks": False,
            "securityContext": POD_SECURITY,
            **spec,
        },
    }


def budget(selector: dict[str, str]) -> KubeObject:
    """A PodDisruptionBudget's spec: one pod at a time may be evicted.

    Not minAvailable, which would let no node of a single pod be drained.
    """
    return {
        "maxUnavailable": 1,
        "selector": {"matchLabels": selector},
        "unhealthyPodEvictionPolicy": "AlwaysAllow",  # a pod that cannot become ready must not block a drain
    }


def http_get(path: str, port: str | int, period: int, failures: int, timeout: int = 2) -> KubeObject:
    """A probe: ``path`` every ``period`` seconds, lost after ``failures`` tries of ``timeout`` seconds."""
    return {
        "httpGet": {"path": path, "port": port},
        "periodSeconds": period,
        "timeoutSeconds": timeout,
        "failureThreshold": failures,
    }


def resources(asked: t.Resources) -> KubeObject:
    """A container's resources as the manifest has them."""
    return {"requests": dict(asked.requests), "limits": dict(asked.limits)}


def _tidy(value: Any) -> Any:
    """``value`` without empty parts, as the API server would keep it, but for those whose emptiness means something."""
    if isinstance(value, Mapping):
        kept = {key: _tidy(part) for key, part in value.items()}
        return {k: v for k, v in kept.items() if v not in (None, "", [], {}) or (v == {} and k in _TELLING)}
    if isinstance(value, list):
        return [_tidy(part) for part in value]
    return value
