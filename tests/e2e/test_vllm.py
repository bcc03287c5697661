"""The real vLLM on the CPU, with a tiny model, as the self-hosted backend."""

import base64
import json
import struct
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


TO_THE_END = {"ignore_eos": True}
"""The tiny model says anything, the end of its answer too."""


def ask_small(client: OpenAI, **more: object) -> object:
    for _ in range(50):
        raw = client.chat.completions.with_raw_response.create(model="chat", messages=ASK, **more)  # type: ignore[call-overload]
        if raw.headers["x-modelroute-backend"] == "small":
            found: object = raw.parse()
            return found
    pytest.fail("50 requests and none went to the backend of weight 90")


def test_it_answers(real: OpenAI) -> None:
    answer = ask_small(real, max_tokens=8, extra_body=TO_THE_END)
    assert answer.usage.completion_tokens == 8  # type: ignore[attr-defined]


def test_it_streams(real: OpenAI) -> None:
    chunks = list(ask_small(real, max_tokens=8, stream=True, extra_body=TO_THE_END))  # type: ignore[call-overload]
    assert chunks[-1].choices[0].finish_reason == "length"


def adapter() -> dict[str, object]:
    """A LoRA adapter for the tiny model, as files in a ConfigMap."""
    rank, hidden, tensors, weights = 2, 64, {}, b""
    for layer in range(2):
        for part, shape in (("A", (rank, hidden)), ("B", (hidden, rank))):
            name = f"base_model.model.model.layers.{layer}.self_attn.q_proj.lora_{part}.weight"
            piece = struct.pack(f"<{rank * hidden}f", *[0.5] * rank * hidden)
            ends = [len(weights), len(weights) + len(piece)]
            tensors[name] = {"dtype": "F32", "shape": shape, "data_offsets": ends}
            weights += piece
    head = json.dumps(tensors).encode()
    file = base64.b64encode(struct.pack("<Q", len(head)) + head + weights).decode()
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": 8, "target_modules": ["q_proj"], "bias": "none"}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "adapter", "namespace": "demo"},
        "data": {"adapter_config.json": json.dumps(config)},
        "binaryData": {"adapter_model.safetensors": file},
    }


@pytest.fixture(scope="module")
def special(real: OpenAI, cluster: Cluster) -> OpenAI:
    """It answers by an adapter, and may sleep: both at once, since a start of the real vLLM takes long."""
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(adapter()))
    backends = cluster.get("-n", "demo", "mroute", "chat")["spec"]["backends"]
    small = next(b for b in backends if b["name"] == "small")
    small["scaling"] = {"minReplicas": 0, "maxReplicas": 1, "idle": {"after": "1s", "action": "Sleep"}}
    small["scaling"]["scaleDown"] = {"stabilization": "1s"}
    small["coldStart"] = {"policy": "Hold", "maxWait": "2m"}
    small["model"] = "sql"
    small["vllm"]["loraAdapters"] = [{"name": "sql", "source": "/adapter"}]
    mounted = {"name": "vllm", "volumeMounts": [{"name": "adapter", "mountPath": "/adapter"}]}
    volume = {"name": "adapter", "configMap": {"name": "adapter"}}
    small["vllm"]["template"] = {"spec": {"volumes": [volume], "containers": [mounted]}}
    cluster.patch({"backends": backends})
    cluster.until("it may sleep", 60, lambda: "sleepingReplicas" in cluster.backends()["small"])
    cluster.kubectl("-n", "demo", "rollout", "status", "deployment/chat--small", "--timeout=300s")
    return real


def test_it_answers_by_an_adapter(special: OpenAI) -> None:
    assert ask_small(special.with_options(timeout=120), max_tokens=4).model == "sql"  # type: ignore[attr-defined]


def test_a_replica_that_nobody_asks_sleeps_and_wakes_for_a_request(special: OpenAI, cluster: Cluster) -> None:
    ask_small(special, max_tokens=4)
    cluster.until("it sleeps", 300, lambda: slept(cluster))
    ask_small(special.with_options(timeout=120), max_tokens=4)
    cluster.until("it woke", 60, lambda: "WokeUp" in told(cluster))


def told(cluster: Cluster) -> list[str]:
    return [e["reason"] for e in cluster.get("-n", "demo", "events")["items"]]


def slept(cluster: Cluster) -> bool:
    return cluster.backends()["small"].get("sleepingReplicas") == 1 and "FellAsleep" in told(cluster)
