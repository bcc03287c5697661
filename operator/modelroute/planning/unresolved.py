"""What a route refers to, and does not make, that is not there.

Called by ``plan``. Never sees a Secret's value, only the names of its keys.
"""

from collections.abc import Iterator
from typing import NamedTuple

from modelroute.api import types as t
from modelroute.planning.observed import Observed


class Missing(NamedTuple):
    """A reference of ``backend`` that leads nowhere; ``path`` is the field as kubectl writes it."""

    backend: str
    reason: str
    path: str
    problem: str


def missing(route: t.ModelRoute, observed: Observed) -> tuple[Missing, ...]:
    """All references that lead nowhere, in the manifest's order."""
    return tuple(
        Missing(backend.name, reason, f"spec.backends[{i}].{path}", problem)
        for i, backend in enumerate(route.spec.backends)
        for reason, path, problem in _of(backend, route.metadata.namespace, observed)
    )


def _of(backend: t.Backend, namespace: str, observed: Observed) -> Iterator[tuple[str, str, str]]:
    if backend.external and backend.external.api_key_secret_ref:
        yield from _secret(backend.external.api_key_secret_ref, namespace, observed)
    if backend.target_ref:
        yield from _service(backend.target_ref, namespace, observed)
    if backend.vllm and backend.vllm.model_cache and backend.vllm.model_cache.claim_name:
        claim = backend.vllm.model_cache.claim_name
        if claim not in observed.claims:
            problem = f'PersistentVolumeClaim "{claim}" is not in namespace {namespace}'
            yield "ClaimNotFound", "vllm.modelCache.claimName", problem


def _secret(ref: t.SecretKeyRef, namespace: str, observed: Observed) -> Iterator[tuple[str, str, str]]:
    path = "external.apiKeySecretRef"
    keys = observed.secrets.get(ref.name)
    if keys is None:
        yield "SecretNotFound", path, f'Secret "{ref.name}" is not in namespace {namespace}'
    elif ref.key not in keys:
        yield "SecretKeyNotFound", f"{path}.key", f'Secret "{ref.name}" has no key "{ref.key}"'


def _service(ref: t.TargetRef, namespace: str, observed: Observed) -> Iterator[tuple[str, str, str]]:
    service = observed.services.get(ref.name)
    if service is None:
        yield "ServiceNotFound", "targetRef", f'Service "{ref.name}" is not in namespace {namespace}'
        return
    ports = [port["port"] for port in service["spec"].get("ports") or ()]
    if ref.port not in ports:
        there = ", ".join(str(port) for port in ports) or "none"
        problem = f'Service "{ref.name}" has no port {ref.port} (it has {there})'
        yield "ServicePortNotFound", "targetRef.port", problem
