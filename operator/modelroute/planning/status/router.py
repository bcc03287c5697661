"""What the status says of the router, in numbers and in a sentence a person can act on.

Called by ``status``.
"""

from modelroute.api import types as t
from modelroute.api.status import RouterStatus
from modelroute.planning import names
from modelroute.planning.observed import KubeObject, Observed, Pod
from modelroute.planning.resources.drift import needs_apply
from modelroute.planning.settings import Settings
from modelroute.planning.status.acks import Acks
from modelroute.planning.status.deployments import trouble


def router_status(route: t.ModelRoute, observed: Observed, settings: Settings, acks: Acks) -> RouterStatus:
    """The router: the pods of its Deployment, or those that have one in them, or none; ``acks`` is what they say."""
    asked = route.spec.router
    if asked.mode == "None":
        return RouterStatus(revision=acks.revision)
    if asked.mode == "Sidecar":
        pods = _sidecars(observed)
        ready, desired = sum(p.ready for p in pods), len(pods)
        url = f"http://127.0.0.1:{asked.sidecar.port}/v1"
        return RouterStatus(ready, desired, acks.current, acks.revision, url)
    live = observed.child("Deployment", names.router(route.metadata.name))
    port = "" if (asked.scheme, asked.port) in (("http", 80), ("https", 443)) else f":{asked.port}"
    host = f"{names.router(route.metadata.name)}.{route.metadata.namespace}.svc.{settings.cluster_domain}"
    ready = ((live or {}).get("status") or {}).get("readyReplicas") or 0
    return RouterStatus(ready, asked.replicas, acks.current, acks.revision, f"{asked.scheme}://{host}{port}/v1")


def _sidecars(observed: Observed) -> tuple[Pod, ...]:
    """The pods with a router in them, without those that end: their work is done."""
    return tuple(p for p in observed.routers() if p.component == "sidecar" and not p.ending)


def router_trouble(route: t.ModelRoute, observed: Observed) -> str:
    """What is wrong with the router, in a sentence; empty when nothing."""
    if route.spec.router.mode == "Gateway":
        return trouble(names.router(route.metadata.name), observed)
    return min((p.trouble for p in _sidecars(observed) if p.trouble), default="")


def rolled_out(desired: KubeObject, observed: Observed) -> bool:
    """Whether all pods of the Deployment are of the version that is wanted now, and no older ones are left."""
    live = observed.child(desired["kind"], desired["metadata"]["name"])
    if live is None or needs_apply(desired, live):
        return False
    status = live.get("status") or {}
    seen = (status.get("observedGeneration") or 0) >= (live["metadata"].get("generation") or 0)
    return bool(seen and (status.get("updatedReplicas") or 0) >= (status.get("replicas") or 0))
