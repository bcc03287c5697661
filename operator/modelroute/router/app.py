"""The router's process: its two ports, its snapshot, its end.

Run by ``modelroute router`` and ``modelroute serve``. Never handles a request itself.
"""

import asyncio
import logging
import resource
import signal
import socket
import ssl
from pathlib import Path

from msgspec import Struct, structs

from modelroute.errors import ModelRouteError
from modelroute.router.clients.keys import Keys
from modelroute.router.flow.job import Shared
from modelroute.router.http.framing import NEXT_REQUEST_SECONDS, Limits
from modelroute.router.http.http1 import ClientConnection, Service
from modelroute.router.http.tls import Certificate, Door
from modelroute.router.metrics.metrics import Metrics
from modelroute.router.replicas.live import Live
from modelroute.router.replicas.probing import Prober
from modelroute.router.service import AdminService, PublicService
from modelroute.router.source import Source

log = logging.getLogger(__name__)

POLL_SECONDS = 0.1
_LAST_WORDS_SECONDS = 2.0
_BACKLOG = 1024
_OWN_FILES = 512
"""Files that are neither a client's connection nor a backend's: idle ones of backends, snapshots, keys, logs."""
_TCP_NOTSENT_LOWAT = 25
_UNSENT = 131072
"""Bytes that the kernel takes for a client that does not read, beyond what is on its way."""


def _fitting(limits: Limits) -> Limits:
    """``limits`` with as many connections as there are files for, with one of a backend for each."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    most = limits.connections if files == resource.RLIM_INFINITY else max(1, (files - _OWN_FILES) // 2)
    return structs.replace(limits, connections=min(limits.connections, most))


def _trust() -> ssl.SSLContext:
    """Whose certificates backends may have: of whom the system trusts, for a name that is an alternative one."""
    context = ssl.create_default_context()
    context.hostname_checks_common_name = False  # nobody vouches for it (RFC 9525, 6.3)
    return context


class Options(Struct, frozen=True):
    """How a router runs; port 0 takes a free one. ``delay`` and ``grace`` are seconds.

    On SIGTERM the router is unready at once, takes new connections for ``delay``, so that those who still send to it
    are served, and then gives running answers ``grace`` to end.
    """

    port: int = 8000
    admin_port: int = 8001
    host: str = "0.0.0.0"  # noqa: S104
    secrets_dir: Path = Path("/etc/modelroute/secrets")
    delay: float = 0.0
    grace: float = 30.0
    tls_dir: Path | None = None  # holds tls.crt and tls.key; None serves without TLS
    limits: Limits = Limits()
    admin_host: str | None = None  # None: as ``host``


class Router:
    """A router in this process's event loop."""

    def __init__(self, source: Source, options: Options) -> None:
        self._source = source
        self._options = options
        self.metrics = Metrics()
        self.keys = Keys(options.secrets_dir)
        self.live = Live(self.metrics, self.keys)
        self._ending = asyncio.Event()
        self._hurry = asyncio.Event()
        loop = asyncio.get_running_loop()
        shared = Shared(loop, self.metrics, _trust(), self.live.budget)
        limits = _fitting(options.limits)
        self.public = PublicService(self.live, limits, shared)
        self.admin = AdminService(self.live, limits, shared)
        self._prober = Prober(self.live, shared.tls)
        self.port = self.admin_port = 0
        self._servers: list[asyncio.Server | Door] = []
        self._certificate = Certificate(options.tls_dir, self.metrics.registry) if options.tls_dir else None

    async def listen(self) -> None:
        """Take the first snapshot, if there is one, and both ports; OSError when a port is taken."""
        self.poll()
        options = self._options
        self._servers = [await self._listen(self.public, options.host, options.port, self._certificate)]
        self._servers.append(await self._listen(self.admin, options.admin_host or options.host, options.admin_port))
        self.port, self.admin_port = (s.sockets[0].getsockname()[1] for s in self._servers)
        log.info("listening on port %d, admin port %d", self.port, self.admin_port)

    async def serve(self) -> None:
        """Serve until ``end``, and then until running answers have ended."""
        polling = asyncio.create_task(self._keep_polling())
        try:
            await self._ending.wait()
            await self._drain()
        finally:
            polling.cancel()
            self._prober.stop()
            for server in self._servers:
                server.close()
            for client in [*self.public.clients, *self.admin.clients]:
                client.cut()

    async def _listen(
        self, service: Service, host: str, port: int, certificate: Certificate | None = None
    ) -> asyncio.Server | Door:
        loop = asyncio.get_running_loop()

        def make() -> ClientConnection:
            return ClientConnection(service, loop)

        server: asyncio.Server | Door
        if certificate is None:
            server = await loop.create_server(make, host, port, backlog=_BACKLOG)
        else:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            sock = socket.create_server((host, port), family=family, backlog=_BACKLOG)
            server = Door(sock, certificate, make, max(_BACKLOG, service.limits.connections // 4))
        for listening in server.sockets:
            # Each connection has it from here.
            listening.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, _UNSENT)
        return server

    def end(self) -> None:
        """Drain, and return from ``serve``; called again: without waiting for running answers."""
        if self._ending.is_set():
            self._hurry.set()
        self._ending.set()

    def poll(self) -> None:
        """Look at the snapshot, the keys and the certificate once; what is bad leaves the last good one in force."""
        self.keys.poll()
        if self._certificate is not None:
            self._certificate.poll()
        try:
            snapshot = self._source.poll()
            if snapshot is None:
                return
            self.live.swap(snapshot)
        except (ModelRouteError, ValueError) as error:
            self._refused(str(error))
        # The edge of a background loop: whatever is wrong with a snapshot must not end the router.
        except Exception as error:
            log.exception("unexpected")
            self._refused(repr(error))
        else:
            self.admin.refused_snapshot = None
            log.info("running generation %d, revision %s", snapshot.generation, snapshot.revision)

    def _refused(self, problem: str) -> None:
        self.metrics.snapshots_refused.inc()
        self.admin.refused_snapshot = problem
        log.error("snapshot refused, the last good one stays: %s", problem)

    async def _keep_polling(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                self.poll()
                self.live.endpoints.reap(loop.time())
                self._prober.tick(loop.time())
            # The edge of a background loop: what breaks once must not end snapshots and probes for good.
            except Exception:
                log.exception("unexpected")

    async def _drain(self) -> None:
        self.public.draining = self.admin.draining = True
        await self._wait(self._hurry, self._options.delay)
        self._servers[0].close()
        # Who was answered a moment ago may have asked again: that answer tells it to close, a close now would lose it.
        await self._wait(self.public.empty, NEXT_REQUEST_SECONDS)
        for client in list(self.public.clients):
            client.retire()
        await self._wait(self.public.empty, self._options.grace)
        for client in list(self.public.clients):
            client.shut()
        await self._wait(self.public.empty, _LAST_WORDS_SECONDS)

    async def _wait(self, event: asyncio.Event, seconds: float) -> None:
        """Until ``event``, a second signal, or ``seconds`` are over."""
        waits = [asyncio.ensure_future(e.wait()) for e in (event, self._hurry)]
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()


async def run(source: Source, options: Options) -> None:
    """Serve until SIGTERM or SIGINT, then drain; a second signal ends at once."""
    # Each request takes two connections; the usual soft limit of 1,024 files is for programs that select().
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    router = Router(source, options)
    # Before the first request can come: a signal must find its handler.
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, router.end)
    await router.listen()
    await router.serve()
