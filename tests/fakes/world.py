"""A cluster as planning sees it, without a cluster: routes, EndpointSlices, children as the API server returns them."""

import copy
import datetime as dt
from dataclasses import replace
from typing import Any

import msgspec

from modelroute.api import types as t
from modelroute.api.parse import parse
from modelroute.api.status import Status
from modelroute.planning import names
from modelroute.planning.observed import KubeObject, Observed, Pod, Slice, Told
from modelroute.planning.plan import Plan, plan
from modelroute.planning.settings import Settings
from tests.fakes.manifests import VLLM, manifest

SETTINGS = Settings(router_image="modelroute/router:v1")
NOW, LATER = "2026-05-01T08:00:00Z", "2026-05-01T09:00:00Z"
KEYED = {
    "name": "big",
    "external": {"baseURL": "https://api.example.com/v1", "apiKeySecretRef": {"name": "openai"}},
}
BEHIND = {"name": "old", "targetRef": {"name": "legacy", "port": 80}}
LEGACY: KubeObject = {"spec": {"ports": [{"name": "web", "port": 80}, {"name": "metrics", "port": 9090}]}}


def moment(text: str) -> float:
    """Unix seconds."""
    return dt.datetime.fromisoformat(text).timestamp()


def route(*, old: Status | None = None, generation: int = 3, **spec: Any) -> t.ModelRoute:
    """The ModelRoute team-a/chat with these fields in its spec."""
    found = manifest(namespace="team-a", **spec)
    found["metadata"] |= {"uid": "uid-1", "generation": generation}
    return msgspec.structs.replace(parse(found), status=old)


def of_vllm(*, scaling: dict[str, Any] | None = None, **vllm: Any) -> t.ModelRoute:
    """A route with one vLLM backend with these fields."""
    return route(backends=[VLLM | {"vllm": {"model": "org/small"} | vllm, "scaling": scaling or {}}])


def pods(*addresses: str, name: str = "http", port: int = 8000, family: str = "IPv4") -> Slice:
    """An EndpointSlice with these addresses, of pods without a name."""
    return Slice(family, ((name, port),), tuple((address, "") for address in addresses))


def ready(*addresses: str) -> dict[str, tuple[Slice, ...]]:
    """The slices of a world where the backend "small" is ready at these addresses."""
    return {"chat--small": (pods(*addresses),)}


def live(planned: KubeObject, **status: Any) -> KubeObject:
    """``planned`` as it comes back: the server's own fields, and the controllers' status."""
    found = copy.deepcopy(planned)
    found["metadata"] |= {"uid": f"uid-{found['kind']}", "resourceVersion": "7", "generation": 2}
    if found["kind"] == "Deployment":
        replicas = found["spec"].setdefault("replicas", 1)  # the API server's own number
        counts = {"replicas": replicas, "updatedReplicas": replicas, "readyReplicas": replicas}
        found["status"] = {"observedGeneration": 2, **counts} | status
    return found


def settled(asked: t.ModelRoute, **seen: Any) -> Observed:
    """A world where the plan for ``asked`` has been carried out and all Deployments are complete."""
    first = plan(asked, Observed(**seen), SETTINGS, moment(NOW))
    observed = Observed(children=tuple(live(o) for o in first.objects), **seen)
    return with_routers(observed, Told(first.revision, first.snapshot.generation), count=asked.spec.router.replicas)


def router_pod(number: int, **fields: Any) -> Pod:
    """A router that is ready."""
    return replace(Pod(f"chat-router-{number}", "router", "", f"10.0.9.{number}", 0.0, ready=True), **fields)


def with_routers(observed: Observed, *told: Told | None, count: int = 2) -> Observed:
    """``observed``, with so many routers, which say this; the last one's words are of all that follow. None: unasked.

    What was seen of other pods stays.
    """
    routers = tuple(router_pod(number) for number in range(count))
    words = (*told, *([told[-1]] * count))
    said = {pod.name: known for pod, known in zip(routers, words, strict=False) if known}
    others = tuple(pod for pod in observed.pods if pod.component == "backend")
    return replace(observed, pods=(*others, *routers), told=said)


def with_router(observed: Observed, **status: Any) -> Observed:
    """``observed``, with the router's Deployment in this status."""
    return _with_deployment(observed, names.router("chat"), status)


def with_backend(observed: Observed, **status: Any) -> Observed:
    """``observed``, with the Deployment of the backend "small" in this status."""
    return _with_deployment(observed, names.backend("chat", "small"), status)


def _with_deployment(observed: Observed, name: str, status: dict[str, Any]) -> Observed:
    found = copy.deepcopy(observed)
    deployment = found.child("Deployment", name)
    assert deployment is not None
    deployment["status"] |= status
    return found


def planned(asked: t.ModelRoute, observed: Observed | None = None, now: str = NOW) -> Plan:
    return planned_at(asked, observed or Observed(), moment(now))


def planned_at(asked: t.ModelRoute, observed: Observed, now: float) -> Plan:
    """At ``now`` in Unix seconds."""
    return plan(asked, observed, SETTINGS, now)


def made(asked: t.ModelRoute, kind: str, name: str, observed: Observed | None = None) -> KubeObject:
    """The one object of that kind and name in the plan."""
    [found] = [o for o in planned(asked, observed).objects if (o["kind"], o["metadata"]["name"]) == (kind, name)]
    return found


def container(deployment: KubeObject) -> KubeObject:
    [found] = deployment["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found
