"""Who may reach the pods of a route: NetworkPolicies for its replicas and for its router.

Called by ``plan``, where the installation wants them. Replicas are reached by routers, by the operator and by what
scrapes metrics. A policy knows ports and no paths: replicas that may sleep, which serve vLLM's development paths, are
reached by routers, which forward none of them, and by the operator alone; by pods with a router in them where that is
the route's mode. Never restricts whom a pod calls: weights and hosted APIs can be anywhere. See docs/adr/0026.
"""

from collections.abc import Iterator
from typing import Any

from modelroute.api import podchecks
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
    sleepers = [b.name for b in route.spec.backends if b.vllm and replica.may_sleep(b)]
    # Every router of the namespace: a backend of another ModelRoute may be this one's Service.
    routers: KubeObject = {"podSelector": {"matchLabels": {names.COMPONENT_LABEL: "router", **_MANAGED}}}
    if any(backend.vllm and backend.name not in sleepers for backend in route.spec.backends):
        sidecar = [{"key": names.SIDECAR_LABEL, "operator": "Exists"}]
        asking = [routers, {"podSelector": {"matchExpressions": sidecar}}, *_watching(settings)]
        others = [_one_of("NotIn", sleepers)] if sleepers else []
        yield _of_replicas(route, names.backends_policy(name), others, asking)
    if sleepers:
        own: KubeObject = {"podSelector": {"matchLabels": {names.SIDECAR_LABEL: name}}}
        asking = [routers, *([own] if route.spec.router.mode == "Sidecar" else []), _operator(settings)]
        yield _of_replicas(route, names.sleepers_policy(name), [_one_of("In", sleepers)], asking)
    if route.spec.router.mode == "Gateway":
        rules = [_ingress(router.HTTP_PORT), _ingress(router.ADMIN_PORT, _watching(settings))]
        yield _policy(route, names.router(name), names.router_selector(name), rules)


_MANAGED = {names.MANAGED_LABEL: names.MANAGER}


def _operator(settings: Settings) -> KubeObject:
    return {"namespaceSelector": _named(settings.operator_namespace), "podSelector": {"matchLabels": _OPERATOR}}


def _watching(settings: Settings) -> list[KubeObject]:
    """The operator, and what scrapes metrics."""
    found = [_operator(settings)]
    if settings.monitoring_namespace:
        found.append({"namespaceSelector": _named(settings.monitoring_namespace)})
    return found


def _named(namespace: str) -> KubeObject:
    return {"matchLabels": {"kubernetes.io/metadata.name": namespace}}


def _ingress(port: int, sources: list[KubeObject] | None = None) -> KubeObject:
    """Who may come to ``port``; without ``sources`` everybody."""
    return {"ports": [{"port": port, "protocol": "TCP"}], **({"from": sources} if sources else {})}


def _one_of(operator: str, backends: list[str]) -> KubeObject:
    return {"key": names.BACKEND_LABEL, "operator": operator, "values": backends}


def _of_replicas(route: t.ModelRoute, name: str, which: list[KubeObject], asking: list[KubeObject]) -> KubeObject:
    selector = {names.ROUTE_LABEL: route.metadata.name, names.COMPONENT_LABEL: "backend"}
    return _policy(route, name, selector, [_ingress(podchecks.PORT, asking)], which)


def _policy(
    route: t.ModelRoute, name: str, selector: dict[str, str], ingress: list[Any], which: list[Any] | None = None
) -> KubeObject:
    """For the pods that ``selector`` picks, of them those that ``which`` expressions hold of."""
    picked = {"matchLabels": selector, "matchExpressions": which}
    spec = {"podSelector": picked, "policyTypes": ["Ingress"], "ingress": ingress}
    return objects.child("NetworkPolicy", name, route.metadata, selector, {"spec": spec})
