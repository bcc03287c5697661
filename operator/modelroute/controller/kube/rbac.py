"""What the operator asks of the Kubernetes API, and so all that its roles may hold.

Read by no other module of the product: control-plane tests and benchmarks run the operator with just these rules, and
the chart's roles are held to them.
"""

from collections.abc import Mapping

from modelroute.controller.leading import LEASE_NAME

RULES: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("modelroute.dev", "modelroutes"): ("get", "list", "watch"),  # get: for a pod that asks for a router
    ("modelroute.dev", "modelroutes/status"): ("patch",),
    # A child: "get" is for whose a name is, "create" and "patch" together are server-side apply.
    ("apps", "deployments"): ("get", "list", "watch", "create", "patch", "delete"),
    ("", "services"): ("list", "watch", "create", "patch", "delete"),
    ("", "configmaps"): ("get", "list", "watch", "create", "patch"),
    ("", "serviceaccounts"): ("get", "list", "watch", "create", "patch", "delete"),
    ("", "persistentvolumeclaims"): ("get", "list", "watch", "create", "patch", "delete"),
    ("policy", "poddisruptionbudgets"): ("get", "list", "watch", "create", "patch", "delete"),
    ("autoscaling", "horizontalpodautoscalers"): ("get", "list", "watch", "create", "patch", "delete"),
    ("apps", "daemonsets"): ("get", "list", "watch", "create", "patch", "delete"),
    ("networking.k8s.io", "networkpolicies"): ("get", "list", "watch", "create", "patch", "delete"),
    ("keda.sh", "scaledobjects"): ("get", "create", "patch", "delete"),  # where KEDA is; looked for by name alone
    ("discovery.k8s.io", "endpointslices"): ("list", "watch"),
    ("", "secrets"): ("get",),  # those alone that a ModelRoute names; never a list of them
    # What keeps one from running; and the annotation that makes the kubelet refresh a router's configuration.
    ("", "pods"): ("list", "watch", "patch"),
    ("", "pods/status"): ("patch",),  # the readiness gate of a replica
    ("events.k8s.io", "events"): ("create",),
}
"""Verbs by API group and resource, in each namespace whose ModelRoutes it is responsible for."""

LEASE_RULES: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("coordination.k8s.io", "leases"): ("get", "update", "create"),
}
"""Likewise, in the operator's own namespace."""

OWN_RULES: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("", "secrets"): ("get", "create", "patch"),  # the webhooks' certificates
}
"""Likewise, in the operator's own namespace, for the webhooks alone."""

CLUSTER_RULES: Mapping[tuple[str, str], tuple[str, ...]] = {
    # Whom the API server trusts when it calls the webhooks.
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"): ("get", "patch"),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"): ("get", "patch"),
    ("authorization.k8s.io", "subjectaccessreviews"): ("create",),  # what a user may do without us
}
"""Likewise, of what has no namespace: for the webhooks alone."""

NAMED: Mapping[str, str] = {
    "leases": LEASE_NAME,
    "secrets": "modelroute-webhook",
    "mutatingwebhookconfigurations": "modelroute",
    "validatingwebhookconfigurations": "modelroute",
}
"""Of these resources one object alone may be got and changed, but for those of RULES; what is created has no name yet
when it is asked for."""


def policy_rules(rules: Mapping[tuple[str, str], tuple[str, ...]] = RULES) -> list[dict[str, list[str]]]:
    """The rules of a Role or ClusterRole."""
    found = []
    for (group, resource), verbs in rules.items():
        name = NAMED.get(resource) if rules is not RULES else None
        named = [verb for verb in verbs if name and verb != "create"]
        free = [verb for verb in verbs if verb not in named]
        thing = {"apiGroups": [group], "resources": [resource]}
        found += [{**thing, "resourceNames": [name], "verbs": named}] if name and named else []
        found += [{**thing, "verbs": free}] if free else []
    return found
