"""Asks replicas that nobody has heard of for a while, and those that are out, whether they are well.

Ticked by ``app``. One probe of a replica at a time, on a connection of its own. Never decides what comes of an answer:
``policy.ejection`` does.
"""

import asyncio
import ssl

from modelroute.router.http.upstream import Headers, Upstream
from modelroute.router.replicas.dial import DialError, dial
from modelroute.router.replicas.endpoints import Endpoint
from modelroute.router.replicas.gate import TRIAL_SECONDS
from modelroute.router.replicas.live import Live
from modelroute.router.replicas.target import Target

ANSWER_SECONDS = 2.0
"""A replica that takes longer to say that it is well is not."""


class _Question:
    """Who waits for a probe's answer: its status alone; see ``Asker``.

    It closes the connection as soon as that is there: kept, it might be given to a request in the same moment.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, connection: Upstream) -> None:
        self._connection = connection
        self.status: asyncio.Future[int] = loop.create_future()

    def on_head(self, status: int, headers: Headers) -> None:  # noqa: ARG002
        """The answer."""
        if not self.status.done():
            self.status.set_result(status)
        self._connection.close()

    def on_data(self, data: bytes, *, last: bool) -> None:
        """Nothing of it matters."""

    def on_end(self) -> None:
        """Neither does its end."""

    def on_lost(self, problem: str, *, malformed: bool) -> None:  # noqa: ARG002
        """No answer."""
        if not self.status.done():
            self.status.set_result(0)


class Prober:
    """The probes of one router."""

    def __init__(self, live: Live, tls: ssl.SSLContext) -> None:
        self._live = live
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._running: set[asyncio.Task[None]] = set()

    def tick(self, now: float) -> None:
        """Begin the probes that are due; ``now`` on the loop's clock."""
        route = self._live.route
        for target in route.targets.values() if route is not None else ():
            down = target.down
            for endpoint in target.endpoints:
                if down:  # nobody is left to do its work: there is nothing to wait for
                    endpoint.vitals.hasten(now + TRIAL_SECONDS)
                if endpoint.vitals.probe_due(now):
                    task = self._loop.create_task(self._probe(target, endpoint))
                    self._running.add(task)
                    task.add_done_callback(self._running.discard)
                elif not down:
                    endpoint.release(now)

    def stop(self) -> None:
        """Give up what is running."""
        for task in self._running:
            task.cancel()

    async def _probe(self, target: Target, endpoint: Endpoint) -> None:
        try:
            async with asyncio.timeout(target.backend.timeouts.connect + ANSWER_SECONDS):
                well = 200 <= await self._status(target, endpoint) < 300
        except (DialError, TimeoutError):
            well = False
        endpoint.probed(self._loop.time(), ok=well)

    async def _status(self, target: Target, endpoint: Endpoint) -> int:
        connection = await dial(endpoint, self._tls)
        try:
            question = _Question(self._loop, connection)
            connection.ask(question, target.probe(endpoint), b"")
            return await question.status
        finally:
            connection.close()
