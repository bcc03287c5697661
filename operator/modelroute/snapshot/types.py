"""What a router knows: written by ``planning`` (or by ``modelroute serve``), read by ``policy`` and the router.

Never holds a secret: it names a file under the directory where the router's Secrets are mounted.
Durations are seconds. Every list keeps the manifest's order.
"""

from typing import Literal

from msgspec import Struct

from modelroute.api.types import FailureKind

FORMAT = 1
"""Raised when an older router could not run what a newer operator writes; a router refuses an unknown format."""


class Part(Struct, frozen=True, rename="camel"):
    """The settings that all parts share. Fields that a router does not know are passed over, within one format."""


class Timeouts(Part, frozen=True):
    """Seconds after which a backend is given up on."""

    connect: float
    first_token_streamed: float
    first_token_whole: float
    stream_idle: float


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


class When(Part, frozen=True):
    """All conditions that are given must hold. Header names are in lower case."""

    any_keyword: tuple[str, ...] = ()
    min_chars: int | None = None
    max_chars: int | None = None
    headers: dict[str, str] = {}
    tiers: tuple[str, ...] = ()


class Rule(Part, frozen=True):
    """The first rule that holds decides."""

    name: str
    when: When
    prefer: tuple[str, ...]


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


class Snapshot(Part, frozen=True):
    """One ModelRoute, ready to run. ``revision`` names the content; two snapshots of one revision are the same."""

    namespace: str
    name: str
    generation: int  # metadata.generation of the ModelRoute it was made from
    models: tuple[str, ...]
    backends: tuple[Backend, ...]
    rules: tuple[Rule, ...] = ()
    canary: Canary | None = None
    fallbacks: tuple[Fallback, ...] = ()
    user_header: str | None = None  # lower case
    tier_header: str | None = None  # lower case
    format: Literal[1] = 1
    revision: str = ""
