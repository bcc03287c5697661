"""The operator's process: credentials, the watches, the workers, the admin port; started over when one ends.

Called by the command line. Never decides anything about a route.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from modelroute.controller import admin, logs
from modelroute.controller.cache import Cache
from modelroute.controller.cluster import ApiError, Cluster, credentials
from modelroute.controller.reconciler import Reconciler
from modelroute.controller.supervising import run_kopf
from modelroute.controller.watching import Watches
from modelroute.controller.workqueue import WorkQueue, backoff, jittered
from modelroute.planning.settings import Settings

WORKERS = 4

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """How the operator was started. Without ``namespaces`` it is responsible for all."""

    namespaces: tuple[str, ...]
    settings: Settings
    admin_port: int
    clock: Callable[[], float] = time.time  # Unix seconds


class Operator:
    """One run of everything, from an empty cache on."""

    def __init__(self, cluster: Cluster, options: Options) -> None:
        """Nothing is asked or written before ``run``."""
        cache = Cache()
        self._cluster = cluster
        self._namespaces = options.namespaces
        self.queue = WorkQueue(Reconciler(cluster, cache, options.settings, options.clock).reconcile)
        self._watches = Watches(cache, self.queue)

    @property
    def ready(self) -> bool:
        """Whether all that is watched has been seen once, and routes are worked on."""
        return self._watches.ready.is_set()

    async def run(self) -> None:
        """Work until a signal comes; whatever else ends it is raised."""
        scopes = self._namespaces or (None,)
        while not await self._cluster.serves_routes(scopes[0]):
            log.warning("the CustomResourceDefinition of ModelRoutes is not installed; waiting for it")
            await asyncio.sleep(jittered(4))
        await self._watches.begin(self._cluster, scopes)
        # Started before kopf, since kopf waits at its end for whatever was started after it, and then cancels it.
        others = [
            asyncio.create_task(self.queue.run(WORKERS, self._watches.ready), name="workers"),
            asyncio.create_task(self._watches.resync(self._cluster, scopes), name="resync"),
        ]
        watching = asyncio.create_task(run_kopf(self._watches.registry(), self._namespaces), name="watching")
        try:
            done, _ = await asyncio.wait([watching, *others], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (watching, *others):
                task.cancel()
            await asyncio.gather(watching, *others, return_exceptions=True)


async def run(options: Options) -> None:
    """Reconcile until SIGTERM or SIGINT. ModelRouteError when there is no cluster to work with."""
    logs.configure()
    cluster = Cluster(await credentials())
    operator: Operator | None = None
    server = await admin.start(
        options.admin_port,
        longest=lambda: operator.queue.longest() if operator else 0.0,
        ready=lambda: operator is not None and operator.ready,
    )
    failures = 0
    try:
        while True:
            operator = Operator(cluster, options)
            began = asyncio.get_running_loop().time()
            try:
                return await operator.run()
            except ApiError as error:
                log.warning("%s; starting over", error)
            except Exception:  # a background loop, the outermost: it starts over rather than end
                log.exception("starting over")
            operator = None
            failures = 1 if asyncio.get_running_loop().time() - began > 60 else failures + 1
            await asyncio.sleep(jittered(backoff(failures)))
    finally:
        await server.cleanup()
        await cluster.close()
