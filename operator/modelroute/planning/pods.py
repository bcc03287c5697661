"""What matters of a pod; and what keeps one from running, in a sentence that stays the same while the cause does.

Called by the controller's cache, which keeps nothing else of a pod. Never sees a clock or the cluster.
A pod that crashes goes through its states again and again, and a pull is tried again: neither may show, or the status
would be written as often. So no counts, no times, no names of pods, and no message of the kubelet's.
"""

import re

from modelroute.api.podchecks import MAIN
from modelroute.planning import names
from modelroute.planning.observed import KubeObject, Pod
from modelroute.planning.quantity import quantity
from modelroute.planning.times.moments import unix

_PULL = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError")
_ENDED = ("Failed", "Succeeded")
_STARTING = ("ContainerCreating", "PodInitializing", "CrashLoopBackOff")
_NO_DEVICE = "no node has"
_SHORT = re.compile(r"Insufficient ([a-z0-9.-]+/[A-Za-z0-9._-]+)(, )?")
"""A device of nodes, such as a GPU, that a pod asks for and none has left; CPU and memory have no domain."""
_COUNT = re.compile(r"(?<![\w./:-])\d+(/\d+)? (?=[A-Za-z])")
"""How many nodes: that changes with every node that comes and goes."""


def deployment_of(pod: KubeObject) -> str:
    """The Deployment that a pod's labels say it is of; empty when they do not."""
    labels = pod["metadata"].get("labels") or {}
    if names.SIDECAR_LABEL in labels:  # someone else's, whatever its other labels say
        return ""
    route, component = labels.get(names.ROUTE_LABEL, ""), labels.get(names.COMPONENT_LABEL)
    if component == "router":
        return names.router(route)
    return names.backend(route, labels.get(names.BACKEND_LABEL, "")) if component == "backend" else ""


def facts(pod: KubeObject) -> Pod:
    """``pod`` as planning looks at it."""
    meta, status = pod["metadata"], pod.get("status") or {}
    labels, notes = meta.get("labels") or {}, meta.get("annotations") or {}
    since = {c["type"]: unix(c.get("lastTransitionTime")) for c in status.get("conditions") or () if _holds(c)}
    # The kubelet tells of containers by name; a template may have added some that run long before a model is loaded.
    containers = sorted(status.get("containerStatuses") or (), key=lambda c: bool(c["name"] != MAIN))
    running = [(c.get("state") or {}).get("running") or {} for c in containers]
    gates = (pod.get("spec") or {}).get("readinessGates") or ()
    sidecar = names.SIDECAR_LABEL in labels  # someone else's pod: of it the router in it matters, and nothing else
    return Pod(
        name=meta["name"],
        component="sidecar" if sidecar else labels.get(names.COMPONENT_LABEL, ""),
        backend="" if sidecar else labels.get(names.BACKEND_LABEL, ""),
        address=status.get("podIP") or "",
        created=unix(meta.get("creationTimestamp")) or 0.0,
        scheduled=since.get("PodScheduled"),
        started=unix(running[0].get("startedAt")) if running else None,
        loaded=since.get("ContainersReady"),
        warm=since.get(names.WARM_GATE),
        gated=any(gate["conditionType"] == names.WARM_GATE for gate in gates),
        ready=any(c.get("ready") for c in _routers(status)) if sidecar else "Ready" in since,
        ending=bool(meta.get("deletionTimestamp")) or status.get("phase") in _ENDED,
        draining=unix(notes.get(names.DRAINING_ANNOTATION)),
        sleeping=unix(notes.get(names.SLEEPING_ANNOTATION)),
        trouble=next(filter(None, map(_of_container, _routers(status))), "") if sidecar else trouble(pod),
        restarted=any(c.get("restartCount") for c in status.get("containerStatuses") or ()),
    )


def _routers(status: KubeObject) -> list[KubeObject]:
    """Of a pod with a router in it: what is said of that container."""
    return [c for c in status.get("initContainerStatuses") or () if c["name"] == names.SIDECAR]


def _holds(condition: KubeObject) -> bool:
    return bool(condition["status"] == "True")


def trouble(pod: KubeObject) -> str:
    """Why the pod does not run; empty when it does, or when nothing but patience is needed."""
    status = pod.get("status") or {}
    ready = any(c["type"] == "Ready" and _holds(c) for c in status.get("conditions") or ())
    if ready or pod["metadata"].get("deletionTimestamp") or status.get("phase") in _ENDED:
        return ""
    if containers := status.get("containerStatuses"):
        before = status.get("initContainerStatuses") or ()
        return next(filter(None, map(_of_container, (*before, *containers))), "")
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            return _unschedulable(pod, _reasons(condition.get("message") or "unknown why"))
    return ""


def lacks_device(sentence: str) -> bool:
    """Whether ``sentence``, or what it quotes, is about a pod for which no node has a GPU left."""
    return _NO_DEVICE in sentence


def _unschedulable(pod: KubeObject, why: str) -> str:
    found = _SHORT.search(why)
    if found is None:
        return f"no node can take the pod: {why}"
    asked = sum(_limit(container, found[1]) for container in (pod.get("spec") or {}).get("containers") or ())
    others = _SHORT.sub("", why).strip(" ,")
    return f"{_NO_DEVICE} {asked or 1} free {found[1]}" + (f" (of others: {others})" if others else "")


def _limit(container: KubeObject, resource: str) -> int:
    limits = (container.get("resources") or {}).get("limits") or {}
    return quantity(str(limits.get(resource) or 0)) // 1000


def _reasons(scheduler: str) -> str:
    """The scheduler's words without its counts of nodes and without what it thinks of preemption."""
    why = scheduler.partition(" preemption:")[0].partition("nodes are available: ")[2] or scheduler
    return _COUNT.sub("", why).strip().rstrip(".")


def _of_container(container: KubeObject) -> str:
    name, state = container["name"], container.get("state") or {}
    reason = (state.get("waiting") or {}).get("reason", "")
    if reason in _PULL:
        return f'image "{container["image"]}" cannot be pulled; check its name, and whether the node may pull it'
    if reason and reason not in _STARTING:
        return f"container {name} cannot be started: {reason}; see `kubectl describe pod`"
    ended = state.get("terminated") or (container.get("lastState") or {}).get("terminated")
    if ended and not container.get("ready"):
        cause = f"{ended.get('reason') or 'Error'}, exit code {ended.get('exitCode')}"
        return f"container {name} ended ({cause}) and is started again; see `kubectl logs --previous`"
    return ""
