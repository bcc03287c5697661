"""Which addresses of each backend can answer now, from EndpointSlices.

Called by ``plan``. Pods, not Services: the routers balance over replicas themselves. A replica that is about to go or
to sleep is left out though it could answer: that is how routers let go of it.
"""

from collections.abc import Collection

from modelroute.api import types as t
from modelroute.planning import names
from modelroute.planning.observed import KubeObject, Observed, Slice


def endpoints_of(route: t.ModelRoute, observed: Observed, unusable: Collection[str]) -> dict[str, tuple[str, ...]]:
    """``host:port`` of what is ready, by backend, sorted.

    An external backend is not in it, unless it is one of the ``unusable``, which get no request at all.
    """
    found: dict[str, tuple[str, ...]] = {}
    for backend in route.spec.backends:
        own = names.backend(route.metadata.name, backend.name)
        if backend.name in unusable:
            found[backend.name] = ()
        elif backend.target_ref:
            found[backend.name] = _behind(backend.target_ref, observed)
        elif backend.vllm and f"Service/{own}" not in observed.foreign:
            found[backend.name] = _ready(observed.slices.get(own, ()), "http", _resting(observed, backend.name))
    return found


def _behind(ref: t.TargetRef, observed: Observed) -> tuple[str, ...]:
    service = observed.services[ref.name]
    port = next(p for p in service["spec"]["ports"] if p["port"] == ref.port)
    return _ready(observed.slices.get(ref.name, ()), port.get("name") or "")


def _resting(observed: Observed, backend: str) -> frozenset[str]:
    """Names and addresses of the replicas that get no requests: marked, or asleep as they say themselves."""
    asleep = {name for name, engine in observed.engines.items() if engine.sleeping}
    alive = [p for p in observed.replicas(backend) if not p.ending]
    pods = [p for p in alive if p.marked or p.name in asleep]
    return frozenset(text for p in pods for text in (p.name, p.address) if text)


def _ready(slices: tuple[Slice, ...], port_name: str, resting: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """The ready addresses of one family: a dual-stack pod is in one slice of each, and is one replica."""
    for family in ("IPv4", "IPv6"):
        addresses = {
            f"[{address}]:{port}" if family == "IPv6" else f"{address}:{port}"
            for piece in slices
            if piece.family == family
            for name, port in piece.ports
            if name == port_name
            for address, pod in piece.endpoints
            if (pod or address) not in resting
        }
        if addresses:
            return tuple(sorted(addresses))
    return ()


def slice_of(live: KubeObject) -> Slice:
    """What matters of an EndpointSlice ``live``: a cluster may have tens of thousands, which change often."""
    ports = ((port.get("name") or "", port.get("port")) for port in live.get("ports") or ())
    able = filter(_can_answer, live.get("endpoints") or ())
    endpoints = ((e["addresses"][0], (e.get("targetRef") or {}).get("name", "")) for e in able)
    return Slice(live["addressType"], tuple((name, number) for name, number in ports if number), tuple(endpoints))


def _can_answer(endpoint: KubeObject) -> bool:
    conditions = endpoint.get("conditions") or {}
    # A Service may publish addresses that are not ready; what is ending must get nothing new either way.
    return conditions.get("ready") is not False and conditions.get("terminating") is not True
