"""The counts of the hot path, as Prometheus would read them."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from modelroute.router.metrics.metrics import Metrics


def read(metrics: Metrics) -> dict[tuple[str, str], float]:
    """Samples by name and by their last label."""
    found = {}
    for family in text_string_to_metric_families(metrics.page().decode()):
        for sample in family.samples:
            label = next((v for k, v in sample.labels.items() if k in ("code", "type", "kind", "le")), "")
            found[sample.name, label] = sample.value
    return found


def test_counts_are_shown_with_whose_they_are() -> None:
    metrics = Metrics()
    tally = metrics.tally("small", "chat", "v1")
    tally.codes[200] += 2
    tally.errors["Timeout"] += 1
    tally.tokens["prompt"] += 7
    lines = metrics.page().decode().splitlines()
    shown = [line for line in lines if all(w in line for w in ('backend="small"', 'model="chat"', 'version="v1"'))]
    assert {line.split("{")[0]: line.rpartition(" ")[2] for line in shown} == {
        "modelroute_requests_total": "2.0",
        "modelroute_errors_total": "1.0",
        "modelroute_tokens_total": "7.0",
    }


def test_the_same_backend_and_model_have_the_same_counts() -> None:
    metrics = Metrics()
    assert metrics.tally("a", "m", "1") is metrics.tally("a", "m", "1")
    assert metrics.tally("a", "m", "1") is not metrics.tally("a", "m", "2")


@pytest.mark.parametrize(("seconds", "bound", "below"), [(0.05, "0.05", "0.025"), (400, "+Inf", "300.0")])
def test_a_time_is_in_its_bucket_and_in_all_above(seconds: float, bound: str, below: str) -> None:
    metrics = Metrics()
    metrics.tally("a", "m", "1").duration.observe(seconds)
    found = read(metrics)
    name = "modelroute_request_duration_seconds"
    assert (found[f"{name}_bucket", below], found[f"{name}_bucket", bound], found[f"{name}_bucket", "+Inf"]) == (
        0,
        1,
        1,
    )
    assert (found[f"{name}_count", ""], found[f"{name}_sum", ""]) == (1, seconds)


def test_a_refusal_is_nobodys() -> None:
    metrics = Metrics()
    metrics.refused("-", 404, "model_not_found")
    assert read(metrics)["modelroute_requests_total", "404"] == 1
    assert read(metrics)["modelroute_errors_total", "model_not_found"] == 1
