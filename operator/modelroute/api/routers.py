"""The router of a ModelRoute, v1alpha1, as types: its pods, its Service, who may ask it and by which certificate.

Used by ``types``, through which the other rooms reach all names here. Never holds a secret: it names Secrets.
"""

from typing import Annotated, Literal

from modelroute.api.base import Port, Resource, Resources, doc
from modelroute.api.scalars import HeaderName, ObjectName


class RouterService(Resource, frozen=True):
    """The Service in front of the router."""

    type: Annotated[Literal["ClusterIP", "NodePort", "LoadBalancer"], doc("The Service's type.")] = "ClusterIP"
    port: Annotated[Port | None, doc("The Service's port. Default: 80, with router.tls 443.")] = None
    node_port: Annotated[Port | None, doc("The node's port, for type NodePort or LoadBalancer.")] = None


class TrustedHeaders(Resource, frozen=True):
    """Request headers that a trusted proxy in front of the router sets. Without them such headers mean nothing."""

    user: Annotated[
        HeaderName | None,
        doc("The user's identity, before that of the client's key. Without both the body's `user` field is taken."),
    ] = None
    tier: Annotated[HeaderName | None, doc("The user's tier, before that of the client's key.")] = None


class SecretRef(Resource, frozen=True):
    """A Secret of this namespace."""

    name: Annotated[ObjectName, doc("The Secret's name.")]


class Auth(Resource, frozen=True):
    """Who is asking."""

    trusted_headers: Annotated[TrustedHeaders, doc("Headers that are believed.")] = TrustedHeaders()
    api_keys_secret_ref: Annotated[
        SecretRef | None,
        doc(
            "The clients' keys: a Secret with the entries keys.yaml (a list, made by `modelroute key`) and pepper "
            "(what they are hashed with). While it is missing, routers go on with the keys that they have read, and "
            "one that starts lets nobody in; to shut all out, make the list empty. Default: no client needs a key."
        ),
    ] = None


class TLS(Resource, frozen=True):
    """The certificate that the router serves by."""

    secret_ref: Annotated[
        SecretRef,
        doc(
            "A Secret of type kubernetes.io/tls (tls.crt, tls.key), such as cert-manager makes; a renewed one is taken "
            "up without a restart. Its name for clients of the cluster is ROUTE-router.NAMESPACE.svc."
        ),
    ]


class Sidecar(Resource, frozen=True):
    """The router within the pods that ask for it by the label modelroute.dev/sidecar: ROUTE."""

    port: Annotated[
        Port, doc("Where it listens, on the pod's loopback. OPENAI_BASE_URL of the other containers names it.")
    ] = 14000
    admin_port: Annotated[Port, doc("Where the operator asks it what it runs.")] = 14001


class Router(Resource, frozen=True):
    """The router of this route."""

    mode: Annotated[
        Literal["Gateway", "Sidecar", "None"],
        doc(
            "Gateway: a Deployment, a Service and a PodDisruptionBudget of its own. Sidecar: a container in the pods "
            "that carry the label modelroute.dev/sidecar with the route's name. None: the operator writes the "
            "configuration (the ConfigMap ROUTE-router-snapshot) and runs no router."
        ),
    ] = "Gateway"
    replicas: Annotated[int, doc("Router pods, of mode Gateway.", ge=0, le=100)] = 2
    sidecar: Annotated[Sidecar, doc("Of mode Sidecar: its ports.")] = Sidecar()
    service: Annotated[RouterService, doc("The Service in front of the router.")] = RouterService()
    auth: Annotated[Auth, doc("Who is asking.")] = Auth()
    tls: Annotated[TLS | None, doc("Serve https instead of http, with this certificate. Default: plain http.")] = None
    resources: Annotated[
        Resources,
        doc("CPU and memory of one router pod. Default: requests of 100m CPU and 128Mi memory, a limit of 512Mi."),
    ] = Resources(requests={"cpu": "100m", "memory": "128Mi"}, limits={"memory": "512Mi"})

    @property
    def port(self) -> int:
        """The Service's port."""
        return self.service.port or (443 if self.tls else 80)

    @property
    def scheme(self) -> str:
        """What clients' URLs begin with."""
        return "https" if self.tls else "http"
