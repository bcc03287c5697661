"""Names and labels of everything that is made for a ModelRoute; the one place that knows them.

A route's name has at most 40 characters and no "--", a backend's at most 20 and no "--": so no two children of two
routes share a name, and each name fits a label.
"""

from modelroute.api import types as t

ROUTE_LABEL = f"{t.GROUP}/route"
BACKEND_LABEL = f"{t.GROUP}/backend"
COMPONENT_LABEL = "app.kubernetes.io/component"
MANAGED_LABEL, MANAGER = "app.kubernetes.io/managed-by", "modelroute"
"""On every child: who made it."""
PREPULL = "prepull"
"""The component of the pods that keep an image on the nodes: they are neither replicas nor routers."""
TLS_KEYS = ("tls.crt", "tls.key")
"""Of a Secret of type kubernetes.io/tls: the certificate, and its key."""
REVISION_ANNOTATION = f"{t.GROUP}/revision"
"""The snapshot's revision: on its ConfigMap; and set on live router pods after it was written, which makes the kubelet
refresh their mounts at once."""
CLIENT_KEYS = {"keys.yaml": "auth/keys.yaml", "pepper": "auth/pepper"}
"""The entries of the Secret of clients' keys, and where each is below the directory of the router's Secrets."""
WARM_GATE = f"{t.GROUP}/warm"
"""The condition of a pod that its readiness waits for: it has answered a first request."""
DRAINING_ANNOTATION = f"{t.GROUP}/draining"
"""On a replica that is to go: since when (RFC 3339) it gets no new requests."""
SLEEPING_ANNOTATION = f"{t.GROUP}/sleeping"
"""On a replica that is to sleep or sleeps: since when (RFC 3339) it gets no requests."""
DELETION_COST_ANNOTATION = "controller.kubernetes.io/pod-deletion-cost"
"""Kubernetes' own: of several replicas the one with the lowest number goes first."""
REPLICAS_ANNOTATION = f"{t.GROUP}/replicas"
"""On a backend's Deployment: the number of replicas that was decided on, whoever has changed it since."""
SIDECAR_LABEL = f"{t.GROUP}/sidecar"
"""On a pod that asks for a router in it: the ModelRoute's name."""
SIDECAR = "modelroute-router"
"""The container with the router, in such a pod."""
FORM_ANNOTATION = f"{t.GROUP}/form"
"""On a backend's Deployment that an older operator made: a hash of its pod template, which stays as long as that is."""
SCALED_OBJECT_ANNOTATION = f"{t.GROUP}/scaled-object"
"""On a backend's Deployment that has, or had, a ScaledObject: that kind cannot be watched, since it may not exist."""
CONTENT_ANNOTATION = f"{t.GROUP}/content"
"""A hash of all that is set in a child, so that a field that is no longer set is noticed, too."""


def backend(route: str, name: str) -> str:
    """The Deployment, the Service and the PodDisruptionBudget of a vLLM backend."""
    return f"{route}--{name}"


def model(asked: t.Backend) -> str | None:
    """The model's name in requests to a backend; None: what the client asked for.

    A vLLM backend answers to its own name unless told otherwise, not to that of the weights: while other weights roll
    in, old and new replicas answer side by side.
    """
    return asked.model or (asked.name if asked.vllm else None)


def served(asked: t.Backend, vllm: t.VLLM) -> str:
    """The name that a vLLM backend's own model answers to, beside its adapters, which have theirs."""
    adapters = {adapter.name for adapter in vllm.lora_adapters}
    return asked.name if asked.model is None or asked.model in adapters else asked.model


def cache(route: str, name: str) -> str:
    """The PersistentVolumeClaim of a backend's model cache."""
    return f"{route}--{name}-cache"


def prepull(route: str, name: str) -> str:
    """The DaemonSet that keeps a backend's image on the nodes."""
    return f"{route}--{name}-pull"


def backends_policy(route: str) -> str:
    """The NetworkPolicy of the replicas of a route's vLLM backends, but for those that may sleep."""
    return f"{route}-backends"


def sleepers_policy(route: str) -> str:
    """The NetworkPolicy of the replicas of those that may sleep."""
    return f"{route}-sleepers"


def router(route: str) -> str:
    """The router's Deployment, Service, ServiceAccount and PodDisruptionBudget."""
    return f"{route}-router"


def snapshot(route: str) -> str:
    """The ConfigMap that holds the snapshot."""
    return f"{route}-router-snapshot"


def secret_file(backend: str) -> str:
    """Where a backend's key is, below the directory where the router's Secrets are mounted."""
    return f"{backend}/key"


def router_selector(route: str) -> dict[str, str]:
    """The labels that pick the router's pods; a Deployment's selector can never change."""
    return {ROUTE_LABEL: route, COMPONENT_LABEL: "router"}


def backend_selector(route: str, name: str) -> dict[str, str]:
    """The labels that pick a backend's pods; a Deployment's selector can never change."""
    return {ROUTE_LABEL: route, COMPONENT_LABEL: "backend", BACKEND_LABEL: name}


def prepull_selector(route: str, name: str) -> dict[str, str]:
    """The labels that pick the pods that keep a backend's image on the nodes."""
    return {ROUTE_LABEL: route, COMPONENT_LABEL: PREPULL, BACKEND_LABEL: name}


def labels(selector: dict[str, str]) -> dict[str, str]:
    """Kubernetes' recommended labels around a selector's."""
    return {
        "app.kubernetes.io/name": "modelroute-router" if selector[COMPONENT_LABEL] == "router" else "vllm",
        "app.kubernetes.io/instance": selector[ROUTE_LABEL],
        MANAGED_LABEL: MANAGER,
        **selector,
    }
