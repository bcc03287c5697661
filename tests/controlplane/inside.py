"""The operator within the test, on the test's clock: for what its own process would do too late, or with luck."""

import asyncio
import time
from typing import Self

from modelroute.controller.beside import Beside
from modelroute.controller.kube.cluster import Cluster, credentials
from modelroute.controller.kube.kinds import WATCHED
from modelroute.controller.watching.cache import Cache, Key
from modelroute.planning.settings import Settings
from tests.fakes.reconcilers import reconciler


class Inside:
    """A reconciler and its errands, without watches: each look lists all that is watched. KUBECONFIG says where."""

    def __init__(self, namespace: str) -> None:
        self.key = Key(namespace, "chat")
        self.now = time.time()
        self.ends = asyncio.Event()

    async def __aenter__(self) -> Self:
        self.cluster, self.cache = Cluster(await credentials()), Cache()
        self.beside = Beside(self.cluster, self.cache, lambda _: self.ends.set(), lambda: self.now)
        settings = Settings(router_image="modelroute/router:test")
        self.reconciler = reconciler(self.cluster, self.cache, settings, lambda: self.now, self.beside)
        self._running = asyncio.create_task(self.beside.errands.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._running.cancel()
        await asyncio.wait([self._running])
        await self.beside.close()
        await self.cluster.close()

    async def list(self) -> None:
        """See what the watches would bring."""
        for kind in WATCHED:
            items, version = await self.cluster.select(kind, self.key.namespace, kind.selector)
            for item in items:
                self.cache.put(kind, item)
            self.cache.retain(kind, items, version, self.key.namespace)

    async def look(self) -> None:
        """One reconcile."""
        await self.list()
        self.ends.clear()
        await self.reconciler.reconcile(self.key)

    async def idle(self) -> None:
        """Until nothing is under way."""
        async with asyncio.timeout(60):
            while self.beside.errands.seen(self.key).under_way:
                self.ends.clear()
                await self.ends.wait()
