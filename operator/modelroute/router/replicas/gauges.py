"""What gates and replicas know of each backend, for Prometheus and for /status: read off when asked for, never kept.

Called by ``live`` at each scrape and by ``service`` for the admin port. Labels name the route and backends, never
replicas or users.
"""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from modelroute.router.clients.clients import Clients
from modelroute.router.replicas.endpoints import Endpoint
from modelroute.router.replicas.target import Target
from modelroute.snapshot.types import Snapshot

_PER_BACKEND: dict[str, tuple[str, Callable[[Target], int]]] = {
    "requests_in_flight": ("Requests that a backend is answering.", lambda t: t.gate.in_flight),
    "requests_waiting": ("Requests that wait for a backend, for a start or for their turn.", lambda t: t.gate.waiting),
    "replicas": ("Replicas of a backend that this router knows.", lambda t: len(t.endpoints)),
    "replicas_ejected": ("Replicas of a backend that are out.", lambda t: sum(e.vitals.ejected for e in t.endpoints)),
    "backend_in_trouble": ("1 while a backend takes no requests.", lambda t: int(t.gate.trouble is not None)),
}
_LABELS = ["route", "backend"]
"""Backends of two routes may have one name, and an autoscaler asks for those of one."""


def read_off(snapshot: Snapshot, targets: Mapping[str, Target]) -> Iterator[Metric]:
    """All that there is to tell of the route that is in force."""
    info = GaugeMetricFamily(
        "modelroute_snapshot_info", "1 for the snapshot that is in force.", labels=["revision", "generation"]
    )
    info.add_metric([snapshot.revision, str(snapshot.generation)], 1)
    yield info
    for name, (text, value) in _PER_BACKEND.items():
        family = GaugeMetricFamily(f"modelroute_{name}", text, labels=_LABELS)
        for target in targets.values():
            family.add_metric([snapshot.name, target.name], value(target))
        yield family
    cold = CounterMetricFamily(
        "modelroute_requests_cold",
        "Requests that met no replica of the backend they were meant for.",
        labels=_LABELS,
    )
    for target in targets.values():
        cold.add_metric([snapshot.name, target.name], target.gate.cold)
    yield cold


def keys_read_off(clients: Clients) -> Iterator[Metric]:
    """What there is to know of clients' keys."""
    yield GaugeMetricFamily("modelroute_client_keys", "API keys of clients that are in force.", len(clients))
    refused = "1 while the file of API keys cannot be used, and the last good one stays."
    yield GaugeMetricFamily("modelroute_client_keys_refused", refused, int(clients.problem is not None))


def described(target: Target, now: float) -> dict[str, object]:
    """One backend for /status: what is the matter with it, and with which replica. ``now`` on the loop's clock.

    A replica that is to get nothing more is told of while it answers: the operator waits for that.
    """
    trouble = target.gate.trouble
    return {
        "name": target.name,
        "inFlight": target.gate.in_flight,
        "waiting": target.gate.waiting,
        "requests": target.gate.requests,
        "cold": target.gate.cold,
        "quietSeconds": round(target.gate.quiet_for(now), 1),
        "trouble": trouble.kind if trouble else None,
        "replicas": [
            *(_replica(e, now) for e in target.endpoints),
            *(_replica(e, now) | {"leaving": True} for e in target.left if e.in_flight),
        ],
    }


def _replica(endpoint: Endpoint, now: float) -> dict[str, object]:
    vitals = endpoint.vitals
    return {
        "address": endpoint.name,
        "inFlight": endpoint.in_flight,
        "ejected": vitals.ejected,
        "ejectedSeconds": round(max(vitals.ejected_until - now, 0.0), 1) if vitals.ejected else 0.0,
    }
