"""What a router knows: written by ``planning`` (or by ``modelroute serve``), read by ``policy`` and the router.

Never holds a secret: it names a file under the directory where the router's Secrets are mounted.
Durations are seconds. Every list keeps the manifest's order.
"""

from typing import Literal

from msgspec import Struct

from modelroute.api.types import FailureKind

FORMAT = 2
"""Raised when an older router could not run what a newer operator writes; a router refuses an unknown format."""


class Part(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """The settings that all parts share. Fields that a router does not know are passed over, within one format.

    Defaults are not written, so that they are part of the format: to change one is to raise it.
    """


class Timeouts(Part, frozen=True):
    """Seconds after which a backend is given up on. ``total`` is of a whole answer, streams too; None: no limit."""

    connect: float
    first_token_streamed: float
    first_token_whole: float
    stream_idle: float
    total: float | None = None


class Balancing(Part, frozen=True):
    """How a replica is chosen. The last two are of the types that hash: what is hashed, how far one may run full."""

    type: Literal["LeastInFlight", "PrefixHash", "Session"] = "LeastInFlight"
    prefix_chars: int = 256
    bound_percent: int = 125  # of the mean in flight
    slow_start: float = 30.0  # seconds in which a new replica comes to its full share


class Limits(Part, frozen=True):
    """What one router lets through to a backend at once, and how many wait for how many seconds; None: no limit."""

    max_in_flight: int | None = None
    max_waiting: int = 100
    max_wait: float = 10.0


class Health(Part, frozen=True):
    """When a replica is taken out, and how it comes back; times in seconds."""

    consecutive_failures: int = 5
    success_percent: int = 50  # taken out below it, over the last ``window`` seconds with at least ``window_requests``
    window: float = 30.0
    window_requests: int = 20
    ejection: float = 5.0  # doubles with each time in a row
    max_ejection: float = 300.0
    max_ejected_percent: int = 50
    interval: float = 10.0  # between two probes of a replica that no request has succeeded at meanwhile; 0: none
    path: str = "/health"  # of probes; empty: none, time alone brings a replica back


class ColdStart(Part, frozen=True):
    """What becomes of requests while no replica is ready; times in seconds."""

    policy: Literal["Hold", "Fallback", "HoldThenFallback", "Reject"] = "Fallback"
    max_wait: float = 20.0
    max_held: int = 200


class Start(Part, frozen=True):
    """What the operator knows of a backend's start: how long one takes, and since when (Unix time) one runs."""

    seconds: float | None = None
    since: float | None = None


class Load(Part, frozen=True):
    """What a replica's own metrics said last: requests that wait in it, and its cache in use, of 1."""

    waiting: int = 0
    cache: float = 0.0


class Parameters(Part, frozen=True):
    """What requests to a backend are given or held to; None leaves a request as it is."""

    system_prompt: str | None = None
    default_max_tokens: int | None = None
    max_max_tokens: int | None = None
    default_temperature: float | None = None
    max_temperature: float | None = None


class Backend(Part, frozen=True):
    """One candidate. ``endpoints`` are ``host:port``; an empty tuple means that no replica is ready."""

    name: str
    weight: int
    timeouts: Timeouts
    endpoints: tuple[str, ...] = ()
    external: bool = False
    tls: bool = False
    host: str = ""  # Host header and TLS server name; empty: the endpoint itself
    prefix: str = "/v1"  # what stands before /chat/completions
    model: str | None = None  # name sent upstream; None: what the client asked for
    version: str = ""  # label of the model version in metrics
    secret_file: str | None = None  # bearer token, relative to the secrets directory
    loopback_allowed: bool = False  # only without a cluster
    parameters: Parameters = Parameters()
    balancing: Balancing = Balancing()
    limits: Limits = Limits()
    health: Health = Health()
    cold_start: ColdStart = ColdStart()
    start: Start = Start()
    loads: dict[str, Load] = {}  # by endpoint, where the operator knows it
    data_policy: Literal["Internal", "External"] = "Internal"


class When(Part, frozen=True):
    """All conditions that are given must hold. Header names are in lower case."""

    any_keyword: tuple[str, ...] = ()
    min_chars: int | None = None
    max_chars: int | None = None
    headers: dict[str, str] = {}
    tiers: tuple[str, ...] = ()


class Rule(Part, frozen=True):
    """Of the rules that hold, the first with ``prefer`` decides; what any of them excludes is never asked.

    ``fail_closed`` excludes every backend whose data policy is External.
    """

    name: str
    when: When
    prefer: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    fail_closed: bool = False


class Canary(Part, frozen=True):
    """A share of the users for one backend."""

    backend: str
    percent: int
    baseline: str | None = None
    allow: tuple[str, ...] = ()


class Fallback(Part, frozen=True):
    """Who takes over on which failures."""

    backend: str
    failures: tuple[FailureKind, ...]


class Retry(Part, frozen=True):
    """Tries of one request before its first byte went out; ``min_wait`` and ``max_wait`` bound the backoff, seconds."""

    attempts: int = 3
    min_wait: float = 1.0
    max_wait: float = 8.0
    budget_percent: int = 20  # of the requests that are live
    budget_floor: int = 3


class Auth(Part, frozen=True):
    """Where clients' keys are, relative to the secrets directory."""

    keys_file: str
    pepper_file: str


class Snapshot(Part, frozen=True, omit_defaults=False):
    """One ModelRoute, ready to run. ``revision`` names the content; two snapshots of one revision are the same.

    Written with its defaults, ``format`` among them.
    """

    namespace: str
    name: str
    generation: int  # metadata.generation of the ModelRoute it was made from
    models: tuple[str, ...]
    backends: tuple[Backend, ...]
    rules: tuple[Rule, ...] = ()
    canary: Canary | None = None
    fallbacks: tuple[Fallback, ...] = ()
    retry: Retry = Retry()
    total: float | None = None  # seconds that any request of this route may take
    auth: Auth | None = None  # None: nobody needs a key
    user_header: str | None = None  # lower case
    tier_header: str | None = None  # lower case
    format: Literal[2] = 2
    revision: str = ""
