"""How requests flow to a backend, v1alpha1, as types: over its replicas, how many, how long, and what if it fails.

Used by ``backends`` and ``types``, through which the other rooms reach all names here. Never says which backend a
request gets.
"""

from typing import Annotated, Literal

from msgspec import Meta

from modelroute.api.base import Resource, doc
from modelroute.api.scalars import Duration, ProbePath

_EACH = "Counted by each router pod for itself"
DataPolicy = Literal["Internal", "External"]
Requests = Annotated[int, Meta(ge=1, le=1_000_000)]


class Timeouts(Resource, frozen=True):
    """When a backend is given up on. Nothing cuts a stream that goes on, unless a total is asked for."""

    connect: Annotated[Duration, doc("The longest that a connection may take.")] = "1s"
    first_token: Annotated[
        Duration | None,
        doc(
            "The longest wait for the first byte of an answer. Default: 60s for a streamed answer, 10m for one that is "
            "not streamed, whose first byte comes when all of it is made."
        ),
    ] = None
    stream_idle: Annotated[Duration, doc("The longest silence between two pieces of an answer.")] = "60s"
    total: Annotated[
        Duration | None, doc("The longest that a whole answer may take, a stream too. Default: no limit.")
    ] = None


class RouteTimeouts(Resource, frozen=True):
    """What a request may take in all, whoever answers it."""

    total: Annotated[
        Duration | None,
        doc(
            "The longest that a request may take: its waiting, all its tries and its answer, a stream too. A client's "
            "own deadline, where it is shorter, goes first. Default: no limit."
        ),
    ] = None


class LoadBalancing(Resource, frozen=True):
    """How a request picks one of the replicas."""

    type: Annotated[
        Literal["LeastInFlight", "PrefixHash", "Session"],
        doc(
            "LeastInFlight: the less busy of two that are drawn. PrefixHash: prompts that begin alike go to one "
            "replica, whose prefix cache has seen them. Session: so do the requests of one session."
        ),
    ] = "LeastInFlight"
    prefix_chars: Annotated[
        int,
        doc(
            "Of PrefixHash: how much of a prompt's beginning is looked at, in bytes of its JSON; of a chat that is the "
            "list of messages, roles and punctuation too.",
            ge=1,
            le=100_000,
        ),
    ] = 256
    bound_percent: Annotated[
        int,
        doc(
            "Of PrefixHash and Session: how busy a replica may be, in percent of the mean, before the next takes over.",
            ge=100,
            le=1000,
        ),
    ] = 125
    slow_start: Annotated[
        Duration, doc("How long a new replica takes to come to its full share. 0s: it has it at once.")
    ] = "30s"


class Limits(Resource, frozen=True):
    """What is let through to a backend at once; who is over it waits, and users take turns."""

    max_in_flight: Annotated[
        Requests | None,
        doc(
            f"Requests that the backend answers at once. {_EACH}: with two router pods the backend may get twice as "
            "many. Default: no limit."
        ),
    ] = None
    max_waiting: Annotated[
        int, doc(f"Requests that wait for their turn; the next one is told 429. {_EACH}.", ge=0, le=100_000)
    ] = 100
    max_wait: Annotated[Duration, doc("The longest wait for a turn; then the answer is 429.")] = "10s"


class Health(Resource, frozen=True):
    """When a replica is taken out of the choice, and how it comes back."""

    consecutive_failures: Annotated[int, doc("Failures in a row that take a replica out.", ge=1, le=1000)] = 5
    success_percent: Annotated[
        int,
        doc(
            "A replica with fewer successes over the last half minute is taken out. 0: failures in a row alone count.",
            ge=0,
            le=100,
        ),
    ] = 50
    ejection: Annotated[
        Duration, doc("How long a replica stays out; it doubles with each time that follows on another.")
    ] = "5s"
    max_ejection: Annotated[Duration, doc("The longest that a replica stays out before it is looked at again.")] = "5m"
    max_ejected_percent: Annotated[
        int, doc("The part of the replicas that may be out at once; half of them always stay.", ge=0, le=50)
    ] = 50
    interval: Annotated[
        Duration,
        doc("Time between two probes of a replica that has answered nothing meanwhile; 1s at least. 0s: no probes."),
    ] = "10s"
    path: Annotated[
        ProbePath | None,
        doc(
            "What a probe asks for. Default: /health of a vllm backend, the list of models of a targetRef, and of an "
            'external backend none: time alone brings it back, as with "".'
        ),
    ] = None


class ColdStart(Resource, frozen=True):
    """What becomes of requests while a backend has no ready replica."""

    policy: Annotated[
        Literal["Hold", "Fallback", "HoldThenFallback", "Reject"],
        doc(
            "Fallback: the fallback for ColdStart answers, or the other backends do. Hold: requests are held until a "
            "replica is ready. HoldThenFallback: they are held while the start can still be in time, and then "
            "overflow. Reject: 503 at once."
        ),
    ] = "Fallback"
    max_wait: Annotated[Duration, doc("The longest that a request is held.")] = "20s"
    max_held: Annotated[int, doc(f"Requests that are held at once. {_EACH}.", ge=0, le=100_000)] = 200


class Backoff(Resource, frozen=True):
    """The wait before the next try: any time up to a bound that begins at min and doubles until max."""

    min: Annotated[Duration, doc("The bound of the first wait.")] = "1s"
    max: Annotated[Duration, doc("The bound of any wait.")] = "8s"


class Retry(Resource, frozen=True):
    """Tries of one request, before the first byte of an answer went out; never after it."""

    attempts: Annotated[
        int,
        doc("Tries in all, those at fallbacks too. A short deadline may leave time for fewer.", ge=1, le=10),
    ] = 3
    backoff: Annotated[Backoff, doc("The wait before a backend is tried again.")] = Backoff()
    budget_percent: Annotated[
        int,
        doc(
            f"Requests that may be on a further try at once, in percent of those that are live; three always may. "
            f"{_EACH}.",
            ge=0,
            le=100,
        ),
    ] = 20
