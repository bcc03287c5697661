"""A reconciler as the operator's process makes one, where a test is not about all of its parts."""

import time
from collections.abc import Callable

from modelroute.controller.beside import Beside
from modelroute.controller.kube.cluster import Cluster
from modelroute.controller.reconciler import Reconciler
from modelroute.controller.watching.cache import Cache, Key
from modelroute.planning.settings import Settings

SETTINGS = Settings("modelroute/router:test")


def reconciler(
    cluster: Cluster,
    cache: Cache,
    settings: Settings = SETTINGS,
    clock: Callable[[], float] = time.time,
    beside: Beside | None = None,
    again: Callable[[Key], None] = lambda _: None,
) -> Reconciler:
    """Without ``beside`` nobody is asked anything."""
    beside = beside or Beside(cluster, cache, again, clock)
    return Reconciler(cluster, cache, settings, clock, beside, again)
