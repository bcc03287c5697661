"""A pod that asks for a router in it by label, with that router: a native sidecar, its volumes, and where it is found.

Called by the mutating webhook for each such pod that is made. Never takes anything of a pod away, and makes of its own
outcome the same again. A native sidecar (an init container that is restarted always) starts before the pod's other
containers, ends after them, and does not keep a Job's pod from ending.
"""

from collections.abc import Iterator

from modelroute.api import types as t
from modelroute.errors import InvalidManifestError
from modelroute.planning import names
from modelroute.planning.observed import KubeObject
from modelroute.planning.resources import objects
from modelroute.planning.resources.router import DRAIN_SECONDS, SECRETS_DIR, SNAPSHOT_DIR, secret_sources
from modelroute.planning.settings import Settings
from modelroute.snapshot.codec import FILE_NAME

LABEL = f"metadata.labels.{names.SIDECAR_LABEL}"
"""The path of what asks for it."""
NO_KEY = "none-is-needed"
"""For official clients, which refuse to start without a key; the router takes any where the route asks for none."""
_TOKEN_DIR = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105
_SNAPSHOT, _SECRETS, _NO_TOKEN = (f"{names.SIDECAR}-{what}" for what in ("snapshot", "secrets", "no-token"))
_SECURITY: KubeObject = {
    "runAsNonRoot": True,
    "runAsUser": objects.USER,
    "runAsGroup": objects.USER,
    "seccompProfile": {"type": "RuntimeDefault"},
    **objects.CONTAINER_SECURITY,
}
"""All in the container: the settings of the pod are its owner's."""


def injected(pod: KubeObject, route: t.ModelRoute, settings: Settings) -> KubeObject:
    """``pod`` with the route's router in it; ``pod`` itself is left as it is.

    Raises InvalidManifestError, whose path is one of the pod, when that cannot be.
    """
    asked, spec, meta = route.spec.router, pod["spec"], pod["metadata"]
    if asked.mode != "Sidecar":
        problem = (
            f'ModelRoute "{route.metadata.name}" has router.mode {asked.mode}; set Sidecar, or take the label away'
        )
        raise InvalidManifestError(LABEL, problem)
    _refuse_what_cannot_be(spec, asked.sidecar)
    initial, volumes = spec.get("initContainers") or [], spec.get("volumes") or []
    there = {v["name"] for v in volumes}
    if all(c["name"] != names.SIDECAR for c in initial):
        initial = [_container(route, settings), *initial]  # the first: init containers after it may ask it, too
    changed = {
        **spec,
        "initContainers": [_told(c, asked) for c in initial],
        "containers": [_told(c, asked) for c in spec.get("containers") or ()],
        "volumes": [*volumes, *(v for v in _volumes(route) if v["name"] not in there)],
    }
    labels = {**(meta.get("labels") or {}), names.ROUTE_LABEL: route.metadata.name}
    return {**pod, "metadata": {**meta, "labels": labels}, "spec": changed}


def patch(before: KubeObject, after: KubeObject) -> list[KubeObject]:
    """What leads from one to the other, as JSON Patch; nothing where they are the same."""
    parts = [("metadata", "labels"), ("spec", "initContainers"), ("spec", "containers"), ("spec", "volumes")]
    return [
        {"op": "add", "path": f"/{of}/{part}", "value": after[of][part]}
        for of, part in parts
        if before[of].get(part) != after[of][part]
    ]


def _refuse_what_cannot_be(spec: KubeObject, asked: t.Sidecar) -> None:
    if spec.get("hostNetwork"):
        problem = "the router would listen on the node's own loopback, for every pod there; take it, or the label, away"
        raise InvalidManifestError("spec.hostNetwork", problem)
    for path, port in _ports(spec):
        if port in (asked.port, asked.admin_port):
            problem = f"{port} is the router's in this pod; set another in the ModelRoute's spec.router.sidecar"
            raise InvalidManifestError(path, problem)


def _ports(spec: KubeObject) -> Iterator[tuple[str, int]]:
    """The ports of the pod's own containers, each with its path."""
    for kind in ("initContainers", "containers"):
        for i, container in enumerate(spec.get(kind) or ()):
            if container["name"] != names.SIDECAR:
                for j, port in enumerate(container.get("ports") or ()):
                    yield f"spec.{kind}[{i}].ports[{j}].containerPort", port.get("containerPort") or 0


def _told(container: KubeObject, asked: t.Router) -> KubeObject:
    """``container``, told where the router is, unless it is told already.

    A variable set here would hide one of the same name that envFrom brings: so no key is put beside an envFrom.
    """
    if container["name"] == names.SIDECAR:
        return container
    env = container.get("env") or []
    given = {variable["name"] for variable in env}
    values = {"OPENAI_BASE_URL": f"http://127.0.0.1:{asked.sidecar.port}/v1"}
    if asked.auth.api_keys_secret_ref is None and not container.get("envFrom"):
        values["OPENAI_API_KEY"] = NO_KEY
    more = [{"name": name, "value": value} for name, value in values.items() if name not in given]
    return {**container, "env": [*env, *more]} if more else container


def _container(route: t.ModelRoute, settings: Settings) -> KubeObject:
    asked = route.spec.router
    mounts = [
        {"name": _SNAPSHOT, "mountPath": SNAPSHOT_DIR, "readOnly": True},
        # The API server mounts the account's token into every container that has nothing there.
        {"name": _NO_TOKEN, "mountPath": _TOKEN_DIR, "readOnly": True},
    ]
    if secret_sources(route):
        mounts.append({"name": _SECRETS, "mountPath": SECRETS_DIR, "readOnly": True})
    return {
        "name": names.SIDECAR,
        "image": settings.router_image,
        "imagePullPolicy": settings.image_pull_policy,
        "restartPolicy": "Always",
        "command": ["modelroute", "router"],
        "args": [
            f"--snapshot={SNAPSHOT_DIR}/{FILE_NAME}",
            f"--secrets={SECRETS_DIR}",
            "--host=127.0.0.1",
            f"--port={asked.sidecar.port}",
            "--admin-host=0.0.0.0",  # for the kubelet's probes and the operator
            f"--admin-port={asked.sidecar.admin_port}",
            f"--drain={DRAIN_SECONDS}",
        ],
        "ports": [{"name": "router-admin", "containerPort": asked.sidecar.admin_port}],  # by which metrics are scraped
        "resources": objects.resources(asked.resources),
        # The other containers start when it holds: the router has read its configuration before it listens.
        "startupProbe": objects.http_get("/healthz", asked.sidecar.admin_port, 1, 60),
        "readinessProbe": objects.http_get("/readyz", asked.sidecar.admin_port, 2, 2),
        "livenessProbe": objects.http_get("/healthz", asked.sidecar.admin_port, 10, 3),
        "securityContext": _SECURITY,
        "volumeMounts": mounts,
    }


def _volumes(route: t.ModelRoute) -> list[KubeObject]:
    volumes: list[KubeObject] = [
        {"name": _SNAPSHOT, "configMap": {"name": names.snapshot(route.metadata.name)}},
        {"name": _NO_TOKEN, "emptyDir": {}},
    ]
    if sources := secret_sources(route):
        volumes.append({"name": _SECRETS, "projected": {"sources": sources}})
    return volumes
