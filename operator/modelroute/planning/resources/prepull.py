"""The DaemonSet that has a backend's image on its nodes before a replica needs it there: a pull can take ten minutes.

Called by ``plan``. Its pods run the very image, asleep: an image in use is not cleaned away by the kubelet. They get no
GPU, and are no replicas: no Service and no Deployment picks them.
"""

from modelroute.api import types as t
from modelroute.planning import names
from modelroute.planning.observed import KubeObject
from modelroute.planning.resources import objects, replica


def daemon_set(route: t.ModelRoute, backend: t.Backend, vllm: t.VLLM) -> KubeObject:
    """One sleeping pod on each node that may run a replica."""
    selector = names.prepull_selector(route.metadata.name, backend.name)
    container = {
        "name": "image",
        "image": vllm.image,
        "command": ["sleep", "infinity"],
        # Images for GPUs ask for all of them by this variable, and some runtimes give them without a request.
        "env": [{"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"}],
        "resources": {"requests": {"cpu": "1m", "memory": "8Mi"}, "limits": {"memory": "32Mi"}},
        "securityContext": objects.CONTAINER_SECURITY,
    }
    affinity = (vllm.template.get("spec") or {}).get("affinity") or {}
    pod = {
        "terminationGracePeriodSeconds": 1,  # a sleep that is a container's first process does not heed SIGTERM
        "containers": [container],
        "affinity": {k: v for k, v in affinity.items() if k == "nodeAffinity"},
        **replica.placement(vllm),
    }
    template = objects.pod(selector, pod)
    template["metadata"]["labels"] = selector  # and no others: what picks replicas must not pick these
    spec = {
        "selector": {"matchLabels": selector},
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "100%"}},
        "revisionHistoryLimit": 1,
        "template": template,
    }
    name = names.prepull(route.metadata.name, backend.name)
    return objects.child("DaemonSet", name, route.metadata, selector, {"spec": spec})
