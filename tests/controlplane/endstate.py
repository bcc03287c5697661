"""What is left of a ModelRoute when all is done, in a form that two namespaces, or two ways to one spec, share."""

import json
import re
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from modelroute.controller.kube.kinds import CHILDREN, MANAGED, MODEL_ROUTE, WATCHED
from modelroute.planning.names import CONTENT_ANNOTATION, REVISION_ANNOTATION, ROUTE_LABEL
from tests.controlplane.plane import Plane

_OF_OTHERS = {"uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "lastTransitionTime"}
_OF_OTHERS |= {"observedGeneration", "clusterIP", "clusterIPs", "nodePort", "finalizers"}
_OF_OTHERS |= {"deployment.kubernetes.io/revision"}
_OF_OTHERS |= {"decisions"}  # the story of how it came to be so


def end_state(plane: Plane, namespace: str) -> dict[str, dict[str, Any]]:
    """Of each ModelRoute: every value of spec, status and all children, by its path."""
    seen: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    for kind in (kind for kind in CHILDREN.values() if kind in WATCHED):  # of others there may be no such kind
        for child in plane.admin.all(kind, namespace, MANAGED):
            place = f"{kind.name}/{child['metadata']['name']}"
            seen[child["metadata"]["labels"][ROUTE_LABEL]][place] = child | {"status": None}
    for route in plane.admin.all(MODEL_ROUTE, namespace):
        seen[route["metadata"]["name"]]["ModelRoute"] = {"spec": route["spec"], "status": route.get("status")}
    return {name: _told(objects, namespace, name) for name, objects in seen.items()}


def states_when_alike(plane: Plane, namespaces: Sequence[str]) -> list[dict[str, dict[str, Any]]]:
    """The end state of each: as soon as all are alike, or as they are after a minute."""
    limit = time.monotonic() + 60
    while True:
        states = [end_state(plane, namespace) for namespace in namespaces]
        if all(state == states[-1] for state in states) or time.monotonic() > limit:
            return states
        time.sleep(0.2)


def _told(objects: dict[str, Any], namespace: str, name: str) -> dict[str, Any]:
    revision = "none"
    if snapshot := objects.get(f"ConfigMap/{name}-router-snapshot"):
        notes = snapshot["metadata"]["annotations"]
        revision = notes[REVISION_ANNOTATION]
        del notes[CONTENT_ANNOTATION]  # which is of the namespace, too
        snapshot["data"] = json.loads(snapshot["data"]["snapshot.json"]) | {"generation": 0}
    # Where no node takes a pod, no rollout ends: one pod more than wanted stays, and is about to go for ever.
    text = re.sub(r", \d+ about to go", "", json.dumps(objects).replace(revision, "REVISION"))
    return dict(_leaves(json.loads(re.sub(rf"(?<![\w-]){namespace}(?![\w-])", "NAMESPACE", text)), ""))


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key not in _OF_OTHERS:
                yield from _leaves(item, f"{path}.{key}")
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _leaves(item, f"{path}[{i}]")
    else:
        yield path, value
