"""What the operator's installation decides for all routes; made by the CLI, read by the makers of child objects."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """The same for every ModelRoute; a change rolls the routers."""

    router_image: str
    image_pull_policy: str = "IfNotPresent"  # of the router's image
    cluster_domain: str = "cluster.local"
    prometheus_url: str = ""  # where KEDA asks, unless a backend says otherwise
    injection: bool = True  # routers are put into pods that ask for one
    network_policies: bool = False  # make NetworkPolicies
    operator_namespace: str = "modelroute-system"  # whose pods may reach admin ports and replicas
    monitoring_namespace: str = ""  # likewise, for what scrapes metrics
