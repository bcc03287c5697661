"""Addresses of replicas with what is known of each: how many requests it has in flight, which connections are idle.

Owned by ``live``; used by ``exchange``. What is known survives a change of the snapshot. Never opens a connection.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from modelroute.router.upstream import Upstream
from modelroute.snapshot.types import Backend

log = logging.getLogger(__name__)

IDLE_SECONDS = 30.0
REPORT_SECONDS = 10.0
_IDLE_MOST = 256


class Place(NamedTuple):
    """Where connections go to; two backends at one place share its connections and its count."""

    host: str
    port: int
    tls: bool
    name: str  # Host header and TLS server name; empty: the host
    guarded: bool  # forbidden addresses are refused
    loopback: bool  # but for this machine


def place_of(backend: Backend, address: str) -> Place:
    """The place of one of a backend's endpoints; ValueError when ``address`` is not host:port."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f'backend "{backend.name}": endpoint "{address}" is not host:port')
    return Place(host.strip("[]"), int(port), backend.tls, backend.host, backend.external, backend.loopback_allowed)


class Endpoint:
    """One replica."""

    __slots__ = ("_reported", "addresses", "host_header", "idle", "in_flight", "place", "retired")

    def __init__(self, place: Place) -> None:
        self.place = place
        self.in_flight = 0
        self.idle: list[Upstream] = []
        self.retired = False
        self.addresses: list[str] = []  # where its name led to the last time
        self._reported = -REPORT_SECONDS
        name = place.name or (f"[{place.host}]" if ":" in place.host else place.host)
        usual = 443 if place.tls else 80
        self.host_header = (name if place.port == usual else f"{name}:{place.port}").encode()

    def take(self) -> Upstream | None:
        """An idle connection that is now the caller's, the most recently used one; None when there is none."""
        return self.idle.pop() if self.idle else None

    def give_back(self, connection: Upstream, now: float) -> None:
        """Keep a connection for the next request."""
        if self.retired or len(self.idle) >= _IDLE_MOST:
            connection.close()
        else:
            connection.idle_since = now
            self.idle.append(connection)

    def report(self, problem: str, now: float) -> None:
        """Log why it failed, but not for each request."""
        if now - self._reported >= REPORT_SECONDS:
            self._reported = now
            log.warning("endpoint %s:%d failed: %s", self.place.host, self.place.port, problem)

    def reap(self, before: float) -> None:
        """Close connections that have been idle since ``before``; the list is in order of age."""
        while self.idle and self.idle[0].idle_since <= before:
            self.idle.pop(0).close()

    def retire(self) -> None:
        """Close what is idle and keep nothing more; running requests go on."""
        self.retired = True
        while self.idle:
            self.idle.pop().close()


class Endpoints:
    """All endpoints of a router, over all snapshots."""

    def __init__(self) -> None:
        self._by_place: dict[Place, Endpoint] = {}

    def of(self, backend: Backend) -> tuple[Endpoint, ...]:
        """The endpoints of ``backend``, those already known with what is known of them."""
        return tuple(self._get(place_of(backend, address)) for address in backend.endpoints)

    def _get(self, place: Place) -> Endpoint:
        endpoint = self._by_place.get(place)
        if endpoint is None:
            endpoint = self._by_place[place] = Endpoint(place)
        return endpoint

    def keep(self, wanted: Iterable[Endpoint]) -> None:
        """Retire all but ``wanted``; one that still has requests in flight is remembered until they are over."""
        kept = set(wanted)
        for place, endpoint in list(self._by_place.items()):
            if endpoint in kept:
                endpoint.retired = False
            else:
                endpoint.retire()
                if not endpoint.in_flight:
                    del self._by_place[place]

    def reap(self, now: float) -> None:
        """Close connections that have been idle for too long."""
        for endpoint in self._by_place.values():
            endpoint.reap(now - IDLE_SECONDS)


def least_in_flight(endpoints: Sequence[Endpoint], turn: int, avoid: Sequence[Endpoint]) -> Endpoint | None:
    """The one with the fewest requests in flight, of equals the next by ``turn``; None when all are to be avoided."""
    count = len(endpoints)
    if count == 1 and not avoid:
        return endpoints[0]
    best = None
    for i in range(count):
        endpoint = endpoints[(turn + i) % count]
        if endpoint not in avoid and (best is None or endpoint.in_flight < best.in_flight):
            best = endpoint
    return best
