"""The real vLLM on the CPU, with a tiny model, as the self-hosted backend."""

import subprocess
from collections.abc import Iterator

import pytest
from openai import OpenAI

from tests.e2e.conftest import ROOT, URL, Cluster

ASK = [{"role": "user", "content": "Hello, what is a route?"}]


@pytest.fixture(scope="module")
def real(cluster: Cluster) -> Iterator[OpenAI]:
    done = subprocess.run([ROOT / "dev", "demo", "--vllm"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "the real vLLM" in done.stdout
    yield OpenAI(base_url=f"{URL}/v1", api_key="not-needed", max_retries=0, timeout=60)
    cluster.kubectl("apply", "-f", str(ROOT / "examples/quickstart.yaml"))


def ask_small(client: OpenAI, **more: object) -> object:
    for _ in range(50):
        raw = client.chat.completions.with_raw_response.create(model="chat", messages=ASK, **more)  # type: ignore[call-overload]
        if raw.headers["x-modelroute-backend"] == "small":
            found: object = raw.parse()
            return found
    pytest.fail("50 requests and none went to the backend of weight 90")


def test_it_answers(real: OpenAI) -> None:
    answer = ask_small(real, max_tokens=8)
    assert answer.usage.completion_tokens == 8  # type: ignore[attr-defined]


def test_it_streams(real: OpenAI) -> None:
    chunks = list(ask_small(real, max_tokens=8, stream=True))  # type: ignore[call-overload]
    assert chunks[-1].choices[0].finish_reason == "length"


def test_a_replica_that_nobody_asks_sleeps_and_wakes_for_a_request(real: OpenAI, cluster: Cluster) -> None:
    backends = cluster.get("-n", "demo", "mroute", "chat")["spec"]["backends"]
    small = next(b for b in backends if b["name"] == "small")
    small["scaling"] = {"minReplicas": 0, "maxReplicas": 1, "idle": {"after": "1s", "action": "Sleep"}}
    small["scaling"]["scaleDown"] = {"stabilization": "1s"}
    small["coldStart"] = {"policy": "Hold", "maxWait": "2m"}
    cluster.patch({"backends": backends})
    seen = cluster.backends
    cluster.until("a replica that may sleep", 300, lambda: "sleepingReplicas" in seen()["small"])
    ask_small(real, max_tokens=4)
    cluster.until("it sleeps", 300, lambda: slept(cluster))
    ask_small(real.with_options(timeout=120), max_tokens=4)
    cluster.until("it woke", 60, lambda: "WokeUp" in told(cluster))


def told(cluster: Cluster) -> list[str]:
    return [e["reason"] for e in cluster.get("-n", "demo", "events")["items"]]


def slept(cluster: Cluster) -> bool:
    return cluster.backends()["small"].get("sleepingReplicas") == 1 and "FellAsleep" in told(cluster)
