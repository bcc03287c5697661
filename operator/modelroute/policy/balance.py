"""Which replica of a backend takes a request: a balancer is one function type, and here are all of them.

Called by the router for each try. Never asks whether a replica is healthy: a pool holds those that may be chosen.
"""

import struct
from bisect import bisect_left
from collections.abc import Callable, Collection
from hashlib import blake2b
from itertools import chain
from typing import Generic, Protocol, TypeVar
from zlib import crc32

from modelroute.snapshot.types import Balancing

FULL_CACHE = 0.95
_SLOW = 3.0
"""Times as slow as another from which on that counts: answers of one model differ, too."""
_FORGET = 10.0
"""Seconds after which a slow replica that was left alone is tried by one request, as if it were not slow."""
_LEAST_SHARE = 0.1  # of a replica that has just come; Envoy's min_weight_percent
_DIGESTS = 13  # of eight points each: 104 on the ring for a replica
_POINTS = struct.Struct("<8Q")
_INDEX = 0xFFFF  # the bits of a point that hold a replica's index
_PLACE_SHIFT = 32  # a key's place has half the bits of a point


class Replica(Protocol):
    """What a balancer looks at."""

    @property
    def name(self) -> str:
        """Stable and the same for all routers: ``host:port``."""

    @property
    def in_flight(self) -> int:
        """Requests of this router."""

    @property
    def waiting(self) -> int:
        """Requests that wait in the replica, by its own metrics."""

    @property
    def cache(self) -> float:
        """Its key-value cache in use, of 1."""

    @property
    def pace(self) -> float:
        """Seconds that it takes for a token of its answers, a moving average; 0: not known."""

    @property
    def asked(self) -> float:
        """The moment of the last request, in the seconds of ``now``."""

    @property
    def since(self) -> float:
        """The moment at which it came, in the seconds of ``now``; minus infinity: it was there at the start."""


R = TypeVar("R", bound=Replica)


class Pool(Generic[R]):
    """Replicas to choose from, and what can be computed once for them. Never empty. Another when one comes or goes.

    ``ring`` is for the types that hash, else empty: points in ascending order, the replica's index in the low bits.
    """

    __slots__ = ("avoided", "members", "replicas", "ring", "settings")

    def __init__(self, replicas: tuple[R, ...], settings: Balancing) -> None:
        self.replicas = replicas
        self.settings = settings
        self.members = replicas  # whom the ring's points mean, and
        self.avoided: Collection[R] = ()  # those of them that are not meant here
        self.ring = [] if settings.type == "LeastInFlight" else _ring(replicas)

    def without(self, avoid: Collection[R]) -> "Pool[R] | None":
        """Those that are not to be avoided; None: there is no other. The ring is not made again."""
        left = tuple(r for r in self.replicas if r not in avoid)
        if not left:
            return None
        pool: Pool[R] = Pool.__new__(Pool)
        pool.replicas, pool.settings, pool.members, pool.ring = left, self.settings, self.members, self.ring
        pool.avoided = (*self.avoided, *avoid)
        return pool


Balancer = Callable[[Pool[R], bytes, float, float], R]
"""(pool, key, draw, now) -> replica. ``key``: what is hashed, empty for none; ``draw``: uniform in [0, 1); ``now``: in
seconds, on the clock of ``Replica.since``."""


def balancer(settings: Balancing) -> Balancer[R]:
    """The balancer of ``settings``."""
    return least_in_flight if settings.type == "LeastInFlight" else hashed


def least_in_flight(pool: Pool[R], key: bytes, draw: float, now: float) -> R:  # noqa: ARG001
    """The better of two drawn by chance; the first of them if they are alike. A slow one counts as that much fuller.

    Two are enough: the longest queue falls from log n / log log n to log log n (Mitzenmacher, "The Power of Two Choices
    in Randomized Load Balancing", 2001), and routers that do not know of each other do not all pick the same best one.
    """
    replicas = pool.replicas
    count = len(replicas)
    if count == 1:
        return replicas[0]
    spot = draw * count
    one = int(spot)
    spot = (spot - one) * (count - 1)
    other = int(spot)
    first = replicas[one]
    second = replicas[other + 1 if other >= one else other]
    young = now - pool.settings.slow_start
    if first.since > young or second.since > young:
        return _by_share(first, second, spot - other, now, pool.settings.slow_start)
    cost_first = first.in_flight + first.waiting + 1
    cost_second = second.in_flight + second.waiting + 1
    if first.cache >= FULL_CACHE:
        cost_first *= 2
    if second.cache >= FULL_CACHE:
        cost_second *= 2
    pace_first, pace_second = first.pace, second.pace
    if (pace_first > _SLOW * pace_second > 0 and now < first.asked + _FORGET) or (
        pace_second > _SLOW * pace_first > 0 and now < second.asked + _FORGET
    ):
        return first if cost_first * pace_first <= cost_second * pace_second else second
    return first if cost_first <= cost_second else second


def hashed(pool: Pool[R], key: bytes, draw: float, now: float) -> R:
    """The replica that the key belongs to, or the next on the ring while that one is too full; no key: the freer one.

    Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam, 2016; KubeAI has it as CHWBL): no replica
    takes more than ``bound_percent`` of the mean, this request included, so that a prefix that all share does not bury
    one replica. What waits in a replica counts as load. A replica in its slow start takes its keys one by one, always
    the same ones first, so that a key moves once. CRC-32 spreads keys evenly and costs a third of what BLAKE2 does.
    """
    ring, members, replicas = pool.ring, pool.members, pool.replicas
    if not key or not ring or len(replicas) == 1:
        return least_in_flight(pool, key, draw, now)
    place = crc32(key)
    start = bisect_left(ring, place << _PLACE_SHIFT)
    owner = members[ring[start if start < len(ring) else 0] & _INDEX]
    slow_start = pool.settings.slow_start
    grown = now - owner.since >= slow_start and owner not in pool.avoided
    own = owner.in_flight + owner.waiting
    # An idle one is within any bound, since the mean has this request in it: no need to add up all others.
    if grown and not own:
        return owner
    load = sum([r.in_flight + r.waiting for r in replicas]) + 1
    bound = -(-load * pool.settings.bound_percent // (100 * len(replicas)))
    if grown and own < bound:
        return owner
    eager = place % 1024 / 1024
    for at in chain(range(start, len(ring)), range(start)):
        owner = members[ring[at] & _INDEX]
        if owner.in_flight + owner.waiting >= bound or owner in pool.avoided:
            continue
        if now - owner.since >= slow_start or _share(owner, now, slow_start) > eager:
            return owner
    return least_in_flight(pool, key, draw, now)


def _share(replica: Replica, now: float, slow_start: float) -> float:
    """What a replica may take of its full part: it climbs from a tenth to 1, as in Envoy's slow start."""
    age = now - replica.since
    return 1.0 if age >= slow_start or slow_start <= 0 else max(_LEAST_SHARE, age / slow_start)


def _cost(replica: Replica) -> int:
    """How long a request would stand in line there.

    Twice as long where the cache is full: vLLM then preempts one request for each that it takes, and computes it again.
    """
    cost = replica.in_flight + replica.waiting + 1
    return cost * 2 if replica.cache >= FULL_CACHE else cost


def _by_share(first: R, second: R, draw: float, now: float, slow_start: float) -> R:
    """One of two, by chance: each in proportion to its share and against its load (Envoy's weighted least request).

    To take the better one would give a young replica nothing while both are idle, and all of its part at once when its
    slow start is over.
    """
    pull_first = _share(first, now, slow_start) / _cost(first)
    pull_second = _share(second, now, slow_start) / _cost(second)
    return first if draw * (pull_first + pull_second) < pull_first else second


def _ring(replicas: tuple[Replica, ...]) -> list[int]:
    """The ring of ``replicas``, the same in every router, since their names alone decide who is where."""
    return sorted(
        point & ~_INDEX | at
        for at, replica in enumerate(replicas)
        for number in range(_DIGESTS)
        for point in _POINTS.unpack(blake2b(f"{replica.name}#{number}".encode()).digest())
    )
