"""What a route refers to, and does not make, that is not there.

Called by ``plan``. Never sees a Secret's value, only the names of its keys.
"""

from collections.abc import Collection, Iterator
from typing import NamedTuple

from modelroute.api import podchecks
from modelroute.api import types as t
from modelroute.planning import names
from modelroute.planning.observed import Observed
from modelroute.planning.settings import Settings

CLIENT_KEYS = "spec.router.auth.apiKeysSecretRef"
"""The path of what a router that starts lets no client in without."""

HIDDEN = "SecretNotReadable"
"""The reason of a Secret that the operator may not read."""

_Problem = tuple[str, str, str]
"""Reason, path and sentence."""


class Missing(NamedTuple):
    """A reference that leads nowhere, or may; ``path`` is the field as kubectl writes it.

    ``backend`` is whose it is; empty: the router's.
    """

    backend: str
    reason: str
    path: str
    problem: str

    @property
    def of_replicas(self) -> bool:
        """Whether only replicas that are yet to start lack it: those that run go on."""
        return ".vllm." in self.path or ".scaling." in self.path

    @property
    def unknown(self) -> bool:
        """Whether it may well be there: who is given it finds out."""
        return self.reason == HIDDEN


def missing(route: t.ModelRoute, observed: Observed, settings: Settings) -> tuple[Missing, ...]:
    """All references that lead nowhere, in the manifest's order."""
    namespace = route.metadata.namespace
    of_backends = (
        Missing(backend.name, reason, f"spec.backends[{i}].{path}", problem)
        for i, backend in enumerate(route.spec.backends)
        for reason, path, problem in (*_of(backend, namespace, observed), *_of_scaling(backend, settings))
    )
    of_router = (Missing("", *found) for found in _of_router(route.spec.router, namespace, observed))
    return (*of_backends, *of_router)


def _of(backend: t.Backend, namespace: str, observed: Observed) -> Iterator[_Problem]:
    if backend.external and backend.external.api_key_secret_ref:
        ref, path = backend.external.api_key_secret_ref, "external.apiKeySecretRef"
        for reason, problem in _secret(ref.name, (ref.key,), namespace, observed):
            yield reason, f"{path}.key" if reason == "SecretKeyNotFound" else path, problem
    if backend.target_ref:
        yield from _service(backend.target_ref, namespace, observed)
    if backend.vllm:
        yield from _of_replicas(backend.vllm, namespace, observed)


def _of_replicas(vllm: t.VLLM, namespace: str, observed: Observed) -> Iterator[_Problem]:
    claim = vllm.model_cache.claim_name if vllm.model_cache else None
    if claim and claim not in observed.claims:
        problem = f'PersistentVolumeClaim "{claim}" is not in namespace {namespace}'
        yield "ClaimNotFound", "vllm.modelCache.claimName", problem
    if ref := vllm.hub_token_secret_ref:
        for reason, problem in _secret(ref.name, (ref.key,), namespace, observed):
            yield reason, "vllm.hubTokenSecretRef", problem
    for i, pull in enumerate(vllm.image_pull_secrets):
        for reason, problem in _secret(pull.name, (), namespace, observed):
            yield reason, f"vllm.imagePullSecrets[{i}]", problem
    for named in podchecks.secrets(vllm.template):
        for reason, problem in () if named.optional else _secret(named.name, (), namespace, observed):
            yield reason, f"vllm.template{named.path}", problem


def _of_scaling(backend: t.Backend, settings: Settings) -> Iterator[_Problem]:
    if backend.scaling.engine == "KEDA" and not (backend.scaling.server_address or settings.prometheus_url):
        yield (
            "PrometheusUnknown",
            "scaling.serverAddress",
            "KEDA counts by Prometheus: write its address here, or start the operator with --prometheus-url",
        )


def _of_router(router: t.Router, namespace: str, observed: Observed) -> Iterator[_Problem]:
    if ref := router.auth.api_keys_secret_ref:
        for reason, problem in _secret(ref.name, names.CLIENT_KEYS, namespace, observed):
            yield reason, CLIENT_KEYS, problem
    if router.tls:
        for reason, problem in _secret(router.tls.secret_ref.name, names.TLS_KEYS, namespace, observed):
            yield reason, "spec.router.tls.secretRef", problem


def _secret(name: str, wanted: Collection[str], namespace: str, observed: Observed) -> Iterator[tuple[str, str]]:
    """Reason and sentence for what is not there of the Secret ``name`` with the ``wanted`` keys."""
    keys = observed.secrets.get(name)
    if name in observed.hidden:
        yield HIDDEN, f'the operator may not read Secret "{name}", so whether it has all that it needs is not known'
    elif keys is None:
        yield "SecretNotFound", f'Secret "{name}" is not in namespace {namespace}'
    for key in wanted:
        if keys is not None and key not in keys:
            yield "SecretKeyNotFound", f'Secret "{name}" has no key "{key}"'


def _service(ref: t.TargetRef, namespace: str, observed: Observed) -> Iterator[_Problem]:
    service = observed.services.get(ref.name)
    if service is None:
        yield "ServiceNotFound", "targetRef", f'Service "{ref.name}" is not in namespace {namespace}'
        return
    ports = [port["port"] for port in service["spec"].get("ports") or ()]
    if ref.port not in ports:
        there = ", ".join(str(port) for port in ports) or "none"
        problem = f'Service "{ref.name}" has no port {ref.port} (it has {there})'
        yield "ServicePortNotFound", "targetRef.port", problem
