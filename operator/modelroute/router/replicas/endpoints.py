"""Replicas with what is known of each: its requests in flight, its idle connections, its health.

Owned by ``live``; used by ``attempt``. What is known survives a change of the snapshot. Never opens a connection and
never chooses.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

from modelroute.policy.ejection import Vitals
from modelroute.router.http.upstream import Upstream
from modelroute.router.replicas.names import Whereabouts
from modelroute.snapshot.types import Backend

log = logging.getLogger(__name__)

IDLE_SECONDS = 30.0
REPORT_SECONDS = 10.0
_IDLE_MOST = 256
_PACE_KEPT = 0.8
"""Of what was measured before, with each answer: five of them change it by two thirds."""
_PACE_LEAST = 0.005
"""Seconds; differences below are those of the clock."""


class Place(NamedTuple):
    """Where connections go to; two backends at one place share its connections and its count."""

    host: str
    port: int
    tls: bool
    name: str  # Host header and TLS server name; empty: the host
    loopback: bool  # this machine is allowed; link-local and metadata addresses never are


def place_of(backend: Backend, address: str) -> Place:
    """The place of one of a backend's endpoints; ValueError when ``address`` is not host:port."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f'backend "{backend.name}": endpoint "{address}" is not host:port')
    loopback = backend.loopback_allowed or not backend.external
    return Place(host.strip("[]"), int(port), backend.tls, backend.host, loopback)


class Endpoint:
    """One replica; what a balancer looks at is told by ``policy.balance.Replica``."""

    __slots__ = (
        "_changed", "_made", "_reported", "_spent", "asked", "cache", "host_header", "idle", "in_flight", "name",
        "pace", "place", "retired", "since", "vitals", "waiting", "where",
    )  # fmt: skip

    def __init__(self, place: Place, vitals: Vitals, changed: Callable[[Endpoint], None]) -> None:
        self.place = place
        self.name = f"{place.host}:{place.port}"
        self.vitals = vitals
        self.in_flight = 0
        self.waiting = 0
        self.cache = 0.0
        self.pace = 0.0
        self._spent = self._made = 0.0
        self.asked = -math.inf
        self.since = math.inf  # until it comes into force
        self._changed = changed
        self.idle: list[Upstream] = []
        self.retired = False
        self.where = Whereabouts(place.host, place.port, self._moved, loopback=place.loopback)
        self._reported = -REPORT_SECONDS
        name = place.name or (f"[{place.host}]" if ":" in place.host else place.host)
        usual = 443 if place.tls else 80
        self.host_header = (name if place.port == usual else f"{name}:{place.port}").encode()

    def take(self) -> Upstream | None:
        """An idle connection that is now the caller's, the most recently used one; None when there is none."""
        while self.idle:
            connection = self.idle.pop()
            if connection.is_quiet():
                return connection
            connection.close()
        return None

    def give_back(self, connection: Upstream, now: float) -> None:
        """Keep a connection for the next request."""
        if self.retired or len(self.idle) >= _IDLE_MOST or self._is_gone(connection):
            connection.close()
        else:
            connection.idle_since = now
            self.idle.append(connection)

    def _is_gone(self, connection: Upstream) -> bool:
        return self.where.is_name and connection.address not in self.where.addresses

    def _moved(self) -> None:
        """Its name leads elsewhere: new requests go there; those that run may end where they are."""
        for connection in [c for c in self.idle if self._is_gone(c)]:
            self.idle.remove(connection)
            connection.close()

    def took(self, seconds: float, tokens: int) -> None:
        """An answer of so many ``tokens`` (1 where nobody tells) was whole after so long."""
        self._spent = self._spent * _PACE_KEPT + max(seconds, _PACE_LEAST)
        self._made = self._made * _PACE_KEPT + tokens
        self.pace = self._spent / self._made

    def succeeded(self, now: float) -> None:
        """It answered a request."""
        if self.vitals.succeeded(now):
            self._changed(self)

    def failed(self, now: float, *, fatal: bool = False) -> None:
        """It failed a request; ``fatal``: in a way that says that it will fail all."""
        if self.vitals.failed(now, fatal=fatal):
            self._changed(self)

    def probed(self, now: float, *, ok: bool) -> None:
        """A probe of it has ended."""
        if self.vitals.probed(now, ok):
            self._changed(self)

    def release(self, now: float) -> None:
        """Let it come back if time alone brings it back."""
        if self.vitals.released(now):
            self._changed(self)

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
        """Close what is idle and keep nothing more; running requests go on. Should it come back, it comes as a new one.

        Such as a replica that slept while a last answer of it was read: it is spared at first, like any other.
        """
        self.retired = True
        self.since = math.inf
        while self.idle:
            self.idle.pop().close()


class Endpoints:
    """All endpoints of a router, over all snapshots."""

    def __init__(self, changed: Callable[[Endpoint], None]) -> None:
        self._by_place: dict[Place, Endpoint] = {}
        self._changed = changed

    def of(self, backend: Backend) -> tuple[Endpoint, ...]:
        """The endpoints of ``backend``, those already known with what is known of them."""
        return tuple(self._get(place_of(backend, address), backend) for address in backend.endpoints)

    def _get(self, place: Place, backend: Backend) -> Endpoint:
        endpoint = self._by_place.get(place)
        if endpoint is None:
            endpoint = self._by_place[place] = Endpoint(place, Vitals(backend.health), self._changed)
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
        """Close connections that have been idle for too long, and see where those in use lead to now."""
        for endpoint in self._by_place.values():
            endpoint.reap(now - IDLE_SECONDS)
            if endpoint.idle or endpoint.in_flight:
                endpoint.where.refresh(now)
