"""The children of a vLLM backend: a Deployment, its Service, and the claim for its model cache.

Called by ``plan``. What vLLM does, and the settings here answer: its port refuses until the model is loaded; /health
stays 200 while it drains, so that only the pod's end takes its address away; on SIGTERM it cuts every stream unless
told to drain; streams that are left at the end of its drain hang open until it is killed.
"""

import math

from modelroute.api import types as t
from modelroute.api.scalars import seconds
from modelroute.planning import names
from modelroute.planning.observed import KubeObject
from modelroute.planning.quantity import quantity
from modelroute.planning.resources import objects

PORT = 8000
GPU = "nvidia.com/gpu"
_CACHE = "/cache"
_STARTUP_PERIOD = 2
_PULL_SECONDS = 600
"""What scheduling and the pull of an image of many GiB may take before a Deployment is said not to progress."""
_INT32 = 2**31 - 1


def deployment(route: t.ModelRoute, backend: t.Backend, vllm: t.VLLM, replicas: int | None = None) -> KubeObject:
    """The replicas. A template that changes restarts them, and a start takes minutes: it depends on the spec alone.

    ``replicas``: the number that was decided on; None: minReplicas.
    """
    replicas = backend.scaling.min_replicas if replicas is None else replicas
    selector = names.backend_selector(route.metadata.name, backend.name)
    grace = objects.PRE_STOP_SECONDS + _drain(vllm) + objects.END_MARGIN_SECONDS
    pod_spec = {
        "terminationGracePeriodSeconds": grace,
        "containers": [_container(backend, vllm)],
        "volumes": _volumes(route.metadata.name, backend.name, vllm),
        # Nodes with GPUs are often tainted so, to keep away what needs none.
        "tolerations": [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}] if vllm.gpus else [],
    }
    spec = {
        "replicas": replicas,
        "revisionHistoryLimit": 3,
        "progressDeadlineSeconds": min(_INT32, math.ceil(seconds(vllm.startup_timeout)) + grace + _PULL_SECONDS),
        "selector": {"matchLabels": selector},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": _rolling(replicas, vllm)},
        "template": objects.pod(selector, pod_spec),
    }
    name = names.backend(route.metadata.name, backend.name)
    made = objects.child("Deployment", name, route.metadata, selector, {"spec": spec})
    if replicas is not None:
        made["metadata"]["annotations"][names.REPLICAS_ANNOTATION] = str(replicas)
    return made


def service(route: t.ModelRoute, backend: t.Backend) -> KubeObject:
    """The Service whose EndpointSlices tell which replicas are ready; routers speak to the pods themselves."""
    selector = names.backend_selector(route.metadata.name, backend.name)
    ports = [{"name": "http", "port": PORT, "targetPort": "http"}]
    name = names.backend(route.metadata.name, backend.name)
    spec = {"type": "ClusterIP", "selector": selector, "ports": ports}
    return objects.child("Service", name, route.metadata, selector, {"spec": spec})


def claim(route: t.ModelRoute, backend: t.Backend, cache: t.ModelCache, live: KubeObject | None) -> KubeObject:
    """The claim of a model cache that has a size.

    Of a claim that is there only the size can change, and only upwards; the rest stays as ``live`` has it.
    """
    selector = names.backend_selector(route.metadata.name, backend.name)
    size = cache.size or ""
    access_modes: list[str] = [cache.access_mode]
    storage_class = cache.storage_class_name
    if live is not None:
        spec = live["spec"]
        size = max(size, spec["resources"]["requests"]["storage"], key=quantity)
        access_modes, storage_class = spec["accessModes"], spec.get("storageClassName")
    body = {
        "accessModes": access_modes,
        "storageClassName": storage_class,
        "resources": {"requests": {"storage": size}},
    }
    name = names.cache(route.metadata.name, backend.name)
    return objects.child("PersistentVolumeClaim", name, route.metadata, selector, {"spec": body})


def _rolling(replicas: int, vllm: t.VLLM) -> dict[str, int]:
    """How a new version comes in.

    A single replica is replaced only when the new one answers: GPUs may be short and the version may be bad, and the
    old one serves until then. Of several, one makes room for its successor: that needs no spare GPU and costs one at
    most. A volume that one node alone can mount might keep the successor waiting for ever: there, too, the old one
    goes first.
    """
    cache = vllm.model_cache
    one_node = cache is not None and cache.size is not None and cache.access_mode == "ReadWriteOnce"
    if one_node or (replicas > 1 and vllm.gpus):
        return {"maxSurge": 0, "maxUnavailable": 1}
    return {"maxSurge": 1, "maxUnavailable": 0}


def _drain(vllm: t.VLLM) -> int:
    return math.ceil(seconds(vllm.drain_timeout))


def _container(backend: t.Backend, vllm: t.VLLM) -> KubeObject:
    args = [
        vllm.model,
        f"--port={PORT}",
        f"--served-model-name={names.model(backend)}",
        f"--shutdown-timeout={_drain(vllm)}",
        *([f"--tensor-parallel-size={vllm.gpus}"] if vllm.gpus > 1 else []),
        *vllm.args,  # last, since the last of a flag's values wins
    ]
    resources = objects.resources(vllm.resources)
    if vllm.gpus:
        resources["limits"][GPU] = str(vllm.gpus)
    startup_tries = max(1, math.ceil(seconds(vllm.startup_timeout) / _STARTUP_PERIOD))
    return {
        "name": "vllm",
        "image": vllm.image,
        "command": ["vllm", "serve"],
        "args": args,
        "env": [{"name": name, "value": value} for name, value in _environment().items()],
        "ports": [{"name": "http", "containerPort": PORT}],
        "resources": resources,
        "startupProbe": objects.http_get("/health", "http", _STARTUP_PERIOD, startup_tries),
        "readinessProbe": objects.http_get("/health", "http", 5, 3, timeout=5),
        # A busy engine may be slow to answer, and a restart costs minutes: only a minute of silence is death.
        "livenessProbe": objects.http_get("/health", "http", 10, 6, timeout=10),
        "lifecycle": objects.LIFECYCLE,
        "securityContext": objects.CONTAINER_SECURITY,
        "volumeMounts": [
            {"name": "cache", "mountPath": _CACHE},
            {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
        ],
    }


def _environment() -> dict[str, str]:
    """Everything that is written goes to a volume, since the root is read-only and the user has no home."""
    return {
        "HOME": "/tmp",  # noqa: S108
        "USER": "vllm",  # torch asks for the user's name, which a bare number has not
        "HF_HOME": f"{_CACHE}/huggingface",
        "TORCHINDUCTOR_CACHE_DIR": f"{_CACHE}/torchinductor",
        "TRITON_CACHE_DIR": f"{_CACHE}/triton",
        "VLLM_CACHE_ROOT": f"{_CACHE}/vllm",
        "XDG_CACHE_HOME": f"{_CACHE}/xdg",
    }


def _volumes(route: str, backend: str, vllm: t.VLLM) -> list[KubeObject]:
    cache = vllm.model_cache
    weights: KubeObject = {"emptyDir": {}}
    if cache is not None:
        weights = {"persistentVolumeClaim": {"claimName": cache.claim_name or names.cache(route, backend)}}
    return [
        {"name": "cache", **weights},
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": vllm.shared_memory}},
        {"name": "tmp", "emptyDir": {}},
    ]
