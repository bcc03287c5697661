"""What the operator does for a route on a real node: from zero, warm before traffic, sidecars, its own update."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from benchmarks.coldstart import PORT, manifest, name
from tests.e2e.conftest import Cluster
from tests.fakes.load import Load

COLD, URL = name(0), f"http://127.0.0.1:{PORT}"
ASK = """
import json, os, time, urllib.request
body = {"model": "side", "max_tokens": 4, "messages": [{"role": "user", "content": "What is a router?"}]}
request = urllib.request.Request(os.environ["OPENAI_BASE_URL"] + "/chat/completions", json.dumps(body).encode())
request.add_header("content-type", "application/json")
print("answered by", urllib.request.urlopen(request).headers["x-modelroute-backend"], flush=True)
time.sleep(3600)
"""


def events(cluster: Cluster, route: str) -> list[str]:
    selector = f"--field-selector=involvedObject.name={route}"
    return [e["reason"] for e in cluster.get("-n", "demo", "events", selector)["items"]]


def answers() -> bool:
    try:
        return httpx.get(f"{URL}/readyz").is_success
    except httpx.ConnectError:
        return False


@pytest.fixture
def cold(quickstart: Cluster) -> Iterator[Callable[..., Load]]:
    """Call it for a route at zero, and requests to it that begin when they are entered."""

    def begin(policy: str, *args: str) -> Load:
        made = manifest(0, policy)
        made["spec"]["models"] = ["chat"]  # what Load asks for
        made["spec"]["backends"][0]["vllm"]["args"] += args
        quickstart.kubectl("apply", "-f", "-", stdin=json.dumps(made))
        quickstart.until("routers", 90, lambda: quickstart.condition("Programmed", COLD)["status"] == "True")
        quickstart.until("nobody is there", 30, lambda: quickstart.backends(COLD)["small"]["readyReplicas"] == 0)
        quickstart.until("a Service's rules come a second after its pods are ready", 30, answers)
        return Load(f"{URL}/v1/chat/completions", workers=4)

    yield begin
    quickstart.kubectl("-n", "demo", "delete", "mroute", COLD, "--ignore-not-found")
    # Until they are gone, its routers and its replica answer at the port that the next one has, too.
    quickstart.kubectl(
        "-n", "demo", "wait", "--timeout=120s", "--for=delete", "pods", "-l", f"modelroute.dev/route={COLD}"
    )


def test_from_zero_under_load_every_request_is_held_and_answered(cold: Callable[..., Load], cluster: Cluster) -> None:
    with cold("Hold") as load:
        load.more(50, seconds=120)
    assert (load.lost, set(load.answered)) == ([], {"small"})
    small = cluster.backends(COLD)["small"]
    assert small["scaling"]["decisions"][-1]["reason"] == "requests came, and no replica is awake"
    assert small["start"]["starts"] == 1
    assert small["start"]["seconds"] >= small["start"]["load"] > 0


def test_nobody_but_the_operator_meets_a_replica_that_is_not_warm(cold: Callable[..., Load], cluster: Cluster) -> None:
    """Its first answer takes twenty seconds; clients are answered by the fallback, and see none of that."""
    with cold("Fallback", "--standin-first-request=20s") as load:
        load.more(20)
        assert load.answered["small"] == 0
        cluster.until("it answers", 120, lambda: load.answered["small"] > 20)
    assert load.lost == []
    assert load.slowest < 15
    assert "WarmedUp" in events(cluster, COLD)
    assert cluster.backends(COLD)["small"]["warmup"]["milliseconds"] >= 20_000


@pytest.fixture
def side(quickstart: Cluster) -> Iterator[Cluster]:
    """A route in mode Sidecar, and a pod that asks for its router."""
    hosted = {"baseURL": "http://openai-standin.demo.svc:8000/v1", "apiKeySecretRef": {"name": "hosted-api"}}
    meta = {"name": "side", "namespace": "demo"}
    spec = {"router": {"mode": "Sidecar"}, "backends": [{"name": "big", "model": "big", "external": hosted}]}
    route = {"apiVersion": "modelroute.dev/v1alpha1", "kind": "ModelRoute", "metadata": meta, "spec": spec}
    quickstart.kubectl("apply", "-f", "-", stdin=json.dumps(route))
    quickstart.kubectl("apply", "-f", "-", stdin=json.dumps(asking_pod(quickstart)))
    yield quickstart
    quickstart.kubectl("-n", "demo", "delete", "pod/shop", "mroute/side", "--ignore-not-found", "--grace-period=1")


def asking_pod(cluster: Cluster) -> dict[str, Any]:
    """An application without a word of routers, but for the label."""
    running = cluster.get("-n", "demo", "deployment", "chat-router")["spec"]["template"]["spec"]
    image = running["containers"][0]["image"]  # any with Python in it
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    app = {"name": "app", "image": image, "command": ["python3", "-c", ASK], "securityContext": security}
    pod = {"containers": [app], "securityContext": running["securityContext"], "terminationGracePeriodSeconds": 1}
    meta = {"name": "shop", "namespace": "demo", "labels": {"modelroute.dev/sidecar": "side"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": pod}


def test_a_pod_that_asks_for_a_router_has_one_before_it_starts(side: Cluster) -> None:
    logs = ("-n", "demo", "logs", "shop", "-c", "app")
    told = side.until("it asked", 90, lambda: "answered" in (said := side.kubectl(*logs, check=False)) and said)
    assert told.strip() == "answered by big"
    side.until("its router is heard", 60, lambda: side.condition("Programmed", "side")["reason"] == "RoutersUpToDate")
    assert side.condition("Programmed", "side")["message"] == "1 of 1 routers run generation 1"


@pytest.fixture
def pulled(quickstart: Cluster) -> Iterator[Cluster]:
    """A route at zero whose images are pulled beforehand: one that is there, and one that is nowhere."""

    def backend(name: str, image: str) -> dict[str, Any]:
        vllm = {"model": name, "image": image, "gpus": 0, "prePull": True}
        return {
            "name": name,
            "vllm": vllm | {"nodeSelector": {"kubernetes.io/os": "linux"}},
            "scaling": {"minReplicas": 0, "maxReplicas": 1},
        }

    backends = [backend("here", "modelroute/vllm-standin:dev"), backend("gone", "registry.invalid/gone:v1")]
    meta = {"name": "pulled", "namespace": "demo"}
    route = {"apiVersion": "modelroute.dev/v1alpha1", "kind": "ModelRoute", "metadata": meta}
    quickstart.kubectl("apply", "-f", "-", stdin=json.dumps(route | {"spec": {"backends": backends}}))
    yield quickstart
    quickstart.kubectl("-n", "demo", "delete", "mroute/pulled")
    selector = "modelroute.dev/route=pulled,app.kubernetes.io/component=prepull"
    quickstart.kubectl("-n", "demo", "wait", "--timeout=120s", "--for=delete", "pods", "-l", selector)


def test_an_image_that_cannot_be_pulled_beforehand_is_told_and_disturbs_nothing(pulled: Cluster) -> None:
    pulled.kubectl("-n", "demo", "wait", "--for=create", "daemonset/pulled--here-pull", "--timeout=30s")
    pulled.kubectl("-n", "demo", "rollout", "status", "daemonset/pulled--here-pull", "--timeout=60s")
    pulled.until("Programmed", 60, lambda: pulled.condition("Programmed", "pulled")["status"] == "True")
    told = "; the image is on 0 of 1 nodes (DaemonSet pulled--gone-pull)"
    pulled.until("it is told", 30, lambda: pulled.backends("pulled")["gone"]["message"].endswith(told))
    assert "image" not in pulled.backends("pulled")["here"]["message"]


def test_an_update_of_operator_and_router_loses_nothing(quickstart: Cluster, load: Load) -> None:
    load.more(20)
    before = restarts(quickstart)
    for namespace, deployment in (("modelroute-system", "modelroute-operator"), ("demo", "chat-router")):
        quickstart.kubectl("-n", namespace, "rollout", "restart", f"deployment/{deployment}")
        quickstart.kubectl("-n", namespace, "rollout", "status", f"deployment/{deployment}", "--timeout=180s")
        load.more(20)
    assert restarts(quickstart) == before
    assert load.lost == []


def restarts(cluster: Cluster) -> dict[str, list[int]]:
    """Of the replicas' containers, by pod: others would have other names."""
    pods = cluster.get("-n", "demo", "pods", "-l", "modelroute.dev/backend=small")["items"]
    return {p["metadata"]["name"]: [s["restartCount"] for s in p["status"]["containerStatuses"]] for p in pods}


def test_o29_when_the_node_of_the_leader_dies_another_leads_and_nothing_is_lost(
    quickstart: Cluster, load: Load
) -> None:
    load.more(20)
    home = ("-n", "modelroute-system")

    def holder() -> str:
        found: str = quickstart.get(*home, "lease", "modelroute-operator")["spec"].get("holderIdentity", "")
        return found

    before = quickstart.until("a leader", 60, holder)
    pod = before.rpartition("_")[0]
    quickstart.kubectl(*home, "delete", "pod", pod, "--force", "--grace-period=0", "--wait=false")
    quickstart.until("another holder", 15, lambda: holder() not in ("", before))  # the lease of ten seconds, and five
    load.more(20)
    quickstart.kubectl(*home, "rollout", "status", "deployment/modelroute-operator", "--timeout=180s")
    assert load.lost == []
