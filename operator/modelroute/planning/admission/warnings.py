"""What is legal in a ModelRoute and yet a risk, or does nothing: sentences that name the field, shown by kubectl.

Called by the validating webhook. Never refuses anything; what cannot be right is refused by the rules of ``api``.
"""

from collections.abc import Iterator

from modelroute.api import types as t
from modelroute.planning.settings import Settings

_TRUST = "--trust-remote-code"
_HOSTNAME = "kubernetes.io/hostname"


def warnings(route: t.ModelRoute, settings: Settings) -> tuple[str, ...]:
    """All of them, in the manifest's order."""
    of_backends = (
        f"spec.backends[{i}].{sentence}"
        for i, backend in enumerate(route.spec.backends)
        for sentence in (
            *_of_backend(route.spec, backend),
            *_of_cache(route.spec, backend),
            *_of_sleep(route.spec, backend, settings),
        )
    )
    return (*of_backends, *_of_canary(route.spec), *(f"spec.router.{sentence}" for sentence in _of(route.spec.router)))


def _of_backend(spec: t.Spec, backend: t.Backend) -> Iterator[str]:
    if backend.vllm is None:
        return
    if not _is_pinned(backend.vllm.image):
        image = f'"{backend.vllm.image}" may be another image at each pull'
        yield f"vllm.image: {image}; name a version by tag or digest"
    for j, argument in enumerate(backend.vllm.args):
        if argument.partition("=")[0].replace("_", "-") == _TRUST:
            yield f"vllm.args[{j}]: {_TRUST} runs code that comes with the weights"
    if not backend.scaling.min_replicas and not _overflows(spec, backend):
        yield (
            "scaling.minReplicas: 0, and nobody answers while no replica is ready; "
            "name a fallback for ColdStart, or keep a replica"
        )
    if backend.scaling.idle != t.Idle() and not _idles(backend.scaling):
        yield f"scaling.idle: action {backend.scaling.idle.action} does nothing here; {_why_idle(backend.scaling)}"


def _of_cache(spec: t.Spec, backend: t.Backend) -> Iterator[str]:
    """A volume for one node and replicas on several: the attach of the second is tried, and fails, for ever."""
    vllm, cache = backend.vllm, backend.vllm.model_cache if backend.vllm else None
    if vllm is None or cache is None or cache.size is None or cache.access_mode != "ReadWriteOnce":
        return
    most = max(backend.scaling.most, *(s.min_replicas.get(backend.name, 0) for s in spec.schedules), 1)
    if most > 1 and _HOSTNAME not in vllm.node_selector:
        yield (
            f"vllm.modelCache: of up to {most} replicas only those on one node can mount a ReadWriteOnce claim, others "
            f"wait for ever; set accessMode: ReadWriteMany, pick one node by nodeSelector ({_HOSTNAME}), or leave "
            "modelCache out"
        )


def _of_sleep(spec: t.Spec, backend: t.Backend, settings: Settings) -> Iterator[str]:
    """A replica that may sleep serves paths that put it to sleep, and a policy knows no paths."""
    if not backend.vllm or backend.scaling.idle.action != "Sleep":
        return
    paths = "scaling.idle: action Sleep makes replicas serve vLLM's development paths (/sleep, /collective_rpc)"
    if not settings.network_policies:
        yield f"{paths}, and the operator runs without NetworkPolicies: every pod reaches them"
    elif spec.router.mode == "Sidecar":
        yield f"{paths}, which all containers of a pod with a router in it reach; mode Gateway keeps them from clients"


def _is_pinned(image: str) -> bool:
    name = image.rpartition("/")[2]  # a registry's port is no tag
    return name.partition(":")[2] not in ("", "latest")


def _overflows(spec: t.Spec, backend: t.Backend) -> bool:
    """Whether somebody else answers while the backend has no ready replica."""
    if backend.cold_start.policy == "Reject":
        return False
    if any("ColdStart" in f.failures and f.backend != backend.name for f in spec.fallbacks):
        return True
    kept = (b for b in spec.backends if b.weight and (b.vllm is None or b.scaling.min_replicas))
    return backend.cold_start.policy != "Hold" and any(kept)


def _idles(scaling: t.Scaling) -> bool:
    """Whether replicas are there that may idle, and whoever decides on them heeds that."""
    if not _heeds_idle(scaling):
        return False
    return scaling.most > scaling.min_replicas if scaling.idle.action == "Sleep" else not scaling.min_replicas


def _heeds_idle(scaling: t.Scaling) -> bool:
    """KEDA, too, is told when the last replica goes, and whether it may."""
    return scaling.engine == "BuiltIn" or (scaling.engine == "KEDA" and scaling.idle.action != "Sleep")


def _why_idle(scaling: t.Scaling) -> str:
    if not _heeds_idle(scaling):
        return f"engine {scaling.engine} decides on replicas"
    if scaling.idle.action == "Sleep":
        return "replicas of minReplicas stay awake, and maxReplicas allows no others"
    return f"minReplicas is {scaling.min_replicas}"


def _of_canary(spec: t.Spec) -> Iterator[str]:
    if spec.canary and all(f.backend == spec.canary.backend for f in spec.fallbacks):
        name = spec.canary.backend
        yield f'spec.canary: no fallback takes over what "{name}" fails; name another backend in spec.fallbacks'


def _of(router: t.Router) -> Iterator[str]:
    if router.mode != "Gateway" and router.replicas != t.Router().replicas:
        yield f"replicas: mode {router.mode} has no router pods of its own; this does nothing"
    if router.mode != "Sidecar" and router.sidecar != t.Sidecar():
        yield f"sidecar: mode {router.mode} puts no router into pods; this does nothing"
    if router.mode == "None" and router.resources != t.Router().resources:
        yield "resources: mode None runs no router; this does nothing"
    if router.service.type != "ClusterIP":
        yield from _outside(router)


def _outside(router: t.Router) -> Iterator[str]:
    """Of a router that is reached from outside the cluster."""
    who = f"whoever reaches the {router.service.type}"
    if router.auth.api_keys_secret_ref is None:
        yield f"auth: {who} may ask; name clients' keys in apiKeysSecretRef"
    elif router.tls is None:
        yield "tls: clients' keys and prompts come by plain http from outside the cluster; name a certificate"
    if router.auth.trusted_headers != t.TrustedHeaders():
        yield f"auth.trustedHeaders: {who} may set them, unless a proxy in front takes them away"
