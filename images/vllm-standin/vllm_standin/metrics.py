"""The Prometheus metrics of vLLM 0.32 that routers and autoscalers read, under the same names and labels.

`engine` counts into one `Metrics`; `api` renders it for `/metrics`. Durations are seconds, lengths are tokens. What a
real server has beyond these (caches, flops, LoRA, ...) is left out rather than shown as a constant.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping

_SHORT = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640)
_GAPS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80)
_LONG = (0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680)
_HISTOGRAMS: dict[str, tuple[tuple[float, ...], str]] = {
    "time_to_first_token_seconds": ((*_SHORT, 2560), "Histogram of time to first token in seconds."),
    "inter_token_latency_seconds": (_GAPS, "Histogram of inter-token latency in seconds."),
    "e2e_request_latency_seconds": (_LONG, "Histogram of e2e request latency in seconds."),
    "request_queue_time_seconds": (_LONG, "Histogram of time spent in WAITING phase for request."),
    "request_prompt_tokens": ((), "Number of prefill tokens processed."),
    "request_generation_tokens": ((), "Number of generation tokens processed."),
}
FINISHED = ("stop", "length", "abort", "error", "repetition")
CONTENT_TYPE = "text/plain; version=1.0.0; charset=utf-8"


class Histogram:
    """Counts of what was observed, by upper bound."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def lines(self, name: str, labels: str) -> Iterator[str]:
        """The samples of the text format; `labels` are those before `le`."""
        total = 0
        for bound, count in zip((*self.bounds, None), self.counts, strict=True):
            total += count
            le = "+Inf" if bound is None else repr(float(bound))
            yield f'{name}_bucket{{{labels},le="{le}"}} {float(total)}'
        yield f"{name}_count{{{labels}}} {float(total)}"
        yield f"{name}_sum{{{labels}}} {self.sum}"


class Metrics:
    """All counters and histograms of one server; `model_name` is its first served name."""

    def __init__(self, model_name: str, max_model_len: int) -> None:
        escaped = model_name.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
        self._model = f'model_name="{escaped}"'
        self._labels = f'engine="0",{self._model}'
        lengths = tuple(
            m * 10**e for e in range(len(str(max_model_len))) for m in (1, 2, 5) if m * 10**e <= max_model_len
        )
        self.histograms = {n: Histogram(bounds or lengths) for n, (bounds, _) in _HISTOGRAMS.items()}
        self.prompt_tokens = 0
        self.generation_tokens = 0
        self.rejected = 0
        self.finished: Counter[str] = Counter()
        self.http: Counter[tuple[str, str, str]] = Counter()

    def observe(self, name: str, value: float) -> None:
        """Count a value into the histogram of this name (without its `vllm:`)."""
        self.histograms[name].observe(value)

    def render(self, gauges: Mapping[str, float], sleep_level: int) -> str:
        """The whole page; `gauges` are the engine's present numbers by metric name."""
        return "\n".join([*self._engine_lines(gauges, sleep_level), *self._http_lines(), ""])

    def _engine_lines(self, gauges: Mapping[str, float], sleep_level: int) -> Iterator[str]:
        for name, value in gauges.items():
            yield from _header(f"vllm:{name}", "gauge")
            yield f"vllm:{name}{{{self._labels}}} {float(value)}"
        yield from _header("vllm:num_requests_waiting_by_reason", "gauge")
        for reason, value in (("capacity", gauges["num_requests_waiting"]), ("deferred", 0)):
            yield f'vllm:num_requests_waiting_by_reason{{{self._labels},reason="{reason}"}} {float(value)}'
        yield from _header("vllm:engine_sleep_state", "gauge")
        for level, state in enumerate(("awake", "weights_offloaded", "discard_all")):
            yield f'vllm:engine_sleep_state{{{self._labels},sleep_state="{state}"}} {float(level == sleep_level)}'
        for name, value in (
            ("prompt_tokens", self.prompt_tokens),
            ("generation_tokens", self.generation_tokens),
            ("num_preemptions", 0),
        ):
            yield from _header(f"vllm:{name}_total", "counter")
            yield f"vllm:{name}_total{{{self._labels}}} {float(value)}"
        yield from _header("vllm:request_success_total", "counter")
        for reason in FINISHED:
            count = self.finished[reason]
            yield f'vllm:request_success_total{{engine="0",finished_reason="{reason}",{self._model}}} {float(count)}'
        yield from _header("vllm:admission_rejections_total", "counter")
        for reason, count in (("max_num_queued_reqs", self.rejected), ("max_num_queued_tokens", 0)):
            yield f'vllm:admission_rejections_total{{{self._model},reason="{reason}"}} {float(count)}'
        for name, histogram in self.histograms.items():
            yield from _header(f"vllm:{name}", "histogram", _HISTOGRAMS[name][1])
            yield from histogram.lines(f"vllm:{name}", self._labels)

    def _http_lines(self) -> Iterator[str]:
        yield from _header("http_requests_total", "counter", "Total number of requests by method, status and handler.")
        for (handler, method, status), count in self.http.items():
            yield f'http_requests_total{{handler="{handler}",method="{method}",status="{status}"}} {float(count)}'


def _header(name: str, kind: str, text: str = "") -> Iterator[str]:
    yield f"# HELP {name} {text or name.removeprefix('vllm:').replace('_', ' ').capitalize() + '.'}"
    yield f"# TYPE {name} {kind}"
