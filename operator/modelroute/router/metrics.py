"""What this router counts, for Prometheus. Metrics of a backend are looked up once and kept by ``live``.

Called by ``exchange`` and ``service``; ``admin`` shows it. Labels hold no text of clients: a model is one that the
route serves, or "-".

Tokens are those of an answer's ``usage``; a stream that tells of none has its events with text counted as completion
tokens, which is at most the true number.
"""

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

disable_created_metrics()  # type: ignore[no-untyped-call]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_WHO = ["backend", "model", "version"]
NOBODY = "-"


class Metrics:
    """The metrics of one router."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry(auto_describe=False)
        self._refused: dict[tuple[str, int, str], tuple[Counter, Counter]] = {}
        self.requests = Counter(
            "modelroute_requests", "Requests that were answered, by status code.", [*_WHO, "code"], registry=registry
        )
        self.errors = Counter(
            "modelroute_errors", "Failed tries of backends, and refusals.", [*_WHO, "type"], registry=registry
        )
        self.duration = Histogram(
            "modelroute_request_duration_seconds",
            "From a request being read to the last byte of its answer.",
            _WHO,
            buckets=_SECONDS,
            registry=registry,
        )
        self.first_token = Histogram(
            "modelroute_time_to_first_token_seconds",
            "From a request being read to the first text of its streamed answer.",
            _WHO,
            buckets=_SECONDS,
            registry=registry,
        )
        self.tokens = Counter(
            "modelroute_tokens", "Tokens, by kind: prompt or completion.", [*_WHO, "kind"], registry=registry
        )
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

    def refused(self, model: str, code: int, reason: str) -> None:
        """Count a request that no backend was asked for; cheap, since strangers can make many of them."""
        counters = self._refused.get((model, code, reason))
        if counters is None:
            counters = self._refused[model, code, reason] = (
                self.requests.labels(NOBODY, model, NOBODY, str(code)),
                self.errors.labels(NOBODY, model, NOBODY, reason),
            )
        for counter in counters:
            counter.inc()


class BackendMetrics:
    """The metrics of one backend for one model."""

    __slots__ = (
        "_codes",
        "_errors",
        "_metrics",
        "_who",
        "completion_tokens",
        "duration",
        "first_token",
        "prompt_tokens",
    )

    def __init__(self, metrics: Metrics, backend: str, model: str, version: str) -> None:
        self._metrics = metrics
        self._who = (backend, model, version)
        self._codes: dict[int, Counter] = {}
        self._errors: dict[str, Counter] = {}
        self.duration = metrics.duration.labels(*self._who)
        self.first_token = metrics.first_token.labels(*self._who)
        self.prompt_tokens = metrics.tokens.labels(*self._who, "prompt")
        self.completion_tokens = metrics.tokens.labels(*self._who, "completion")

    def answered(self, code: int) -> None:
        """Count an answer."""
        counter = self._codes.get(code)
        if counter is None:
            counter = self._codes[code] = self._metrics.requests.labels(*self._who, str(code))
        counter.inc()

    def failed(self, kind: str) -> None:
        """Count a failed try."""
        counter = self._errors.get(kind)
        if counter is None:
            counter = self._errors[kind] = self._metrics.errors.labels(*self._who, kind)
        counter.inc()
