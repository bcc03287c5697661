"""What the operator's installation decides for all routes; made by the CLI, read by the makers of child objects."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """The same for every ModelRoute; a change rolls the routers."""

    router_image: str
    image_pull_policy: str = "IfNotPresent"  # of the router's image
    cluster_domain: str = "cluster.local"
