"""The webhooks as a part of the operator's process: certificates first, then the port, until the end.

Run by ``app`` in every replica, whether it leads or not: the API server may come to any.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from modelroute.controller.kube.cluster import Cluster
from modelroute.controller.webhooks import server
from modelroute.controller.webhooks.admission import Admission
from modelroute.controller.webhooks.keeper import Keeper
from modelroute.planning.settings import Settings

PORT_SECONDS = 2.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """Where: the port, and the operator's own namespace, where the Secret with the certificates is."""

    port: int
    namespace: str


class Hooks:
    """Begins with ``run``; ``listening`` as soon as there is a certificate to serve by."""

    def __init__(self, cluster: Cluster, settings: Settings, options: Options, clock: Callable[[], float]) -> None:
        """``clock`` gives Unix seconds."""
        self.listening = False
        self._admission = Admission(cluster, settings)
        self.keeper = Keeper(cluster, options.namespace, clock)
        self._port = options.port

    async def run(self) -> None:
        """Keep the certificates and serve, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.keeper.run(), name="webhook certificates")
            group.create_task(self.serve(), name="webhooks")

    async def serve(self) -> None:
        """Serve, from when there is a certificate until cancelled."""
        await self.keeper.ready.wait()
        runner = await self._listen()
        log.info("webhooks: listening on port %d", self._port)
        self.listening = True
        try:
            await asyncio.Event().wait()
        finally:
            self.listening = False
            await runner.cleanup()

    async def _listen(self) -> web.AppRunner:
        while True:
            try:
                return await server.listen(self._admission, self.keeper.context, self._port)
            except OSError as error:
                log.warning("webhooks: port %d cannot be had: %s; trying again", self._port, error.strerror)
            await asyncio.sleep(PORT_SECONDS)
