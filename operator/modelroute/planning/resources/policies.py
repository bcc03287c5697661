"""Who may reach the pods of a route: NetworkPolicies for its replicas and for its router.

Called by ``plan``, where the installation wants them. Replicas are reached by routers and the operator alone, their
development paths with the rest. Never restricts whom a pod calls: weights and hosted APIs can be anywhere.
"""

from collections.abc import Iterator
from typing import Any

from modelroute.api import types as t
from modelroute.planning import names
from modelroute.planning.observed import KubeObject
from modelroute.planning.resources import objects, replica, router
from modelroute.planning.settings import Settings

_OPERATOR = {"app.kubernetes.io/name": "modelroute", "app.kubernetes.io/component": "operator"}


def policies(route: t.ModelRoute, settings: Settings) -> Iterator[KubeObject]:
    """The route's policies; none where the installation wants none."""
    if not settings.network_policies:
        return
    name = route.metadata.name
    if any(backend.vllm for backend in route.spec.backends):
        selector = {names.ROUTE_LABEL: name, names.COMPONENT_LABEL: "backend"}
        # Every router of the namespace: a backend of another ModelRoute may be this one's Service.
        routers = {"podSelector": {"matchLabels": {names.COMPONENT_LABEL: "router", **_MANAGED}}}
        sidecar = [{"key": names.SIDECAR_LABEL, "operator": "Exists"}]
        asking: list[KubeObject] = [routers, {"podSelector": {"matchExpressions": sidecar}}, *_watching(settings)]
        yield _policy(route, names.backends_policy(name), selector, [_ingress(replica.PORT, asking)])
    if route.spec.router.mode == "Gateway":
        rules = [_ingress(router.HTTP_PORT), _ingress(router.ADMIN_PORT, _watching(settings))]
        yield _policy(route, names.router(name), names.router_selector(name), rules)


_MANAGED = {names.MANAGED_LABEL: names.MANAGER}


def _watching(settings: Settings) -> list[KubeObject]:
    """The operator, and what scrapes metrics."""
    found = [{"namespaceSelector": _named(settings.operator_namespace), "podSelector": {"matchLabels": _OPERATOR}}]
    if settings.monitoring_namespace:
        found.append({"namespaceSelector": _named(settings.monitoring_namespace)})
    return found


def _named(namespace: str) -> KubeObject:
    return {"matchLabels": {"kubernetes.io/metadata.name": namespace}}


def _ingress(port: int, sources: list[KubeObject] | None = None) -> KubeObject:
    """Who may come to ``port``; without ``sources`` everybody."""
    return {"ports": [{"port": port, "protocol": "TCP"}], **({"from": sources} if sources else {})}


def _policy(route: t.ModelRoute, name: str, selector: dict[str, str], ingress: list[Any]) -> KubeObject:
    spec = {"podSelector": {"matchLabels": selector}, "policyTypes": ["Ingress"], "ingress": ingress}
    return objects.child("NetworkPolicy", name, route.metadata, selector, {"spec": spec})
