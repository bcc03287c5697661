"""What the operator asks of the Kubernetes API, and so all that its roles may hold.

Read by tests alone: the control-plane tests run the operator with just these rules, and the chart's roles are held to
them.
"""

from collections.abc import Mapping
from typing import Any

from modelroute.controller.leading import LEASE_NAME

RULES: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("modelroute.dev", "modelroutes"): ("list", "watch"),
    ("modelroute.dev", "modelroutes/status"): ("patch",),
    # A child: "get" is for whose a name is, "create" and "patch" together are server-side apply.
    ("apps", "deployments"): ("get", "list", "watch", "create", "patch", "delete"),
    ("", "services"): ("list", "watch", "create", "patch", "delete"),
    ("", "configmaps"): ("get", "list", "watch", "create", "patch"),
    ("", "serviceaccounts"): ("get", "list", "watch", "create", "patch"),
    ("", "persistentvolumeclaims"): ("get", "list", "watch", "create", "patch", "delete"),
    ("policy", "poddisruptionbudgets"): ("get", "list", "watch", "create", "patch"),
    ("discovery.k8s.io", "endpointslices"): ("list", "watch"),
    ("", "secrets"): ("get",),  # those alone that a ModelRoute names; never a list of them
    # What keeps one from running; and the annotation that makes the kubelet refresh a router's configuration.
    ("", "pods"): ("list", "watch", "patch"),
    ("", "pods/status"): ("patch",),  # the readiness gate of a replica
    ("events.k8s.io", "events"): ("create",),
}
"""Verbs by API group and resource, in each namespace whose ModelRoutes it is responsible for."""

LEASE_RULES: list[dict[str, Any]] = [
    {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "resourceNames": [LEASE_NAME],
        "verbs": ["get", "update"],
    },
    # What is not there yet has no name that a rule could know.
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
]
"""The rules of the Role in the operator's own namespace, and there alone."""


def policy_rules() -> list[dict[str, list[str]]]:
    """The rules of the Role or ClusterRole that ``RULES`` is."""
    return [
        {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}
        for (group, resource), verbs in RULES.items()
    ]
