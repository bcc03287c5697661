"""What the operator asks of the Kubernetes API, and so all that its role may hold.

Read by tests alone: the control-plane tests run the operator with just these rules, and the chart's role is held to
them.
"""

from collections.abc import Mapping

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
    ("autoscaling", "horizontalpodautoscalers"): ("get", "list", "watch", "create", "patch", "delete"),
    ("apps", "daemonsets"): ("get", "list", "watch", "create", "patch", "delete"),
    ("networking.k8s.io", "networkpolicies"): ("get", "list", "watch", "create", "patch", "delete"),
    ("keda.sh", "scaledobjects"): ("get", "create", "patch", "delete"),  # where KEDA is; looked for by name alone
    ("discovery.k8s.io", "endpointslices"): ("list", "watch"),
    ("", "secrets"): ("get",),  # those alone that a ModelRoute names; never a list of them
    # What keeps one from running; and the annotation that makes the kubelet refresh a router's configuration.
    ("", "pods"): ("list", "watch", "patch"),
    ("events.k8s.io", "events"): ("create",),
}
"""Verbs by API group and resource."""


def policy_rules() -> list[dict[str, list[str]]]:
    """The rules of a Role or ClusterRole."""
    return [
        {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}
        for (group, resource), verbs in RULES.items()
    ]
