"""Numbers of replicas by load, on a real API server: decided, told, drained, gone on with after a crash, left."""

import signal
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from modelroute.controller.kube.kinds import MODEL_ROUTE, POD, SLICE
from modelroute.planning.names import DRAINING_ANNOTATION
from tests.controlplane.clocked import ClockedOperator
from tests.controlplane.plane import Plane, until
from tests.controlplane.replicas import COMPONENT, address
from tests.controlplane.routers import Routers
from tests.controlplane.routes import ROUTER, SMALL, create, deployment, endpoints, route, settle
from tests.fakes.manifests import HOSTED, VLLM
from tests.fakes.routers import FakeRouter

STEP = 5.0
"""Seconds by which the clock is moved at once: fewer than those after which samples count as torn off."""


class Replicas:
    """Says of the backend's pods what a kubelet and the EndpointSlice controller would, and answers for their vLLM."""

    def __init__(self, plane: Plane, namespace: str) -> None:
        self._plane = plane
        self._namespace = namespace
        self._servers: list[ThreadingHTTPServer] = []

    @property
    def pods(self) -> list[dict[str, Any]]:
        return self._plane.admin.all(POD, self._namespace, COMPONENT)

    @property
    def marked(self) -> list[str]:
        """Those that are to go."""
        found = [pod["metadata"] for pod in self.pods]
        return sorted(meta["name"] for meta in found if DRAINING_ANNOTATION in meta.get("annotations", {}))

    def become(self, count: int) -> list[str]:
        """Wait for so many pods, and make them ready; their names."""
        pods = until(f"{count} pods", lambda: len(found := self.pods) == count and found)
        for pod in pods:
            if not pod["status"].get("podIP"):
                self._plane.make_pod_ready(pod, self._serve())
        names = [pod["metadata"]["name"] for pod in pods]
        self._publish(names)
        until("their endpoints", lambda: len(endpoints(self._plane, self._namespace, "small")) == count)
        return names

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def _serve(self) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = b"vllm:num_requests_running 0\n"
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        host = address()
        self._servers.append(ThreadingHTTPServer((host, 8000), Handler))
        threading.Thread(target=self._servers[-1].serve_forever, args=(0.1,), daemon=True).start()
        return host

    def _publish(self, names: list[str]) -> None:
        """By name, since an EndpointSlice may not have addresses of this machine."""
        found = [
            {"addresses": [f"10.0.0.{n}"], "conditions": {"ready": True}, "targetRef": {"kind": "Pod", "name": name}}
            for n, name in enumerate(names, 1)
        ]
        for old in self._plane.admin.all(SLICE, self._namespace, "test=endpoints"):
            self._plane.admin.delete(SLICE, self._namespace, old["metadata"]["name"])
        labels = {"kubernetes.io/service-name": "chat--small", "test": "endpoints"}
        body = {
            "metadata": {"generateName": "test-", "labels": labels},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8000, "protocol": "TCP"}],
            "endpoints": found,
        }
        self._plane.admin.create(SLICE, self._namespace, body)


@pytest.fixture
def replicas(plane: Plane, namespace: str) -> Iterator[Replicas]:
    made = Replicas(plane, namespace)
    yield made
    made.close()


def backends(**scaling: Any) -> list[dict[str, Any]]:
    return [VLLM | {"warmup": {"readinessGate": False}, "scaling": scaling}, HOSTED]


def begin(plane: Plane, namespace: str, routers: Routers, **scaling: Any) -> list[str]:
    """The route with routers that run; their names."""
    create(plane, namespace, backends=backends(**scaling))
    settle(plane, namespace, ROUTER | SMALL)
    return routers.start(2)


def change(plane: Plane, namespace: str, **scaling: Any) -> None:
    plane.admin.replace(MODEL_ROUTE, namespace, "chat", "/spec/backends", backends(**scaling))


def loaded(routers: Routers, **load: int) -> None:
    """Have the first router say so of the backend; the others say that they have nothing to do."""
    idle: dict[str, Any] = {"inFlight": 0, "waiting": 0, "cold": 0, "requests": 0, "trouble": None, "replicas": []}
    routers.say(min(routers.by_pod), backends=[idle | load | {"name": "small"}])


def number(plane: Plane, namespace: str) -> int:
    found: int = deployment(plane, namespace, "chat--small")["spec"]["replicas"]
    return found


def decisions(plane: Plane, namespace: str) -> list[tuple[int, int, str]]:
    """From, to, and why: the newest first."""
    scaling = route(plane, namespace)["status"]["backends"][0].get("scaling", {})
    return [(d["before"], d["after"], d["reason"]) for d in scaling.get("decisions", ())]


def _more(router: FakeRouter, asked: int) -> bool:
    return router.asked > asked


def pass_until(what: str, clocked: ClockedOperator, routers: Routers, holds: Callable[[], Any]) -> Any:
    """Move the clock on, as fast as loads are looked at, until it holds; what holds."""
    router = next(iter(routers.by_pod.values()))
    for _ in range(60):
        if found := holds():
            return found
        asked = router.asked
        clocked.set_by(clocked.offset + STEP)
        until("a look at the router", partial(_more, router, asked))
    return pytest.fail(f"not within {60 * STEP} s of its clock: {what}")


def test_load_brings_replicas_and_when_it_falls_they_are_drained_first(
    plane: Plane, clocked: ClockedOperator, routers: Routers, replicas: Replicas, namespace: str
) -> None:
    names = begin(plane, namespace, routers, minReplicas=1, maxReplicas=4, scaleDown={"stabilization": "1m"})
    replicas.become(1)
    loaded(routers, inFlight=19)
    until("more replicas", lambda: number(plane, namespace) == 3, 60)
    burst = (1, 3, "a burst of 19 requests in flight, target 8 a replica")
    until("it is told", lambda: decisions(plane, namespace) == [burst])

    pods = replicas.become(3)
    for name in names:
        routers.hold(name)
    loaded(routers, inFlight=1)
    marked = pass_until("two are marked", clocked, routers, lambda: len(found := replicas.marked) == 2 and found)
    assert number(plane, namespace) == 3
    for name in names:
        routers.release(name)
    loaded(routers, inFlight=1)
    until("fewer replicas", lambda: number(plane, namespace) == 1, 60)
    until("two pods go", lambda: len(replicas.pods) == 1)
    assert {pod["metadata"]["name"] for pod in replicas.pods} == set(pods) - set(marked)
    until("it is told", lambda: len(decisions(plane, namespace)) == 2)
    (before, after, why), told = decisions(plane, namespace)
    assert (before, after, why.startswith("at most "), told) == (3, 1, True, burst)


def test_a_request_that_meets_nobody_brings_the_first(
    plane: Plane, clocked: ClockedOperator, routers: Routers, namespace: str
) -> None:
    names = begin(plane, namespace, routers, minReplicas=0, maxReplicas=2)
    first = routers.by_pod[names[0]]
    looks = first.asked
    until("loads are looked at", lambda: first.asked > looks + 2)
    assert number(plane, namespace) == 0
    loaded(routers, cold=1)
    until("a replica", lambda: number(plane, namespace) == 1)
    why = (0, 1, "requests came, and no replica is awake")
    until("it is told", lambda: decisions(plane, namespace) == [why])


def marked_one(plane: Plane, namespace: str, routers: Routers, replicas: Replicas) -> str:
    """One of two replicas, which is to go, and waits for routers that run an older snapshot."""
    names = begin(plane, namespace, routers, minReplicas=2)
    replicas.become(2)
    for name in names:
        routers.hold(name)
    change(plane, namespace, minReplicas=1)
    [found] = until("one is marked", lambda: replicas.marked)
    assert number(plane, namespace) == 2
    return str(found)


def test_o09_an_operator_that_dies_between_mark_and_number_is_gone_on_with(
    plane: Plane, clocked: ClockedOperator, routers: Routers, replicas: Replicas, namespace: str
) -> None:
    marked = marked_one(plane, namespace, routers, replicas)
    clocked.end(signal.SIGKILL)
    assert (replicas.marked, number(plane, namespace)) == ([marked], 2)
    clocked.start()
    until("another leads", clocked.leads, 60)
    for name in routers.by_pod:
        routers.release(name)
    until("one replica", lambda: number(plane, namespace) == 1, 60)
    until("the marked one goes", lambda: len(replicas.pods) == 1)
    assert replicas.pods[0]["metadata"]["name"] != marked
    until("it is told", lambda: decisions(plane, namespace) == [(2, 1, "minReplicas is 1")])


def test_another_engine_that_takes_over_finds_no_marks(
    plane: Plane, clocked: ClockedOperator, routers: Routers, replicas: Replicas, namespace: str
) -> None:
    marked_one(plane, namespace, routers, replicas)
    change(plane, namespace, engine="External", minReplicas=1)
    until("no mark", lambda: not replicas.marked)
    until("both answer", lambda: len(endpoints(plane, namespace, "small")) == 2)
    assert number(plane, namespace) == 2
