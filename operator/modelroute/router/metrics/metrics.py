"""What this router counts, for Prometheus. What every request counts is in ``tally``, what is rare here.

Called by ``service``, ``delivery`` and ``live``; ``admin`` shows it. Labels hold no text of clients: a model is one
that the route serves, or "-".

Tokens are those of an answer's ``usage``; a stream that tells of none has its events with text counted as completion
tokens, which is at most the true number.
"""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, disable_created_metrics
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from modelroute.router.metrics.tally import Tally, Who, families

disable_created_metrics()  # type: ignore[no-untyped-call]

NOBODY = "-"


class Metrics(Collector):
    """The metrics of one router."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        self._tallies: dict[Who, Tally] = {}
        self.fallbacks = Counter(
            "modelroute_fallbacks",
            "Requests that another backend took over, by the failure.",
            ["from", "to", "reason"],
            registry=registry,
        )
        self.retries = Counter(
            "modelroute_retries",
            "Tries after the first at the same backend, by the failure before.",
            ["backend", "reason"],
            registry=registry,
        )
        self.ejections = Counter(
            "modelroute_ejections", "Times that a replica was taken out.", ["backend"], registry=registry
        )
        self.certificates = Counter(
            "modelroute_certificates_refused",
            "Connections to backends whose certificate was not right, by what is wrong with it.",
            ["backend", "reason"],
            registry=registry,
        )
        self.snapshots_refused = Counter(
            "modelroute_snapshot_refused", "Snapshots that were not taken up.", registry=registry
        )

    def add(self, collector: Collector) -> None:
        """Show what ``collector`` tells at each scrape, too."""
        self.registry.register(collector)

    def page(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def tally(self, backend: str, model: str, version: str) -> Tally:
        """The counts of one backend for one model; the same ones each time."""
        who = Who(backend, model, version)
        found = self._tallies.get(who)
        if found is None:
            found = self._tallies[who] = Tally()
        return found

    def refused(self, model: str, code: int, reason: str) -> None:
        """Count a request that no backend was asked for."""
        tally = self.tally(NOBODY, model, NOBODY)
        tally.codes[code] += 1
        tally.errors[reason] += 1

    def collect(self) -> Iterator[Metric]:
        """The counts of the hot path."""
        return families(self._tallies.items())
