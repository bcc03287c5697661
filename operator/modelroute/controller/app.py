"""The operator's process: credentials, the watches, leadership, the leader's work; started over when one ends.

Called by the command line. Never decides anything about a route.
"""

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from modelroute.controller import admin, clockwatch, logs
from modelroute.controller.backoff import backoff, jittered
from modelroute.controller.beside import Beside
from modelroute.controller.kube.calls import ApiError
from modelroute.controller.kube.cluster import Cluster, credentials
from modelroute.controller.kube.fencing import Fence
from modelroute.controller.leading import Leadership, LeaseOptions
from modelroute.controller.reconciler import Reconciler
from modelroute.controller.watching.cache import Cache, Key
from modelroute.controller.watching.supervising import run_kopf
from modelroute.controller.watching.watches import SILENCE_SECONDS, Watches, kopf_settings
from modelroute.controller.webhooks import hooks
from modelroute.controller.workqueue import WorkQueue
from modelroute.planning.settings import Settings

WORKERS = 16
"""Enough that routes whose requests hang, as those of one namespace may, leave others room."""
STUCK_SECONDS = 300.0
DEAF = 2.5
"""A watch that was silent for so many times its longest silence is dead: it was to be begun anew long before."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """How the operator was started. Without ``namespaces`` it is responsible for all."""

    namespaces: tuple[str, ...]
    settings: Settings
    admin_port: int
    clock: Callable[[], float] = time.time  # Unix seconds
    lease: LeaseOptions = field(default_factory=LeaseOptions)
    watch_silence: float = SILENCE_SECONDS
    webhooks: hooks.Options | None = None  # None: none are served


class Operator:
    """One run of everything, from an empty cache on."""

    def __init__(self, cluster: Cluster, leadership: Leadership, options: Options) -> None:
        """Nothing is asked or written before ``run``."""
        self._cluster = cluster
        self._leadership = leadership
        self._options = options
        self._cache = Cache()
        self._reconciler: Reconciler | None = None  # while it leads
        self._queue = WorkQueue(self._reconcile)
        self._watches = Watches(self._cache, self._queue, options.namespaces or (None,))

    async def run(self, on_start: Callable[[], None]) -> None:
        """Work until cancelled; whatever else ends it is raised. ``on_start`` is called when kopf runs."""
        while why := await self._hidden():
            log.warning("%s; waiting", why)
            await asyncio.sleep(jittered(4))
        watches, settings = self._watches, kopf_settings(self._options.watch_silence)
        try:
            await watches.begin(self._cluster)
            tasks = [
                # Whether it leads or not: what is seen of the cluster is kept up to date.
                asyncio.create_task(watches.resync(self._cluster), name="resync"),
                # While it leads, and not a moment longer, all that is in _lead.
                asyncio.create_task(self._follow(), name="leadership"),
            ]
            watching = run_kopf(watches.registry(), self._options.namespaces, settings, on_start)
            tasks.append(asyncio.create_task(watching, name="watching"))
            await _first(tasks)
        finally:
            await watches.close()

    async def _follow(self) -> None:
        """Until the lease is got, and again after; the work while it is held."""
        await self._leadership.run(self._watches.ready, self._cache.anything_told, self._lead)

    async def _hidden(self) -> str:
        """Why no ModelRoute may be seen in any namespace; empty: in one they may."""
        why = ""
        for scope in self._options.namespaces or (None,):
            try:
                if await self._cluster.serves_routes(scope):
                    return ""
            except ApiError as error:
                if not error.lasting:
                    raise
                why = str(error)
        return why or "the CustomResourceDefinition of ModelRoutes is not installed"

    async def _lead(self) -> None:
        """All that writes, from when the lease is got until it is lost. Nothing is remembered of an earlier time."""
        options, queue = self._options, self._queue
        beside = Beside(self._cluster, self._cache, queue.add, options.clock)
        self._reconciler = Reconciler(self._cluster, self._cache, options.settings, options.clock, beside, queue.add)
        for key in self._cache.routes():
            queue.add(key)
        tasks = [
            asyncio.create_task(queue.run(WORKERS, self._watches.ready), name="workers"),
            asyncio.create_task(beside.run(), name="beside"),
            asyncio.create_task(clockwatch.watch(options.clock, queue.hasten), name="clock"),
        ]
        try:
            await _first(tasks)
        finally:
            await beside.close()

    def unwell(self) -> str:
        """What only a restart can mend; nothing when all is well, or when it is the API server that is unwell."""
        age = self._queue.longest()
        if age > STUCK_SECONDS:
            return f"a reconcile has been running for {age:.0f} s"
        since = self._leadership.reachable_since
        limit = DEAF * self._options.watch_silence
        if since is None or asyncio.get_running_loop().time() - since < limit:
            return ""
        silent = ", ".join(kind.plural for kind in self._watches.ear.silent(limit))
        return f"nothing was heard for {limit:.0f} s of {silent}, though the API server answers" if silent else ""

    def unready(self) -> str:
        """What is still to come before it could lead."""
        if not self._watches.ready.is_set():
            return "the first listing of what is watched is not complete yet"
        return "" if self._leadership.answered else "the lease was not reached yet"

    async def _reconcile(self, key: Key) -> float | None:
        return await self._reconciler.reconcile(key) if self._reconciler else None


async def run(options: Options) -> None:
    """Reconcile until SIGTERM or SIGINT. ModelRouteError when there is no cluster to work with."""
    logs.configure()
    fence = Fence()
    cluster = Cluster(await credentials(), fence)
    stop = asyncio.Event()
    _on_signal(stop.set)
    operator: Operator | None = None
    unfenced, webhooks = None, None
    if options.webhooks:  # certificates are kept, and users' rights asked for, by all replicas
        unfenced = Cluster(cluster.configuration)
        webhooks = hooks.Hooks(unfenced, options.settings, options.webhooks, options.clock)

    async def work() -> None:
        nonlocal operator
        leadership = Leadership(cluster, fence, options.lease)
        failures = 0
        while True:
            operator = Operator(cluster, leadership, options)
            began, least = asyncio.get_running_loop().time(), 0.0
            try:
                await operator.run(lambda: _on_signal(stop.set))
            except ApiError as error:
                log.warning("%s; starting over", error)
                least = error.retry_after
            except Exception:  # a background loop, the outermost: it starts over rather than end
                log.exception("starting over")
            operator = None
            failures = 1 if asyncio.get_running_loop().time() - began > 60 else failures + 1
            await asyncio.sleep(max(jittered(backoff(failures)), least))

    server = await admin.start(
        options.admin_port,
        unwell=lambda: operator.unwell() if operator else "",
        unready=lambda: _unready(operator, webhooks),
    )
    tasks = [asyncio.create_task(stop.wait(), name="signals"), asyncio.create_task(work(), name="operator")]
    if webhooks:
        tasks.append(asyncio.create_task(webhooks.run(), name="webhooks"))
    try:
        await _first(tasks)
    finally:
        await server.cleanup()
        for client in filter(None, (unfenced, cluster)):
            await client.close()


def _unready(operator: Operator | None, webhooks: hooks.Hooks | None) -> str:
    """What is still to come before the process is of use."""
    if webhooks and not webhooks.listening:
        return "the webhooks do not listen yet"
    return operator.unready() if operator else "starting"


async def _first(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Wait until one of them ends, and end the others; what made one fail is raised."""
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _on_signal(handle: Callable[[], object]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, handle)
