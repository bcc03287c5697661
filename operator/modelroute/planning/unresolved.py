"""What a route refers to, and does not make, that is not there.

Called by ``plan``. Never sees a Secret's value, only the names of its keys.
"""

from collections.abc import Iterator
from typing import NamedTuple

from modelroute.api import types as t
from modelroute.planning.observed import Observed
from modelroute.planning.references import Reference, references
from modelroute.planning.settings import Settings

HIDDEN = "SecretNotReadable"
"""The reason of a Secret that the operator may not read."""

_Problem = tuple[str, str, str]
"""Reason, path and sentence."""

_NO_PROMETHEUS = "KEDA counts by Prometheus: write its address here, or start the operator with --prometheus-url"


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
    where = f"is not in namespace {route.metadata.namespace}"
    wanted = (ref for ref in references(route) if not ref.optional)
    return tuple(Missing(ref.backend, *problem) for ref in wanted for problem in _of(ref, where, observed, settings))


def _of(ref: Reference, where: str, observed: Observed, settings: Settings) -> Iterator[_Problem]:
    if ref.kind == "Secret":
        yield from _of_secret(ref, where, observed)
    elif ref.kind == "Service":
        yield from _of_service(ref, where, observed)
    elif ref.kind == "Prometheus":
        if not (ref.name or settings.prometheus_url):
            yield "PrometheusUnknown", ref.path, _NO_PROMETHEUS
    elif ref.name not in observed.claims:
        yield "ClaimNotFound", ref.path, f'{ref.kind} "{ref.name}" {where}'


def _of_secret(ref: Reference, where: str, observed: Observed) -> Iterator[_Problem]:
    keys = observed.secrets.get(ref.name)
    if ref.name in observed.hidden:
        unknown = "so whether it has all that it needs is not known"
        yield HIDDEN, ref.path, f'the operator may not read Secret "{ref.name}", {unknown}'
    elif keys is None:
        yield "SecretNotFound", ref.path, f'Secret "{ref.name}" {where}'
    else:
        for key in (key for key in ref.keys if key not in keys):
            yield "SecretKeyNotFound", f"{ref.path}{ref.part}", f'Secret "{ref.name}" has no key "{key}"'


def _of_service(ref: Reference, where: str, observed: Observed) -> Iterator[_Problem]:
    service = observed.services.get(ref.name)
    if service is None:
        yield "ServiceNotFound", ref.path, f'Service "{ref.name}" {where}'
        return
    ports = [port["port"] for port in service["spec"].get("ports") or ()]
    if ref.port not in ports:
        there = ", ".join(str(port) for port in ports) or "none"
        problem = f'Service "{ref.name}" has no port {ref.port} (it has {there})'
        yield "ServicePortNotFound", f"{ref.path}{ref.part}", problem
