"""The operator's stated rights are those that it uses: a right too many is a way in, one too few a condition."""

from modelroute.controller.kinds import CHILDREN, EVENT, MANAGED, MODEL_ROUTE, POD, SERVICE
from modelroute.controller.rbac import RULES
from tests.controlplane.plane import Operator, Plane, until
from tests.controlplane.routes import (
    CACHE,
    CACHED,
    KEYED,
    ROUTER,
    SMALL,
    becomes,
    create,
    publish_endpoints,
    settle,
)
from tests.fakes.manifests import VLLM


def used(plane: Plane) -> set[tuple[str, str, str]]:
    """Group, resource and verb of all that the operator has asked for."""
    found = set()
    for ask in plane.asked():
        resource = "/".join(part for part in (ask["resource"], ask.get("subresource", "")) if part)
        found.add((ask.get("apiGroup", ""), resource, ask["verb"]))
    return found


def take_names(plane: Plane, namespace: str, taken: str) -> None:
    """Put objects of someone else's into ``taken`` that have the names of all that was made in ``namespace``."""
    for kind in CHILDREN.values():
        for made in plane.admin.all(kind, namespace, MANAGED):
            body = {k: v for k, v in made.items() if k not in ("status", "metadata")}
            if kind is SERVICE:
                body["spec"] = {"ports": made["spec"]["ports"]}
            plane.admin.create(kind, taken, body | {"metadata": {"name": made["metadata"]["name"]}})


def test_all_stated_rights_are_used_and_no_others(plane: Plane, operator: Operator, namespace: str) -> None:
    create(plane, namespace, backends=[CACHED, KEYED])
    settle(plane, namespace, ROUTER | SMALL | {CACHE})
    until("router pods", lambda: plane.admin.all(POD, namespace, "app.kubernetes.io/component=router"))
    publish_endpoints(plane, namespace, "chat--small", "http", "10.0.0.1")
    until("an event", lambda: plane.admin.all(EVENT, namespace))
    taken = plane.namespace()
    take_names(plane, namespace, taken)
    create(plane, taken, backends=[CACHED, KEYED])
    becomes(plane, taken, "Programmed", "False", "NameConflict")
    plane.admin.replace(MODEL_ROUTE, namespace, "chat", "/spec/backends", [VLLM | {"name": "next"}])
    settle(plane, namespace, ROUTER | {"Deployment/chat--next", "Service/chat--next"})
    stated = {(group, resource, verb) for (group, resource), verbs in RULES.items() for verb in verbs}

    # A watch is in the audit log only when it has ended; who may list may watch.
    def verbs(rights: set[tuple[str, str, str]]) -> set[tuple[str, str, str]]:
        return {right for right in rights if right[2] != "watch"}

    # Server-side apply asks for the right to create too, but is in the log as a patch alone.
    applied = {(group, resource, "create") for group, resource, verb in used(plane) if verb == "patch"}
    assert verbs(used(plane)) <= verbs(stated)
    assert verbs(stated) <= verbs(used(plane)) | applied
