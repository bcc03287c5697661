"""What a route refers to and does not make, each with the field that names it: the one list of them.

Called by ``unresolved``, by the makers of router pods, and by ``observing``, which reads what they name. Never says
whether anything is there.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from modelroute.api import podchecks
from modelroute.api import types as t
from modelroute.planning import names

CLIENT_KEYS_PATH = "spec.router.auth.apiKeysSecretRef"
"""The path of what a router that starts lets no client in without."""

Kind = Literal["Secret", "Service", "PersistentVolumeClaim", "Prometheus"]


@dataclass(frozen=True, slots=True)
class Reference:
    """One field that names something in the route's namespace; a Prometheus by its address, empty: the installation's.

    ``path`` is the field as kubectl writes it, and ``part`` what is below it for what is wanted of the thing itself.
    """

    kind: Kind
    name: str
    path: str
    part: str = ""
    backend: str = ""  # whose it is; empty: the router's
    keys: tuple[str, ...] = ()  # wanted of a Secret
    port: int = 0  # wanted of a Service
    files: Mapping[str, str] = field(default_factory=dict)  # where routers have a key, in their directory of Secrets
    optional: bool = False  # it may be missing


def references(route: t.ModelRoute) -> Iterator[Reference]:
    """All of them: those of backends in the manifest's order, then those of the router."""
    for i, backend in enumerate(route.spec.backends):
        for ref in _of_backend(backend):
            yield replace(ref, backend=backend.name, path=f"spec.backends[{i}].{ref.path}")
    auth, tls = route.spec.router.auth, route.spec.router.tls
    if clients := auth.api_keys_secret_ref:
        files = names.CLIENT_KEYS
        yield Reference("Secret", clients.name, CLIENT_KEYS_PATH, keys=tuple(files), files=files)
    if tls:
        yield Reference("Secret", tls.secret_ref.name, "spec.router.tls.secretRef", keys=names.TLS_KEYS)


def named(refs: Iterable[Reference], kind: Kind) -> list[str]:
    """The names of all things of ``kind`` among ``refs``, each once and in order."""
    return sorted({ref.name for ref in refs if ref.kind == kind})


def _of_backend(backend: t.Backend) -> Iterator[Reference]:
    """With paths below the backend."""
    if backend.external and (key := backend.external.api_key_secret_ref):
        files = {key.key: names.secret_file(backend.name)}
        yield Reference("Secret", key.name, "external.apiKeySecretRef", ".key", keys=(key.key,), files=files)
    if target := backend.target_ref:
        yield Reference("Service", target.name, "targetRef", ".port", port=target.port)
    if backend.vllm:
        yield from _of_replicas(backend.vllm)
    if backend.scaling.engine == "KEDA":
        yield Reference("Prometheus", backend.scaling.server_address or "", "scaling.serverAddress")


def _of_replicas(vllm: t.VLLM) -> Iterator[Reference]:
    if vllm.model_cache and (claim := vllm.model_cache.claim_name):
        yield Reference("PersistentVolumeClaim", claim, "vllm.modelCache.claimName")
    if token := vllm.hub_token_secret_ref:
        yield Reference("Secret", token.name, "vllm.hubTokenSecretRef", keys=(token.key,))
    for i, pull in enumerate(vllm.image_pull_secrets):
        yield Reference("Secret", pull.name, f"vllm.imagePullSecrets[{i}]")
    for given in podchecks.secrets(vllm.template):
        yield Reference("Secret", given.name, f"vllm.template{given.path}", optional=given.optional)
