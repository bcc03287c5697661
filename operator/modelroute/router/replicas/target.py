"""One backend of a snapshot as this router runs it: its replicas, its gate, its key and the bytes prepared for it.

Made by ``live`` for each snapshot. What it is made of outlives it; which of the replicas may be chosen changes with
their health. Never sends anything.
"""

import math
import re
from base64 import b64encode

from modelroute import __version__
from modelroute.policy.balance import Balancer, Pool, balancer
from modelroute.policy.ejection import chosen_from
from modelroute.router.clients.keys import Key
from modelroute.router.metrics.metrics import Metrics
from modelroute.router.metrics.tally import Tally
from modelroute.router.replicas.endpoints import Endpoint
from modelroute.router.replicas.gate import Gate
from modelroute.router.surface.escapes import unescaped
from modelroute.router.surface.openai import Kind
from modelroute.snapshot.types import Backend, Load

_FIXED = f"accept-encoding: identity\r\nuser-agent: modelroute/{__version__}\r\n".encode()
_UNKNOWN = Load()
# What looks like a key, or like an address within a cluster.
_TELLTALE = re.compile(
    rb"\bsk-[A-Za-z0-9_-]{8,}"
    rb"|\b(?:(?:10|127)\.[0-9]{1,3}|169\.254|192\.168|172\.(?:1[6-9]|2[0-9]|3[01]))(?:\.[0-9]{1,3}){2}(?::[0-9]{1,5})?"
    rb"|(?<![a-z0-9.-])[a-z0-9.-]+\.svc(?:\.cluster\.local)?(?::[0-9]{1,5})?"
)


class Target:
    """One backend. ``pool`` holds the replicas that may be chosen; None: there is none.

    ``left`` are those that earlier snapshots had, and that had requests to answer when this one came.
    """

    __slots__ = (
        "_by_model", "_full", "_metrics", "_starts", "backend", "balance", "endpoints", "gate", "key", "left", "name",
        "pool",
    )  # fmt: skip

    def __init__(
        self, backend: Backend, endpoints: tuple[Endpoint, ...], key: Key | None, gate: Gate, metrics: Metrics
    ) -> None:
        self.backend = backend
        self.name = backend.name
        self.endpoints = endpoints
        self.left: tuple[Endpoint, ...] = ()
        self.key = key
        self.gate = gate
        self.balance: Balancer[Endpoint] = balancer(backend.balancing)
        self._full = Pool(endpoints, backend.balancing) if endpoints else None
        self.pool = self._full
        self._metrics = metrics
        self._by_model: dict[str, Tally] = {}
        self._starts: dict[Kind, bytes] = {}

    @property
    def keyless(self) -> bool:
        """Whether the key that this backend needs is not there."""
        return self.key is not None and not self.key.value

    @property
    def down(self) -> bool:
        """Whether all of its replicas are ejected."""
        return bool(self.endpoints) and all(e.vitals.ejected for e in self.endpoints)

    def follow(self, before: "Target") -> None:
        """Keep in sight the replicas of ``before`` that are to get nothing more, and still answer."""
        here = set(self.endpoints)
        self.left = tuple(e for e in (*before.endpoints, *before.left) if e.in_flight and e not in here)

    def take_over(self, now: float, now_unix: float, since: float) -> None:
        """Come into force: replicas and gate get the settings of this snapshot. ``since``: when new replicas came."""
        for endpoint in self.endpoints:
            endpoint.vitals.settings = self.backend.health
            load = self.backend.loads.get(endpoint.name, _UNKNOWN)
            endpoint.waiting, endpoint.cache = load.waiting, load.cache
            if endpoint.since == math.inf:
                endpoint.since = since
                endpoint.vitals.met(now)
        down = self._choose()  # before those who waited are called
        self.gate.adopt(self.backend, now_unix)
        self.gate.set_down(down)

    def refresh(self) -> None:
        """A replica was ejected or is back: choose among the right ones from now on."""
        self.gate.set_down(self._choose())

    def _choose(self) -> bool:
        """Fill the pool; returns whether all replicas are out."""
        chosen, down = chosen_from([e.vitals for e in self.endpoints], self.backend.health)
        left_out = [e for i, e in enumerate(self.endpoints) if i not in chosen]
        self.pool = self._full.without(left_out) if self._full is not None else None
        return down

    def tally(self, model: str) -> Tally:
        """The counts of this backend for a model that the route serves."""
        found = self._by_model.get(model)
        if found is None:
            found = self._by_model[model] = self._metrics.tally(self.name, model, self.backend.version)
        return found

    def head(self, endpoint: Endpoint, kind: Kind, passed: bytes, length: int) -> bytes:
        """The head of a request to ``endpoint``; ``passed`` are the header lines that come from the client."""
        start = self._starts.get(kind)
        if start is None:
            path = (self.backend.prefix + kind.value).encode()
            start = self._starts[kind] = b"POST %b HTTP/1.1\r\n%b" % (path, _FIXED)
        return b"%bhost: %b\r\n%b%bcontent-length: %d\r\n\r\n" % (
            start,
            endpoint.host_header,
            self.key.header if self.key else b"",
            passed,
            length,
        )

    def probe(self, endpoint: Endpoint) -> bytes:
        """A request to ``endpoint`` whether it is well."""
        key = self.key.header if self.key else b""
        path = self.backend.health.path.encode()
        return b"GET %b HTTP/1.1\r\nhost: %b\r\n%b%b\r\n" % (path, endpoint.host_header, _FIXED, key)

    @property
    def longest_key(self) -> int:
        """Bytes of the longest key that the backend may give back; 1: it has none."""
        return max(map(len, self.key.known), default=1) if self.key is not None else 1

    def without_key(self, data: bytes) -> bytes:
        """What a backend sent without the key that it was sent, should it have given that back."""
        for value in self.key.known if self.key is not None else ():
            if value in data:
                data = data.replace(value, b"***")
        return data

    def scrubbed(self, error: bytes) -> bytes:
        """A backend's own error without what only the router should know: the key, however it is written; addresses."""
        error = self.without_key(unescaped(error))
        for value in self.key.known if self.key is not None else ():
            error = error.replace(b64encode(value), b"***")
        for endpoint in self.endpoints:
            error = error.replace(endpoint.name.encode(), b"***").replace(endpoint.host_header, b"***")
        return _TELLTALE.sub(b"***", error)
