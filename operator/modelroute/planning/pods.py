"""What keeps a pod from running, in a sentence that stays the same while the cause does.

Called by the controller's cache, which keeps nothing else of a pod. Never sees a clock or the cluster.
A pod that crashes goes through its states again and again, and a pull is tried again: neither may show, or the status
would be written as often. So no counts, no times, no names of pods, and no message of the kubelet's.
"""

import re

from modelroute.planning import names
from modelroute.planning.observed import KubeObject

_PULL = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError")
_STARTING = ("ContainerCreating", "PodInitializing", "CrashLoopBackOff")
_COUNT = re.compile(r"(?<![\w./:-])\d+(/\d+)? (?=[A-Za-z])")
"""How many nodes: that changes with every node that comes and goes."""


def deployment_of(pod: KubeObject) -> str:
    """The Deployment that a pod's labels say it is of; empty when they do not."""
    labels = pod["metadata"].get("labels") or {}
    route, component = labels.get(names.ROUTE_LABEL, ""), labels.get(names.COMPONENT_LABEL)
    if component == "router":
        return names.router(route)
    return names.backend(route, labels.get(names.BACKEND_LABEL, "")) if component == "backend" else ""


def trouble(pod: KubeObject) -> str:
    """Why the pod does not run; empty when it does, or when nothing but patience is needed."""
    status = pod.get("status") or {}
    if pod["metadata"].get("deletionTimestamp") or status.get("phase") in ("Failed", "Succeeded"):
        return ""
    if status.get("containerStatuses"):
        return next(filter(None, map(_of_container, status["containerStatuses"])), "")
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            return f"no node can take the pod: {_reasons(condition.get('message') or 'unknown why')}"
    return ""


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
