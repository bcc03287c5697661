"""An API server in memory, as the controller's ``Cluster``: for what a real one does too seldom to wait for."""

# ruff: noqa: ARG002 - the real one needs its arguments

import copy
import json
from collections.abc import Callable, Mapping
from typing import Any

from modelroute.controller.kube.calls import ApiError, Call, Verb
from modelroute.controller.kube.cluster import Cluster
from modelroute.controller.kube.kinds import CHILDREN, MODEL_ROUTE, POD, WATCHED, Kind
from modelroute.controller.watching.cache import Cache

KubeObject = dict[str, Any]
_WATCHED = {kind.name: kind for kind in WATCHED}


class FakeCluster(Cluster):
    """Keeps objects by kind and name, and notes every write. ``refuse`` holds the answers to be given instead."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], KubeObject] = {}
        self.writes: list[str] = []
        self.looks: list[str] = []
        self.refuse: dict[tuple[str, str], ApiError] = {}
        self.events: list[str] = []
        self.notes: list[str] = []
        self._version = 100

    def keep(self, kind: Kind, seen: KubeObject) -> KubeObject:
        """``seen``, with a version and an identity."""
        self._version += 1
        place = (kind.name, seen["metadata"]["name"])
        known = self.objects.get(place, {"metadata": {}})["metadata"]
        found = json.loads(json.dumps(seen))  # as what comes of it is read
        found["metadata"] |= {"resourceVersion": str(self._version), "uid": known.get("uid") or f"uid-{self._version}"}
        found["metadata"].setdefault("namespace", "team-a")
        self.objects[place] = found
        return copy.deepcopy(found)

    def deny(self, verb: Verb, kind: Kind, name: str, status: int, message: str = "no") -> None:
        self.refuse[verb, f"{kind.name}/{name}"] = ApiError(Call(verb, kind, "team-a", name), status, message)

    def fill(self, cache: Cache) -> None:
        """What the watches would bring."""
        for (kind, _), found in self.objects.items():
            if kind in _WATCHED:
                cache.put(_WATCHED[kind], found)

    def form(self, desired: KubeObject) -> KubeObject:
        """The form in which ``desired`` is kept; what a test replaces."""
        return desired

    async def find(self, kind: Kind, namespace: str | None, name: str) -> KubeObject | None:
        self._check("get", kind, name)
        self.looks.append(f"{kind.name}/{name}")
        return copy.deepcopy(self.objects.get((kind.name, name)))

    async def select(
        self, kind: Kind, namespace: str | None, selector: str, limit: int | None = None
    ) -> tuple[list[KubeObject], int]:
        self._check("list", kind, "")
        return [copy.deepcopy(o) for (name, _), o in self.objects.items() if name == kind.name], self._version

    async def apply(self, desired: KubeObject) -> KubeObject:
        kind, meta = CHILDREN[desired["kind"]], desired["metadata"]
        self._note("patch", kind, meta["name"])
        known = self.objects.get((kind.name, meta["name"]))
        if known and meta.get("resourceVersion") not in (None, known["metadata"]["resourceVersion"]):
            raise ApiError(Call("patch", kind, "team-a", meta["name"]), 409, "the object has been modified")
        return self.keep(kind, self.form(desired))

    async def delete(self, live: KubeObject) -> KubeObject | None:
        kind = CHILDREN[live["kind"]]
        self._note("delete", kind, live["metadata"]["name"])
        self.objects.pop((kind.name, live["metadata"]["name"]), None)
        return None

    async def write_status(self, live: KubeObject, status: KubeObject) -> KubeObject | None:
        self._note("patch", MODEL_ROUTE, "chat")
        found = self.objects.get((MODEL_ROUTE.name, "chat"))
        return self.keep(MODEL_ROUTE, found | {"status": status}) if found else None

    async def annotate_pod(self, pod: KubeObject, annotations: Mapping[str, str | None]) -> KubeObject | None:
        return self._change_pod(pod, lambda live: _merge(live["metadata"].setdefault("annotations", {}), annotations))

    async def set_pod_condition(self, pod: KubeObject, condition: KubeObject) -> KubeObject | None:
        def change(live: KubeObject) -> None:
            others = [c for c in live.setdefault("status", {}).get("conditions", ()) if c["type"] != condition["type"]]
            live["status"]["conditions"] = [*others, condition]

        return self._change_pod(pod, change, "/status")

    def _change_pod(
        self, pod: KubeObject, change: Callable[[KubeObject], None], subresource: str = ""
    ) -> KubeObject | None:
        self._note("patch", POD, pod["metadata"]["name"] + subresource)
        live = self.objects.get((POD.name, pod["metadata"]["name"]))
        if live is None:
            return None
        change(live)
        return self.keep(POD, live)

    async def create(self, kind: Kind, desired: KubeObject) -> KubeObject:
        self._note("create", kind, desired["metadata"]["name"])
        if (kind.name, desired["metadata"]["name"]) in self.objects:
            raise ApiError(Call("create", kind, "team-a"), 409, "there is one")
        return self.keep(kind, desired)

    async def replace(self, kind: Kind, desired: KubeObject) -> KubeObject:
        name, version = desired["metadata"]["name"], desired["metadata"]["resourceVersion"]
        self._note("update", kind, name)
        known = self.objects.get((kind.name, name))
        if known is None or known["metadata"]["resourceVersion"] != version:
            raise ApiError(Call("update", kind, "team-a", name), 409 if known else 404, "not that one")
        return self.keep(kind, desired)

    async def publish(self, namespace: str, event: KubeObject) -> None:
        self.events.append(event["reason"])
        self.notes.append(event["note"])

    def _note(self, verb: Verb, kind: Kind, name: str) -> None:
        self._check(verb, kind, name)
        self.writes.append(f"{verb} {kind.name}/{name}")

    def _check(self, verb: Verb, kind: Kind, name: str) -> None:
        if refusal := self.refuse.get((verb, f"{kind.name}/{name}")):
            raise refusal


def _merge(into: dict[str, str], change: Mapping[str, str | None]) -> None:
    into.update({name: value for name, value in change.items() if value is not None})
    for name in [name for name, value in change.items() if value is None]:
        into.pop(name, None)
