"""What planning looks at: the live objects around one ModelRoute, as the API server gives them.

Filled by the controller for every reconcile; ``references`` says what to look for. Never holds a Secret's value.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modelroute.api import types as t
from modelroute.planning import names

KubeObject = dict[str, Any]
"""An object of the Kubernetes API as JSON."""


@dataclass(frozen=True, slots=True)
class Observed:
    """All that is seen of one ModelRoute. Without arguments: a cluster that holds nothing of it yet."""

    children: tuple[KubeObject, ...] = ()  # controlled by the ModelRoute; each with apiVersion and kind
    slices: Mapping[str, tuple[KubeObject, ...]] = field(default_factory=dict)  # EndpointSlices by Service name
    services: Mapping[str, KubeObject] = field(default_factory=dict)  # Services that targetRefs name, where they exist
    secrets: Mapping[str, frozenset[str] | None] = field(default_factory=dict)  # the keys of each Secret; None: missing
    claims: frozenset[str] = frozenset()  # those of the claims that the route names which exist
    troubles: Mapping[str, str] = field(default_factory=dict)  # what keeps pods from running, by Deployment
    foreign: tuple[str, ...] = ()  # "Kind/name" of objects that have a child's name and another owner, or none

    def child(self, kind: str, name: str) -> KubeObject | None:
        """The live child of that kind and name."""
        return next((c for c in self.children if c["kind"] == kind and c["metadata"]["name"] == name), None)


@dataclass(frozen=True, slots=True)
class References:
    """Names, in the route's namespace, of what it depends on and does not make."""

    services: frozenset[str]
    secrets: frozenset[str]
    claims: frozenset[str]
    slices: frozenset[str]  # Services, the route's own among them, whose EndpointSlices matter


def references(route: t.ModelRoute) -> References:
    """What the controller must read and watch for ``route``."""
    backends = route.spec.backends
    services = frozenset(b.target_ref.name for b in backends if b.target_ref)
    caches = (b.vllm.model_cache for b in backends if b.vllm and b.vllm.model_cache)
    keys = (b.external.api_key_secret_ref for b in backends if b.external)
    router = route.spec.router
    own = (router.auth.api_keys_secret_ref, router.tls and router.tls.secret_ref)
    return References(
        services=services,
        secrets=frozenset(ref.name for ref in (*keys, *own) if ref),
        claims=frozenset(c.claim_name for c in caches if c.claim_name),
        slices=services | {names.backend(route.metadata.name, b.name) for b in backends if b.vllm},
    )
