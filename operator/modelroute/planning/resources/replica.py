"""A replica of a vLLM backend: its pod template.

Called by ``vllm`` and, for what it shares with a replica, by ``prepull``. What vLLM does, and the settings here answer:
its port refuses until the model is loaded; /health stays 200 while it drains, so that only the pod's end takes its
address away; on SIGTERM it cuts every stream unless told to drain; streams that are left at the end of its drain hang
open until it is killed.
"""

import math
from typing import Any

from modelroute.api import types as t
from modelroute.api.podchecks import MAIN, PORT
from modelroute.api.scalars import seconds
from modelroute.planning import names
from modelroute.planning.observed import KubeObject
from modelroute.planning.resources import objects
from modelroute.planning.resources.template import laid_over

_CACHE = "/cache"
_STARTUP_PERIOD = 2


def template(route: t.ModelRoute, backend: t.Backend, vllm: t.VLLM) -> KubeObject:
    """The pod template, with the user's laid over it, and without a readiness gate."""
    spec = {
        "terminationGracePeriodSeconds": grace(vllm),
        "containers": [_container(backend, vllm)],
        "volumes": _volumes(route.metadata.name, backend.name, vllm),
        **placement(vllm),
    }
    selector = names.backend_selector(route.metadata.name, backend.name)
    return laid_over(objects.pod(selector, spec), vllm.template)


def gated(ungated: KubeObject) -> KubeObject:
    """The template whose pods are not ready before they have answered a first request."""
    gates = [{"conditionType": names.WARM_GATE}]
    return ungated | {"spec": ungated["spec"] | {"readinessGates": gates}}


def grace(vllm: t.VLLM) -> int:
    """Seconds from the end's announcement to the kill."""
    return objects.PRE_STOP_SECONDS + _drain(vllm) + objects.END_MARGIN_SECONDS


def placement(vllm: t.VLLM) -> dict[str, Any]:
    """Which nodes may run it, and by which Secrets they pull its image."""
    # Nodes with GPUs are often tainted so, to keep away what needs none.
    gpus = [{"key": vllm.gpu_resource, "operator": "Exists", "effect": "NoSchedule"}] if vllm.gpus else []
    return {
        "nodeSelector": dict(vllm.node_selector),
        "tolerations": gpus + [_toleration(toleration) for toleration in vllm.tolerations],
        "imagePullSecrets": [{"name": ref.name} for ref in vllm.image_pull_secrets],
    }


def _toleration(asked: t.Toleration) -> KubeObject:
    return {
        "key": asked.key,
        "operator": asked.operator,
        "value": asked.value,
        "effect": asked.effect,
        "tolerationSeconds": asked.toleration_seconds,
    }


def _drain(vllm: t.VLLM) -> int:
    return math.ceil(seconds(vllm.drain_timeout))


def _container(backend: t.Backend, vllm: t.VLLM) -> KubeObject:
    shards = vllm.gpus if vllm.tensor_parallel is None else vllm.tensor_parallel
    args = [
        vllm.model,
        f"--port={PORT}",
        f"--served-model-name={names.served(backend, vllm)}",
        f"--shutdown-timeout={_drain(vllm)}",
        *([f"--tensor-parallel-size={shards}"] if shards > 1 else []),
        # On a CPU vLLM refuses the flag, and sleeps without it.
        *(["--enable-sleep-mode"] if may_sleep(backend) and vllm.gpus else []),
        *_adapters(vllm),
        *vllm.args,  # last, since the last of a flag's values wins
    ]
    resources = objects.resources(vllm.resources)
    if vllm.gpus:
        resources["limits"][vllm.gpu_resource] = str(vllm.gpus)
    startup_tries = max(1, math.ceil(seconds(vllm.startup_timeout) / _STARTUP_PERIOD))
    return {
        "name": MAIN,
        "image": vllm.image,
        "command": ["vllm", "serve"],
        "args": args,
        "env": _environment(backend, vllm),
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


def may_sleep(backend: t.Backend) -> bool:
    """Whether its replicas serve the paths by which they are put to sleep."""
    return backend.scaling.idle.action == "Sleep"


def _adapters(vllm: t.VLLM) -> list[str]:
    """The flags for LoRA adapters; a flag of many values comes before one of a single one, which ends them."""
    pairs = [f"{adapter.name}={adapter.source}" for adapter in vllm.lora_adapters]
    return ["--lora-modules", *pairs, "--enable-lora"] if pairs else []


def _environment(backend: t.Backend, vllm: t.VLLM) -> list[KubeObject]:
    """Everything that is written goes to a volume, since the root is read-only and the user has no home."""
    values = {
        "HOME": "/tmp",  # noqa: S108
        "USER": "vllm",  # torch asks for the user's name, which a bare number has not
        "HF_HOME": f"{_CACHE}/huggingface",
        "TORCHINDUCTOR_CACHE_DIR": f"{_CACHE}/torchinductor",
        "TRITON_CACHE_DIR": f"{_CACHE}/triton",
        "VLLM_CACHE_ROOT": f"{_CACHE}/vllm",
        "XDG_CACHE_HOME": f"{_CACHE}/xdg",
        # Sleeping and waking are paths of its development mode; routers forward none of them.
        **({"VLLM_SERVER_DEV_MODE": "1"} if may_sleep(backend) else {}),
    }
    environment: list[KubeObject] = [{"name": name, "value": value} for name, value in values.items()]
    if token := vllm.hub_token_secret_ref:
        source = {"secretKeyRef": {"name": token.name, "key": token.key}}
        environment.append({"name": "HF_TOKEN", "valueFrom": source})
    return environment


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
