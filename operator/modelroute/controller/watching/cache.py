"""What was last seen of the cluster, and which ModelRoutes each object concerns.

Filled by ``watches`` (events) and ``reconciler`` (answers to our own writes); read by ``observing``. Never asks the
API server, and never gives an object away to be changed: readers copy what they change.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

from modelroute.controller.kube.calls import ApiError
from modelroute.controller.kube.kinds import (
    CHILDREN,
    CONFIG_MAP,
    DAEMON_SET,
    DEPLOYMENT,
    FIELD_MANAGER,
    HORIZONTAL_AUTOSCALER,
    MODEL_ROUTE,
    POD,
    SERVICE,
    SLICE,
    Kind,
)
from modelroute.planning import pods
from modelroute.planning.names import MANAGED_LABEL, MANAGER, ROUTE_LABEL
from modelroute.planning.observed import KubeObject, Pod, Slice
from modelroute.planning.routing.endpoints import slice_of

SERVICE_LABEL = "kubernetes.io/service-name"
TOMBSTONES = 4096


class Key(NamedTuple):
    """A ModelRoute."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """As people write it."""
        return f"{self.namespace}/{self.name}"


class _Place(NamedTuple):
    kind: str
    namespace: str
    name: str


class _Entry(NamedTuple):
    version: int
    content: KubeObject


class Cache:
    """Objects by place. ``put`` and ``remove`` tell which ModelRoutes have something new to look at."""

    def __init__(self) -> None:
        """Empty, as before the first listing."""
        self._entries: dict[_Place, _Entry] = {}
        self._children: defaultdict[Key, set[_Place]] = defaultdict(set)
        self._pods: defaultdict[Key, set[_Place]] = defaultdict(set)
        self._slices: defaultdict[tuple[str, str], set[_Place]] = defaultdict(set)  # by namespace and Service
        self._users: defaultdict[tuple[str, str], set[Key]] = defaultdict(set)  # routes by the Service of a targetRef
        # Versions at which objects went, so that a late answer does not revive them, also if they were never seen.
        self._gone: dict[_Place, int] = {}
        self._unseen: dict[tuple[Kind, str | None], ApiError] = {}  # what may not be listed, or watched, and where

    def put(self, kind: Kind, seen: KubeObject) -> frozenset[Key]:
        """Keep ``seen``, unless something newer is known. The routes that it concerns; none if it says nothing new."""
        place = _place(kind, seen)
        version = int(seen["metadata"].get("resourceVersion") or 0)
        old = self._entries.get(place)
        if version <= (old.version if old else self._gone.get(place, -1)):
            return frozenset()
        content = _essence(kind, seen)
        concerns = self._concerned(place, content)  # before anything changes: where it is odd, this raises
        concerned = self._concerned(place, old.content) if old else frozenset()
        if old:
            self._unlink(place, old.content)
        self._entries[place] = _Entry(version, content)
        self._link(place, content)
        return frozenset() if old and old.content == content else concerned | concerns

    def remove(self, kind: Kind, gone: KubeObject) -> frozenset[Key]:
        """Forget ``gone``, unless another object has taken its place. The routes that it concerns."""
        place = _place(kind, gone)
        old = self._entries.get(place)
        if old and old.content["metadata"].get("uid") != gone["metadata"].get("uid"):
            return frozenset()
        if old and 0 < int(gone["metadata"].get("resourceVersion") or 0) < old.version:
            return frozenset()
        concerned = self._concerned(place, old.content) if old else frozenset()
        if old:
            self._unlink(place, old.content)
            del self._entries[place]
        known = old.version if old else self._gone.get(place, 0)
        self._gone[place] = max(known, int(gone["metadata"].get("resourceVersion") or 0))
        if len(self._gone) > TOMBSTONES:
            del self._gone[next(iter(self._gone))]
        return concerned

    def retain(self, kind: Kind, listed: Iterable[KubeObject], version: int, namespace: str | None) -> frozenset[Key]:
        """Forget what a listing of ``version`` no longer has. The routes that it concerns."""
        present = {(_place(kind, o), o["metadata"]["uid"]) for o in listed}
        missed = [
            entry.content
            for place, entry in self._entries.items()
            if place.kind == kind.name
            and namespace in (None, place.namespace)
            and entry.version <= version
            and (place, entry.content["metadata"]["uid"]) not in present
        ]
        return frozenset().union(*(self.remove(kind, o) for o in missed))

    def note_refusal(self, kind: Kind, namespace: str | None, why: ApiError | None) -> frozenset[Key]:
        """Whether ``kind`` may be listed and watched there: None says that it may. The routes to which that is news."""
        if why is None and (kind, namespace) not in self._unseen:
            return frozenset()
        news = (kind, namespace) not in self._unseen or why is None
        if why:
            self._unseen[kind, namespace] = why
        else:
            del self._unseen[kind, namespace]
        return frozenset(key for key in self.routes() if news and namespace in (None, key.namespace))

    def refusals(self, namespace: str) -> tuple[ApiError, ...]:
        """Why some of what is in ``namespace`` may not be seen; what is known of it may be old."""
        return tuple(why for (_, place), why in self._unseen.items() if place in (None, namespace))

    def unseen(self, kind: Kind) -> int:
        """In how many places ``kind`` may not be listed, or watched."""
        return sum(known == kind for known, _ in self._unseen)

    def get(self, kind: Kind, namespace: str, name: str) -> KubeObject | None:
        """The object of that name."""
        entry = self._entries.get(_Place(kind.name, namespace, name))
        return entry.content if entry else None

    def route(self, key: Key) -> KubeObject | None:
        """The ModelRoute as it was last seen."""
        return self.get(MODEL_ROUTE, key.namespace, key.name)

    def routes(self) -> tuple[Key, ...]:
        """All ModelRoutes."""
        return tuple(Key(p.namespace, p.name) for p in self._entries if p.kind == MODEL_ROUTE.name)

    def anything_told(self) -> bool:
        """Whether any ModelRoute has a status: an operator has been here before."""
        return any(e.content.get("status") for p, e in self._entries.items() if p.kind == MODEL_ROUTE.name)

    def labelled(self, key: Key) -> tuple[KubeObject, ...]:
        """What carries the route's label, in a stable order."""
        return tuple(self._entries[place].content for place in sorted(self._children.get(key, ())))

    def troubles(self, key: Key) -> dict[str, str]:
        """What keeps pods of the route from running, by Deployment; of several troubles always the same one."""
        found: dict[str, str] = {}
        for pod in (self._entries[place].content for place in self._pods.get(key, ())):
            name = pods.deployment_of(pod)
            if wrong := pod["pod"].trouble:
                found[name] = min(wrong, found.get(name, wrong))
        return found

    def pods(self, key: Key) -> tuple[Pod, ...]:
        """The route's pods, in a stable order."""
        return tuple(self._entries[place].content["pod"] for place in sorted(self._pods.get(key, ())))

    def slices(self, namespace: str, service: str) -> tuple[Slice, ...]:
        """The EndpointSlices of a Service, in a stable order."""
        return tuple(
            self._entries[place].content["slice"] for place in sorted(self._slices.get((namespace, service), ()))
        )

    def _concerned(self, place: _Place, content: KubeObject) -> frozenset[Key]:
        labels = content["metadata"].get("labels") or {}
        own = frozenset({Key(place.namespace, labels[ROUTE_LABEL])} if ROUTE_LABEL in labels else ())
        if place.kind == MODEL_ROUTE.name:
            return frozenset({Key(place.namespace, place.name)})
        if place.kind == SERVICE.name:
            return own | self._users.get((place.namespace, place.name), frozenset())
        if place.kind == SLICE.name:
            service = self.get(SERVICE, place.namespace, labels.get(SERVICE_LABEL, ""))
            by_service = self._concerned(_place(SERVICE, service), service) if service else frozenset()
            return by_service | self._users.get((place.namespace, labels.get(SERVICE_LABEL, "")), frozenset())
        return own

    def _link(self, place: _Place, content: KubeObject) -> None:
        for index, key in self._links(place, content):
            index[key].add(place if index is not self._users else Key(place.namespace, place.name))

    def _unlink(self, place: _Place, content: KubeObject) -> None:
        for index, key in self._links(place, content):
            index[key].discard(place if index is not self._users else Key(place.namespace, place.name))
            if not index[key]:
                del index[key]

    def _links(self, place: _Place, content: KubeObject) -> list[tuple[Any, Any]]:
        labels = content["metadata"].get("labels") or {}
        if place.kind == MODEL_ROUTE.name:
            return [(self._users, (place.namespace, service)) for service in _target_services(content)]
        if place.kind == SLICE.name:
            return [(self._slices, (place.namespace, labels[SERVICE_LABEL]))] if SERVICE_LABEL in labels else []
        if place.kind == POD.name and ROUTE_LABEL in labels:
            return [(self._pods, Key(place.namespace, labels[ROUTE_LABEL]))]
        if place.kind in CHILDREN and ROUTE_LABEL in labels:
            return [(self._children, Key(place.namespace, labels[ROUTE_LABEL]))]
        return []


def _place(kind: Kind, seen: KubeObject) -> _Place:
    return _Place(kind.name, seen["metadata"]["namespace"], seen["metadata"]["name"])


def _essence(kind: Kind, seen: KubeObject) -> KubeObject:
    """What matters of an object: two that differ in nothing else are the same to us."""
    if kind is POD:
        return {"metadata": _picked(seen, "labels"), "pod": pods.facts(seen)}
    if kind is SLICE:  # of these, and of Services, there are as many as in all the cluster
        labels = {k: v for k, v in (seen["metadata"].get("labels") or {}).items() if k in (SERVICE_LABEL, ROUTE_LABEL)}
        return {"metadata": _picked(seen) | {"labels": labels}, "slice": slice_of(seen)}
    if kind is SERVICE and (seen["metadata"].get("labels") or {}).get(MANAGED_LABEL) != MANAGER:
        meta = _picked(seen, "labels", "ownerReferences")
        ports = [{k: port.get(k) for k in ("name", "port")} for port in (seen.get("spec") or {}).get("ports") or ()]
        return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": meta, "spec": {"ports": ports}}
    meta = {k: v for k, v in seen["metadata"].items() if k not in ("managedFields", "resourceVersion")}
    ours = [f for f in seen["metadata"].get("managedFields") or () if f.get("manager") == FIELD_MANAGER]
    if kind is CONFIG_MAP and ours:  # of these it is asked when they were written
        meta["managedFields"] = [{"time": f["time"]} for f in ours if "time" in f]
    if kind is DEPLOYMENT and any("f:replicas" in f.get("fieldsV1", {}).get("f:spec", {}) for f in ours):
        # Of these, whether the number of replicas is as we set it, and of which version that is true.
        meta["managedFields"] = [{"fieldsV1": {"f:spec": {"f:replicas": {}}}}]
        meta["resourceVersion"] = seen["metadata"].get("resourceVersion")
    if kind in (HORIZONTAL_AUTOSCALER, DAEMON_SET):  # most of their state changes all the time, and is nothing to us
        state = seen.get("status") or {}
        seen = seen | {"status": _inactive(state) if kind is HORIZONTAL_AUTOSCALER else _counts(state)}
    return {**seen, "apiVersion": kind.api_version, "kind": kind.name, "metadata": meta}


def _picked(seen: KubeObject, *fields: str) -> KubeObject:
    return {k: seen["metadata"].get(k) for k in ("namespace", "name", "uid", *fields)}


def _inactive(autoscaler: KubeObject) -> KubeObject:
    """The condition by which a HorizontalPodAutoscaler says that it changes no number, and why, without its times."""
    told = autoscaler.get("conditions") or ()
    found = (c for c in told if (c.get("type"), c.get("status")) == ("ScalingActive", "False"))
    return {"conditions": [{k: c.get(k) for k in ("type", "status", "reason", "message")} for c in found]}


def _counts(daemons: KubeObject) -> KubeObject:
    """On how many nodes they are to be, and are."""
    return {k: daemons.get(k) for k in ("desiredNumberScheduled", "numberReady")}


def _target_services(route: KubeObject) -> set[str]:
    """The Services that targetRefs name, of a manifest that need not be valid; and of the spec that goes on if not."""
    status = route.get("status")
    kept = status.get("accepted") if isinstance(status, dict) else None
    return _targets(route.get("spec")) | _targets(kept.get("spec") if isinstance(kept, dict) else None)


def _targets(spec: object) -> set[str]:
    backends = spec.get("backends") if isinstance(spec, dict) else None
    refs = [b.get("targetRef") for b in backends if isinstance(b, dict)] if isinstance(backends, list) else []
    return {ref["name"] for ref in refs if isinstance(ref, dict) and isinstance(ref.get("name"), str)}
