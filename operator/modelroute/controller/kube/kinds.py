"""The kinds of the Kubernetes API that the operator touches, with their paths; the one place that knows either.

Read wherever objects are told apart. What may be done with each is a matter of RBAC and stands in the chart.
"""

from dataclasses import dataclass

from modelroute.api import types as t
from modelroute.planning import names

FIELD_MANAGER = "modelroute"
MANAGED = f"{names.MANAGED_LABEL}={names.MANAGER}"
"""A selector: all that is a child of a ModelRoute."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind. ``selector`` narrows what is watched of it, by labels; ``comes_with`` is what must be installed."""

    name: str
    group: str
    version: str
    plural: str
    selector: str = ""
    comes_with: str = ""

    @property
    def api_version(self) -> str:
        """As in a manifest."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str = "", subresource: str = "") -> str:
        """The URL's path of one object, or of the list in a namespace or in the cluster."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if namespace is not None else ""
        return "/".join(part for part in (f"{root}{scope}/{self.plural}", name, subresource) if part)


MODEL_ROUTE = Kind(t.KIND, t.GROUP, t.VERSION, t.PLURAL)
DEPLOYMENT = Kind("Deployment", "apps", "v1", "deployments", MANAGED)
# All Services and EndpointSlices: a targetRef may name any.
SERVICE = Kind("Service", "", "v1", "services")
SLICE = Kind("EndpointSlice", "discovery.k8s.io", "v1", "endpointslices")
CONFIG_MAP = Kind("ConfigMap", "", "v1", "configmaps", MANAGED)
SERVICE_ACCOUNT = Kind("ServiceAccount", "", "v1", "serviceaccounts", MANAGED)
DISRUPTION_BUDGET = Kind("PodDisruptionBudget", "policy", "v1", "poddisruptionbudgets", MANAGED)
CLAIM = Kind("PersistentVolumeClaim", "", "v1", "persistentvolumeclaims", MANAGED)
HORIZONTAL_AUTOSCALER = Kind("HorizontalPodAutoscaler", "autoscaling", "v2", "horizontalpodautoscalers", MANAGED)
DAEMON_SET = Kind("DaemonSet", "apps", "v1", "daemonsets", MANAGED)
NETWORK_POLICY = Kind("NetworkPolicy", "networking.k8s.io", "v1", "networkpolicies", MANAGED)
# KEDA's, and so not watched: a cluster without KEDA does not know the kind.
SCALED_OBJECT = Kind("ScaledObject", "keda.sh", "v1alpha1", "scaledobjects", MANAGED, "KEDA")
AUTOSCALERS = (HORIZONTAL_AUTOSCALER.name, SCALED_OBJECT.name)
SECRET = Kind("Secret", "", "v1", "secrets")
# Not those that keep an image on the nodes: there is one on each node, and nothing to tell of it.
POD = Kind("Pod", "", "v1", "pods", f"{names.ROUTE_LABEL},{names.COMPONENT_LABEL}!={names.PREPULL}")
EVENT = Kind("Event", "events.k8s.io", "v1", "events")
LEASE = Kind("Lease", "coordination.k8s.io", "v1", "leases")
ACCESS_REVIEW = Kind("SubjectAccessReview", "authorization.k8s.io", "v1", "subjectaccessreviews")
VALIDATING = Kind(
    "ValidatingWebhookConfiguration", "admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations"
)
MUTATING = Kind("MutatingWebhookConfiguration", "admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations")
WEBHOOK_CONFIGURATIONS = (VALIDATING, MUTATING)

_WATCHED_CHILDREN = (
    DEPLOYMENT,
    SERVICE,
    CONFIG_MAP,
    SERVICE_ACCOUNT,
    DISRUPTION_BUDGET,
    CLAIM,
    HORIZONTAL_AUTOSCALER,
    DAEMON_SET,
    NETWORK_POLICY,
)
CHILDREN = {kind.name: kind for kind in (*_WATCHED_CHILDREN, SCALED_OBJECT)}
WATCHED = (MODEL_ROUTE, *_WATCHED_CHILDREN, SLICE, POD)
