"""The route that is in force, made of a snapshot, and what outlives it: replicas, gates, troubles, the retry budget.

Fed by ``app`` with each new snapshot, which is swapped in whole; a request keeps the one that it began with.
Never opens a connection and never chooses a backend.
"""

import asyncio
import logging
import math
import time
from collections.abc import Iterator, Mapping

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from modelroute.policy.decide import Policy, compile_policy
from modelroute.policy.facts import Trouble
from modelroute.policy.retry import Budget
from modelroute.router.clients.clients import Clients
from modelroute.router.clients.keys import Keys
from modelroute.router.metrics.metrics import Metrics
from modelroute.router.replicas import gauges
from modelroute.router.replicas.endpoints import Endpoint, Endpoints
from modelroute.router.replicas.gate import Gate
from modelroute.router.replicas.target import Target
from modelroute.router.surface.openai import model_cards
from modelroute.snapshot.types import Snapshot

log = logging.getLogger(__name__)


class Route:
    """One snapshot. ``troubles`` are those of the moment, not of the snapshot."""

    __slots__ = (
        "cards", "clients", "header_names", "policy", "snapshot", "targets", "tier_header", "troubles", "user_header",
    )  # fmt: skip

    def __init__(
        self, policy: Policy, targets: dict[str, Target], clients: Clients | None, troubles: Mapping[str, Trouble]
    ) -> None:
        self.policy = policy
        self.clients = clients  # None: nobody needs a key
        self.snapshot: Snapshot = policy.snapshot
        self.targets = targets
        self.troubles = troubles
        self.cards = model_cards(policy.snapshot)
        self.header_names = tuple((name.encode(), name) for name in policy.header_names)
        self.user_header = (policy.snapshot.user_header or "").encode()
        self.tier_header = (policy.snapshot.tier_header or "").encode()


class Live(Collector):
    """What is in force. ``route`` is None until a first snapshot has come."""

    def __init__(self, metrics: Metrics, keys: Keys) -> None:
        self.route: Route | None = None
        self.endpoints = Endpoints(self._changed)
        self.budget = Budget()
        self._gates: dict[str, Gate] = {}
        self._troubles: dict[str, Trouble] = {}
        self._metrics = metrics
        self._keys = keys
        self._loop = asyncio.get_running_loop()
        metrics.add(self)

    def swap(self, snapshot: Snapshot) -> None:
        """Put ``snapshot`` in force, whole; ValueError, and nothing changed, when it cannot be run."""
        endpoints = {b.name: self.endpoints.of(b) for b in snapshot.backends}
        keys = {b.name: self._keys.of(b.secret_file) for b in snapshot.backends if b.secret_file}
        policy, clients = compile_policy(snapshot), self._keys.clients(snapshot.auth)
        targets = {
            b.name: Target(b, endpoints[b.name], keys.get(b.name), self._gate(b.name), self._metrics)
            for b in snapshot.backends
        }
        first = self.route is None
        for name, before in self.route.targets.items() if self.route is not None else ():
            if name in targets:
                targets[name].follow(before)
        self.route = Route(policy, targets, clients, self._troubles)
        self.endpoints.keep(e for t in targets.values() for e in t.endpoints)
        now = self._loop.time()
        for target in targets.values():
            # All replicas are new to a router that has just begun; none of them is to be spared for that.
            target.take_over(now, time.time(), -math.inf if first else now)
        for name in self._gates.keys() - targets.keys():
            self._gates[name].close()
            if not self._gates[name].in_flight:
                del self._gates[name]

    def latest(self, target: Target) -> Target | None:
        """``target`` by the snapshot that is in force; None: a request that waited for it may go there no more.

        That is where it has come to be External: the request may be one that must not leave.
        """
        found = self.route.targets.get(target.name) if self.route is not None else None
        same = found is not None and found.backend.data_policy == target.backend.data_policy
        return found if same else None

    def _gate(self, name: str) -> Gate:
        gate = self._gates.get(name)
        if gate is None:
            gate = self._gates[name] = Gate(name, self._troubles, self._loop)
        return gate

    def _changed(self, endpoint: Endpoint) -> None:
        """A replica was ejected or is back."""
        state = "is ejected" if endpoint.vitals.ejected else "is back"
        log.warning("replica %s %s", endpoint.name, state)
        for target in self.route.targets.values() if self.route is not None else ():
            if endpoint in target.endpoints:
                if endpoint.vitals.ejected:
                    self._metrics.ejections.labels(target.name).inc()
                target.refresh()

    def collect(self) -> Iterator[Metric]:
        """The gauges, read off at each scrape rather than kept."""
        if self.route is not None:
            yield from gauges.read_off(self.route.snapshot, self.route.targets)
            if self.route.clients is not None:
                yield from gauges.keys_read_off(self.route.clients)
