"""Counts of the hot path as plain numbers: what a backend did for a model, in one version of it.

Kept by ``metrics``, which turns them into Prometheus' families when it is asked. The event loop is the only writer, so
no count takes a lock: that is a tenth of what a counter of the client library costs.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_BOUNDS = (*map(str, SECONDS), "+Inf")
_LABELS = ["backend", "model", "version"]


class Who(NamedTuple):
    """Whose counts they are. The model is one that the route serves, or "-": never what a client wrote."""

    backend: str
    model: str
    version: str


class Buckets:
    """A histogram of seconds."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * len(_BOUNDS)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one; a value at a bound is within it, as Prometheus has it."""
        self.counts[bisect_left(SECONDS, seconds)] += 1
        self.total += seconds

    def family(self) -> list[tuple[str, float]]:
        """Bounds with the counts up to each."""
        return list(zip(_BOUNDS, accumulate(map(float, self.counts)), strict=True))


class Tally:
    """What one backend did for one model."""

    __slots__ = ("codes", "duration", "errors", "first_token", "tokens")

    def __init__(self) -> None:
        self.codes: defaultdict[int, int] = defaultdict(int)
        self.errors: defaultdict[str, int] = defaultdict(int)
        self.tokens: defaultdict[str, int] = defaultdict(int)
        self.duration = Buckets()
        self.first_token = Buckets()


def families(tallies: Iterable[tuple[Who, Tally]]) -> Iterator[Metric]:
    """All counts, for one scrape."""
    requests = _counter("requests", "Requests that were answered, by status code.", "code")
    errors = _counter("errors", "Failed tries of backends, and refusals.", "type")
    tokens = _counter("tokens", "Tokens, by kind: prompt, completion, and of those: cached, reasoning.", "kind")
    duration = _histogram("request_duration_seconds", "From a request being read to the last byte of its answer.")
    first = _histogram("time_to_first_token_seconds", "From a request being read to the first text of its stream.")
    for who, tally in tallies:
        for family, counts in ((requests, tally.codes), (errors, tally.errors), (tokens, tally.tokens)):
            for name, count in counts.items():
                family.add_metric([*who, str(name)], count)
        for histogram, buckets in ((duration, tally.duration), (first, tally.first_token)):
            if any(buckets.counts):
                histogram.add_metric(list(who), buckets.family(), buckets.total)
    yield from (requests, errors, tokens, duration, first)


def _counter(name: str, text: str, label: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"modelroute_{name}", text, labels=[*_LABELS, label])


def _histogram(name: str, text: str) -> HistogramMetricFamily:
    return HistogramMetricFamily(f"modelroute_{name}", text, labels=_LABELS)
