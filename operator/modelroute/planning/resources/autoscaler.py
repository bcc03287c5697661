"""The autoscaler of a backend whose replicas are not ours to count: a HorizontalPodAutoscaler, or KEDA's ScaledObject.

Called by ``plan``. Both get the floor as their least, so that schedules hold for them too. Never sets a number.
"""

import math
from collections.abc import Iterator

from modelroute.api import types as t
from modelroute.api.scalars import seconds
from modelroute.planning import names
from modelroute.planning.observed import KubeObject
from modelroute.planning.resources import objects
from modelroute.planning.settings import Settings

_METRIC = "vllm_num_requests_running"
_POLLING_SECONDS = 5
"""How often KEDA asks whether a first replica is wanted; its own default makes a request wait half a minute."""
_COLD_WINDOW = "3m"
"""What Prometheus counts in it takes two samples at least: one a minute is its default."""
_COLD_WEIGHT = 0.01
"""Of a request: what is more than nothing starts a first replica, and this little changes no number of them."""
_GONE_SECONDS = 600
"""What routers that went are remembered for, beyond the time after which fewer replicas are enough: a few looks."""


def autoscalers(route: t.ModelRoute, backend: t.Backend, floor: int, settings: Settings) -> Iterator[KubeObject]:
    """The backend's autoscaler, where it has one. ScaledObjects need to know where Prometheus is."""
    if backend.scaling.engine == "HPA":
        yield _horizontal(route, backend, floor)
    address = backend.scaling.server_address or settings.prometheus_url
    if backend.scaling.engine == "KEDA" and address:
        yield _scaled_object(route, backend, floor, address)


def _horizontal(route: t.ModelRoute, backend: t.Backend, floor: int) -> KubeObject:
    scaling = backend.scaling
    target = {"type": "AverageValue", "averageValue": str(scaling.target_in_flight)}
    pods = {"metric": {"name": scaling.metric or _METRIC}, "target": target}
    name = names.backend(route.metadata.name, backend.name)
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "minReplicas": max(floor, 1),
        "maxReplicas": max(floor, scaling.most, 1),
        "metrics": [{"type": "Pods", "pods": pods}],
        "behavior": _behavior(scaling),
    }
    return _child("HorizontalPodAutoscaler", route, backend, spec)


def _scaled_object(route: t.ModelRoute, backend: t.Backend, floor: int, address: str) -> KubeObject:
    scaling = backend.scaling
    to_zero = scaling.idle.action == "ScaleToZero"
    trigger = {
        "serverAddress": address,
        "query": _query(route, backend),
        "threshold": str(scaling.target_in_flight),
        "ignoreNullValues": "false",  # no answer is an error, by which no number is changed
    }
    spec = {
        "scaleTargetRef": {"name": names.backend(route.metadata.name, backend.name)},
        "minReplicaCount": floor if to_zero else max(floor, 1),
        "maxReplicaCount": max(floor, scaling.most, 1),
        "pollingInterval": _POLLING_SECONDS,
        "cooldownPeriod": math.ceil(seconds(scaling.idle.after)),
        "advanced": {"horizontalPodAutoscalerConfig": {"behavior": _behavior(scaling)}},
        "triggers": [{"type": "prometheus", "metadata": trigger}],
    }
    return _child("ScaledObject", route, backend, spec)


def _query(route: t.ModelRoute, backend: t.Backend) -> str:
    """What all routers of the route have in flight and waiting for the backend; no answer where none is scraped.

    Each tells of every backend from its start, 0 as well: who says nothing is not asked, and no load is made of that.
    At zero replicas others may answer at once, and nothing waits: then those that came for the backend count a little.
    Routers in pods of others go with these, and have nothing then; but those that Prometheus fails to reach may.
    """
    of = f'namespace="{route.metadata.namespace}",route="{route.metadata.name}",backend="{backend.name}"'
    in_flight, waiting = (f"modelroute_requests_{what}{{{of}}}" for what in ("in_flight", "waiting"))
    # Empty until it was scraped twice.
    cold = f"sum(increase(modelroute_requests_cold_total{{{of}}}[{_COLD_WINDOW}])) or vector(0)"
    told = f"sum({in_flight}) + sum({waiting}) + clamp_max({cold}, {_COLD_WEIGHT})"
    if route.spec.router.mode == "Gateway":
        return told
    waits = max(seconds(backend.scaling.idle.after), seconds(backend.scaling.scale_down.stabilization))
    known = f"last_over_time({in_flight}[{math.ceil(waits) + _GONE_SECONDS}s])"
    return f"{told} or 0 * sum({known} unless on (namespace, pod) up == 0)"


def _behavior(scaling: t.Scaling) -> KubeObject:
    return {
        "scaleUp": {"stabilizationWindowSeconds": math.ceil(seconds(scaling.scale_up.stabilization))},
        "scaleDown": {"stabilizationWindowSeconds": math.ceil(seconds(scaling.scale_down.stabilization))},
    }


def _child(kind: str, route: t.ModelRoute, backend: t.Backend, spec: KubeObject) -> KubeObject:
    selector = names.backend_selector(route.metadata.name, backend.name)
    name = names.backend(route.metadata.name, backend.name)
    return objects.child(kind, name, route.metadata, selector, {"spec": spec})
