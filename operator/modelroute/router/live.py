"""A snapshot as this router runs it: the policy, and per backend its endpoints, key, metrics and prepared bytes.

Made by ``app`` for each new snapshot and swapped in whole; a request keeps the one that it began with. Never changes.
"""

from collections.abc import Iterator, Sequence

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from modelroute import __version__
from modelroute.policy.decide import Policy, compile_policy
from modelroute.router.clients import Clients
from modelroute.router.endpoints import Endpoint, Endpoints, least_in_flight
from modelroute.router.keys import Key, Keys
from modelroute.router.metrics import BackendMetrics, Metrics
from modelroute.router.openai import model_cards
from modelroute.snapshot.types import Backend, Snapshot

_FIXED = f"accept-encoding: identity\r\nuser-agent: modelroute/{__version__}\r\n".encode()


class Target:
    """One backend."""

    __slots__ = ("_by_model", "_metrics", "_turn", "backend", "endpoints", "key", "name")

    def __init__(self, backend: Backend, endpoints: tuple[Endpoint, ...], key: Key | None, metrics: Metrics) -> None:
        self.backend = backend
        self.name = backend.name
        self.endpoints = endpoints
        self.key = key
        self._metrics = metrics
        self._by_model: dict[str, BackendMetrics] = {}
        self._turn = 0

    @property
    def keyless(self) -> bool:
        """Whether the key that this backend needs is not there."""
        return self.key is not None and not self.key.value

    def pick(self, avoid: Sequence[Endpoint]) -> Endpoint | None:
        """The endpoint with the fewest requests in flight."""
        self._turn += 1
        return least_in_flight(self.endpoints, self._turn, avoid)

    def metrics(self, model: str) -> BackendMetrics:
        """The metrics of this backend for a model that the route serves."""
        found = self._by_model.get(model)
        if found is None:
            found = BackendMetrics(self._metrics, self.name, model, self.backend.version)
            self._by_model[model] = found
        return found

    def head(self, endpoint: Endpoint, path: str, passed: bytes, length: int) -> bytes:
        """The head of a request to ``endpoint``; ``passed`` are the header lines that come from the client."""
        return b"POST %b HTTP/1.1\r\nhost: %b\r\n%b%b%bcontent-length: %d\r\n\r\n" % (
            (self.backend.prefix + path).encode(),
            endpoint.host_header,
            _FIXED,
            self.key.header if self.key else b"",
            passed,
            length,
        )


class Route:
    """One snapshot."""

    __slots__ = ("cards", "clients", "header_names", "policy", "snapshot", "targets", "tier_header", "user_header")

    def __init__(self, policy: Policy, targets: dict[str, Target], clients: Clients | None) -> None:
        self.policy = policy
        self.clients = clients  # None: nobody needs a key
        self.snapshot: Snapshot = policy.snapshot
        self.targets = targets
        self.cards = model_cards(policy.snapshot)
        self.header_names = tuple((name.encode(), name) for name in policy.header_names)
        self.user_header = (policy.snapshot.user_header or "").encode()
        self.tier_header = (policy.snapshot.tier_header or "").encode()


class Live(Collector):
    """The route that is in force, and what outlives it. ``route`` is None until a first snapshot has come."""

    def __init__(self, metrics: Metrics, keys: Keys) -> None:
        self.route: Route | None = None
        self.endpoints = Endpoints()
        self._metrics = metrics
        self._keys = keys
        metrics.add(self)

    def swap(self, snapshot: Snapshot) -> None:
        """Put ``snapshot`` in force, whole; ValueError, and nothing changed, when it cannot be run."""
        targets = {}
        for backend in snapshot.backends:
            key = self._keys.of(backend.secret_file) if backend.secret_file else None
            targets[backend.name] = Target(backend, self.endpoints.of(backend), key, self._metrics)
        self.route = Route(compile_policy(snapshot), targets, self._keys.clients(snapshot.auth))
        self.endpoints.keep(e for t in targets.values() for e in t.endpoints)

    def collect(self) -> Iterator[Metric]:
        """The gauges, read off at each scrape rather than kept."""
        info = GaugeMetricFamily(
            "modelroute_snapshot_info", "1 for the snapshot that is in force.", labels=["revision", "generation"]
        )
        flying = GaugeMetricFamily(
            "modelroute_requests_in_flight", "Requests that a backend is answering.", labels=["backend"]
        )
        if self.route is not None:
            info.add_metric([self.route.snapshot.revision, str(self.route.snapshot.generation)], 1)
            for target in self.route.targets.values():
                flying.add_metric([target.name], sum(e.in_flight for e in target.endpoints))
        yield info
        yield flying
