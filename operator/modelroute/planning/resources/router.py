"""The children that make a route's router: Deployment, Service, PodDisruptionBudget, ServiceAccount, ConfigMap.

Called by ``plan``. The router's pods get no token, and no Secrets but those that the route itself names.
"""

from modelroute.api import types as t
from modelroute.planning import names
from modelroute.planning.observed import KubeObject
from modelroute.planning.references import references
from modelroute.planning.resources import objects
from modelroute.planning.settings import Settings
from modelroute.snapshot.codec import FILE_NAME

HTTP_PORT, ADMIN_PORT = 8000, 8001
DRAIN_SECONDS = 100
"""Streams that run when a router ends have so long; then they are told by an error event."""
SNAPSHOT_DIR = "/etc/modelroute/snapshot"
SECRETS_DIR = "/etc/modelroute/secrets"
_TLS_DIR = "/etc/modelroute/tls"


def config_map(route: t.ModelRoute, encoded: bytes, revision: str) -> KubeObject:
    """The snapshot as the routers mount it."""
    selector = names.router_selector(route.metadata.name)
    body = {"data": {FILE_NAME: encoded.decode()}}
    return objects.child(
        "ConfigMap", names.snapshot(route.metadata.name), route.metadata, selector, body, revision=revision
    )


def gateway(route: t.ModelRoute, settings: Settings) -> tuple[KubeObject, ...]:
    """What runs the router, the Deployment last, since its pods need the rest."""
    return service_account(route), service(route), disruption_budget(route), deployment(route, settings)


def service_account(route: t.ModelRoute) -> KubeObject:
    """An identity without any right, so that a router never runs as the namespace's default account."""
    return _child("ServiceAccount", route, {"automountServiceAccountToken": False})


def service(route: t.ModelRoute) -> KubeObject:
    """Where clients reach the OpenAI API; the admin port is not in it."""
    router, asked = route.spec.router, route.spec.router.service
    port = {"name": router.scheme, "port": router.port, "targetPort": "http", "nodePort": asked.node_port}
    selector = names.router_selector(route.metadata.name)
    return _child("Service", route, {"spec": {"type": asked.type, "selector": selector, "ports": [port]}})


def disruption_budget(route: t.ModelRoute) -> KubeObject:
    """One router at a time may be evicted."""
    return _child("PodDisruptionBudget", route, {"spec": objects.budget(names.router_selector(route.metadata.name))})


def deployment(route: t.ModelRoute, settings: Settings) -> KubeObject:
    """The router's pods. The snapshot is not part of the template: routers take up a new one while they run."""
    selector = names.router_selector(route.metadata.name)
    pod_spec = {
        "serviceAccountName": names.router(route.metadata.name),
        "terminationGracePeriodSeconds": objects.PRE_STOP_SECONDS + DRAIN_SECONDS + objects.END_MARGIN_SECONDS,
        "containers": [_container(route, settings)],
        "volumes": _volumes(route),
        "topologySpreadConstraints": [
            {
                "topologyKey": "kubernetes.io/hostname",
                "maxSkew": 1,
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": selector},
            }
        ],
    }
    spec = {
        "replicas": route.spec.router.replicas,
        "revisionHistoryLimit": 3,
        "selector": {"matchLabels": selector},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": objects.pod(selector, pod_spec),
    }
    return _child("Deployment", route, {"spec": spec})


def _child(kind: str, route: t.ModelRoute, body: KubeObject) -> KubeObject:
    name = route.metadata.name
    return objects.child(kind, names.router(name), route.metadata, names.router_selector(name), body)


def _container(route: t.ModelRoute, settings: Settings) -> KubeObject:
    mounts = [{"name": "snapshot", "mountPath": SNAPSHOT_DIR, "readOnly": True}]
    if secret_sources(route):
        mounts.append({"name": "secrets", "mountPath": SECRETS_DIR, "readOnly": True})
    if route.spec.router.tls:
        mounts.append({"name": "tls", "mountPath": _TLS_DIR, "readOnly": True})
    return {
        "name": "router",
        "image": settings.router_image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": ["modelroute", "router"],
        "args": [
            f"--snapshot={SNAPSHOT_DIR}/{FILE_NAME}",
            f"--secrets={SECRETS_DIR}",
            f"--port={HTTP_PORT}",
            f"--admin-port={ADMIN_PORT}",
            f"--drain={DRAIN_SECONDS}",
            *([f"--tls={_TLS_DIR}"] if route.spec.router.tls else []),
        ],
        "ports": [
            {"name": "http", "containerPort": HTTP_PORT},
            {"name": "admin", "containerPort": ADMIN_PORT},
        ],
        "resources": objects.resources(route.spec.router.resources),
        "readinessProbe": objects.http_get("/readyz", "admin", 2, 2),
        # Asks the router alone, never a backend: a restart would not bring a backend back.
        "livenessProbe": objects.http_get("/healthz", "admin", 10, 3),
        "lifecycle": objects.LIFECYCLE,
        "securityContext": objects.CONTAINER_SECURITY,
        "volumeMounts": mounts,
    }


def _volumes(route: t.ModelRoute) -> list[KubeObject]:
    volumes = [{"name": "snapshot", "configMap": {"name": names.snapshot(route.metadata.name)}}]
    if sources := secret_sources(route):
        volumes.append({"name": "secrets", "projected": {"sources": sources}})
    if tls := route.spec.router.tls:
        # Not optional: a pod waits for its certificate rather than serve without one.
        items = [{"key": key, "path": key} for key in names.TLS_KEYS]
        volumes.append({"name": "tls", "secret": {"secretName": tls.secret_ref.name, "items": items}})
    return volumes


def secret_sources(route: t.ModelRoute) -> list[KubeObject]:
    """The keys of external backends and of clients, each optional: a missing one must not keep routers from starting.

    A router calls no backend whose key is missing, and lets nobody in without the clients' keys.
    """
    mounted = [(ref.name, [{"key": key, "path": at} for key, at in ref.files.items()]) for ref in references(route)]
    return [{"secret": {"name": name, "optional": True, "items": items}} for name, items in mounted if items]
