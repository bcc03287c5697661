"""TLS for clients: the certificate, taken up again when it is renewed, and the door through which connections come.

Made by ``app`` when a directory with a certificate is given, as a Secret is mounted. Behind the door a connection is as
any other. A handshake that fails costs its connection and nothing else: nothing is logged, since anybody can do it.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter

from modelroute.errors import ModelRouteError

log = logging.getLogger(__name__)

HANDSHAKE_SECONDS = 5.0
_GOODBYE_SECONDS = 2.0
_REST_SECONDS = 0.1
_AT_ONCE = 64
_Signature = list[tuple[int, int, int]] | None


class Certificate:
    """The pair of ``tls.crt`` and ``tls.key`` in a directory; the last good one stays while there is no other."""

    def __init__(self, directory: Path, registry: CollectorRegistry) -> None:
        """ModelRouteError when there is no good pair to begin with."""
        self._certificate, self._key = directory / "tls.crt", directory / "tls.key"
        self._refused = Counter(
            "modelroute_certificate_refused", "Certificates of its own that were not taken up.", registry=registry
        )
        self._seen = self._signature()
        try:
            self.context = self._load()
        except (OSError, ValueError) as error:
            raise ModelRouteError(f"the certificate in {directory} cannot be used: {_problem(error)}") from None

    def poll(self) -> None:
        """Take the files up again if they are others than before."""
        seen = self._signature()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self.context = self._load()
        except (OSError, ValueError) as error:
            self._refused.inc()
            problem = _problem(error)
            log.warning("certificate %s refused, the last good one stays: %s", self._certificate, problem)
        else:
            log.info("certificate %s taken up", self._certificate)

    def _signature(self) -> _Signature:
        try:
            stats = [path.stat() for path in (self._certificate, self._key)]
        except OSError:
            return None
        return [(stat.st_mtime_ns, stat.st_ino, stat.st_size) for stat in stats]

    def _load(self) -> ssl.SSLContext:
        """A context of its own for each pair, so that a bad one spoils nothing."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        context.set_alpn_protocols(["http/1.1"])
        context.load_cert_chain(self._certificate, self._key, password="")  # never ask for one
        return context


def _problem(error: Exception) -> str:
    """Names no content: OpenSSL's reasons tell of none."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or "it is not PEM, or its key is encrypted").replace("_", " ").lower()
    return getattr(error, "strerror", None) or str(error)


class Door:
    """A listening socket whose connections are handed on once they speak TLS. Looks like ``asyncio.Server``."""

    def __init__(
        self, sock: socket.socket, certificate: Certificate, make: Callable[[], asyncio.Protocol], most: int
    ) -> None:
        """``make`` makes a connection's protocol; ``most`` is how many handshakes there are at a time."""
        self.sockets: tuple[socket.socket, ...] = (sock,)
        self._certificate = certificate
        self._make = make
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._shaking: set[asyncio.Task[None]] = set()
        self._resting: asyncio.TimerHandle | None = None
        sock.settimeout(0)
        self._open()

    def is_serving(self) -> bool:
        """Whether it takes connections."""
        return bool(self.sockets)

    def close(self) -> None:
        """Take no more connections; handshakes that have begun are cut."""
        if self._resting is not None:
            self._resting.cancel()
        if self.sockets:
            self._loop.remove_reader(self.sockets[0])
            self.sockets[0].close()
        self.sockets = ()
        for task in self._shaking:
            task.cancel()

    def _open(self) -> None:
        self._resting = None
        self._loop.add_reader(self.sockets[0], self._accept)

    def _rest(self) -> None:
        """Leave those who come in the backlog for a moment."""
        self._loop.remove_reader(self.sockets[0])
        self._resting = self._loop.call_later(_REST_SECONDS, self._open)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            if len(self._shaking) >= self._most:
                self._rest()
                return
            try:
                connection, _address = self.sockets[0].accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # out of files; to look again at once would spin
                self._rest()
                return
            task = self._loop.create_task(self._shake(connection))
            self._shaking.add(task)
            task.add_done_callback(self._shaking.discard)

    async def _shake(self, connection: socket.socket) -> None:
        connection.settimeout(0)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await self._loop.connect_accepted_socket(
                self._make,
                connection,
                ssl=self._certificate.context,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=_GOODBYE_SECONDS,
            )
        except OSError:
            connection.close()
