"""A large body that is looked at in another thread, so that no stream waits for all of it.

Made by ``service`` for bodies of ``LARGE`` bytes and more. Never decides anything: what was found goes back to the
event loop. A single step of it still holds the interpreter: of 16 MiB a twentieth of a second, and a fifth where all
texts of the body are looked at for words.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Generic, TypeVar

from modelroute.router.http.http1 import ClientConnection
from modelroute.router.http.request import Request

log = logging.getLogger(__name__)

LARGE = 2**20
"""Bytes of a body that take the event loop about five milliseconds."""

T = TypeVar("T")


class Reading(Generic[T]):
    """One request whose body is being looked at; see ``Running``."""

    __slots__ = ("_client", "_over", "_refuse", "_request", "_then")

    def __init__(
        self,
        client: ClientConnection,
        request: Request,
        then: Callable[["asyncio.Future[T]"], None],
        refuse: Callable[[], None],
    ) -> None:
        """``then`` hears of what was found; ``refuse`` is called when the router ends before."""
        self._client = client
        self._request = request
        self._then = then
        self._refuse = refuse
        self._over = False

    def start(self, executor: Executor, look: Callable[[], T]) -> None:
        """Look at it."""
        self._client.running = self
        asyncio.get_running_loop().run_in_executor(executor, look).add_done_callback(self._looked)

    def _looked(self, found: "asyncio.Future[T]") -> None:
        if self._over:
            found.exception()  # nobody is left to hear of it
            return
        self._over = True
        self._client.running = None
        try:
            self._then(found)
        # The edge of a connection: a request that breaks the router's own code must cost nobody else anything.
        except Exception:
            log.exception("unexpected")
            self._request.drop()
            self._client.cut()

    def client_gone(self) -> None:
        """Give back what was reserved."""
        if not self._over:
            self._over = True
            self._request.drop()

    def pause(self) -> None:
        """Nothing is written yet."""

    def resume(self) -> None:
        """Nothing is written yet."""

    def shut(self) -> None:
        """The router ends."""
        self._over = True
        self._client.running = None
        self._refuse()
