"""The ModelRoute resource, v1alpha1, as types: the CRD, the parser and the reference are all made from them.

Used by every room, as ``from modelroute.api import types as t``; the other types of this room are reached from here.
Never holds a field that does nothing. What a type cannot say (one field against another) is in ``rules``.
"""

from typing import Annotated, Literal, get_args

from msgspec import Meta, Struct, field

from modelroute.api.backends import Backend, External, MaxTokens, Parameters, TargetRef, Temperature
from modelroute.api.base import Resource, Resources, ShortText, doc, keyed, ordered, unique
from modelroute.api.routers import TLS, Auth, Router, RouterService, SecretRef, Sidecar, TrustedHeaders
from modelroute.api.scalars import HeaderName, Name
from modelroute.api.scaling import (
    Idle,
    ScaleDown,
    ScaleUp,
    Scaling,
    Schedule,
    Warmup,
    WarmupRequest,
    WarmupSchedule,
)
from modelroute.api.status import Status
from modelroute.api.traffic import (
    Backoff,
    ColdStart,
    DataPolicy,
    Health,
    Limits,
    LoadBalancing,
    Retry,
    RouteTimeouts,
    Timeouts,
)
from modelroute.api.vllm import VLLM, LoraAdapter, ModelCache, SecretKeyRef, Toleration

GROUP, VERSION, PLURAL, KIND = "modelroute.dev", "v1alpha1", "modelroutes", "ModelRoute"
API_VERSION = f"{GROUP}/{VERSION}"

FailureKind = Literal[
    "ColdStart",
    "ConnectFailure",
    "Timeout",
    "RateLimited",
    "Overloaded",
    "ServerError",
    "ContextLength",
    "Misconfigured",
]
ALL_FAILURES: tuple[FailureKind, ...] = get_args(FailureKind)

Keyword = Annotated[str, Meta(min_length=1, max_length=256)]
Tier = Annotated[str, Meta(min_length=1, max_length=64)]
HeaderValue = Annotated[str, Meta(max_length=256)]
Count = Annotated[int, Meta(ge=0)]


class Fallback(Resource, frozen=True):
    """Where a request goes when the backend that was chosen cannot answer it."""

    backend: Annotated[Name, doc("The backend that takes over.")]
    failures: Annotated[
        tuple[FailureKind, ...],
        unique(
            "The failures that it takes over on. ColdStart: no replica is ready. ConnectFailure: refused, unreachable "
            "or reset before an answer began. Timeout: late with its first byte. RateLimited: 429. Overloaded: at its "
            "limits, or it says so itself. ServerError: 5xx. ContextLength: the prompt is too long for it. "
            "Misconfigured: it does not take the router's key (401, 403) or does not know the model (404).",
            8,
            1,
        ),
    ] = ALL_FAILURES


class When(Resource, frozen=True):
    """The conditions of a rule; all that are given must hold, and at least one is given."""

    any_keyword: Annotated[
        tuple[Keyword, ...],
        ordered(
            "Any of these texts is in what the user wrote; upper and lower case differ. Of a rule with exclude or "
            "failClosed: in any text of the body, such as a system prompt or a tool's answer, but for names of fields; "
            "failClosed also keeps inside what is no text that could be looked at: token ids, pictures, sound, files.",
            64,
        ),
    ] = ()
    min_chars: Annotated[
        Count | None,
        doc("What the user wrote (all user messages together, or the prompt) has at least so many characters."),
    ] = None
    max_chars: Annotated[Count | None, doc("What the user wrote has at most so many characters.")] = None
    headers: Annotated[
        dict[HeaderName, HeaderValue],
        doc("Request headers that are present with just this value; names in any case.", max_length=16),
    ] = field(default_factory=dict)
    tiers: Annotated[
        tuple[Tier, ...],
        unique("The user's tier is one of these; router.auth says where it comes from.", 16),
    ] = ()


class Rule(Resource, frozen=True):
    """A condition, and what follows where it holds: at least one of prefer, exclude and failClosed."""

    name: Annotated[Name, doc("Shown as the reason of the choice.")]
    when: Annotated[When, doc("All given conditions must hold.")]
    prefer: Annotated[
        tuple[Name, ...],
        ordered(
            "The backends to take, the first that is ready first. The first rule with prefer that holds decides.",
            32,
        ),
    ] = ()
    exclude: Annotated[
        tuple[Name, ...],
        unique(
            "The backends that these requests never go to, by nothing. What the rules that hold exclude adds up.", 32
        ),
    ] = ()
    fail_closed: Annotated[
        bool,
        doc("Exclude every backend whose dataPolicy is External; where nobody else can answer, nobody does."),
    ] = False


class Canary(Resource, frozen=True):
    """A share of the users that a new backend answers, the same users as long as the share only grows."""

    backend: Annotated[Name, doc("The backend on trial.")]
    percent: Annotated[
        int,
        doc(
            "The share of users, picked by a stable hash of the user; requests without a user are drawn by chance.",
            ge=0,
            le=100,
        ),
    ] = 0
    baseline: Annotated[
        Name | None,
        doc("Only requests that would go to this backend are moved. Default: all that no rule decided."),
    ] = None
    allow: Annotated[tuple[ShortText, ...], unique("Users that are always in, whatever the percentage.", 1024)] = ()


class Spec(Resource, frozen=True):
    """What a ModelRoute asks for."""

    backends: Annotated[tuple[Backend, ...], keyed("name", "The candidates to answer.", 32, 1)]
    models: Annotated[
        tuple[ShortText, ...],
        unique("The model names that clients may ask for. Default: the ModelRoute's own name.", 32),
    ] = ()
    router: Annotated[Router, doc("The router of this route.")] = Router()
    rules: Annotated[
        tuple[Rule, ...], keyed("name", "Ordered; of those that hold, the first with prefer decides.", 64)
    ] = ()
    canary: Annotated[Canary | None, doc("A backend on trial.")] = None
    schedules: Annotated[
        tuple[Schedule, ...],
        keyed("name", "Windows of time in which more replicas are kept, such as before the morning's peak.", 32),
    ] = ()
    fallbacks: Annotated[
        tuple[Fallback, ...],
        keyed("backend", "Ordered; who takes over when the chosen backend cannot answer.", 32),
    ] = ()
    timeouts: Annotated[RouteTimeouts, doc("What a request may take in all, whoever answers it.")] = RouteTimeouts()
    retry: Annotated[Retry, doc("Tries of one request, before the first byte of an answer went out.")] = Retry()


class Metadata(Struct, frozen=True, rename="camel"):
    """What is used of a ModelRoute's metadata; the rest is Kubernetes' own."""

    name: str
    namespace: str = "default"
    uid: str = ""
    generation: int = 0
    deletion_timestamp: str | None = None


class ModelRoute(Struct, frozen=True, rename="camel"):
    """One ModelRoute: everything that a team or an app needs to get its questions answered."""

    metadata: Metadata
    spec: Spec
    api_version: str = API_VERSION
    kind: str = KIND
    status: Status | None = None

    @property
    def models(self) -> tuple[str, ...]:
        """The model names that clients may ask for; never empty."""
        return self.spec.models or (self.metadata.name,)

    def backend(self, name: str) -> Backend:
        """The backend of that name; KeyError when there is none."""
        for backend in self.spec.backends:
            if backend.name == name:
                return backend
        raise KeyError(name)


__all__ = [
    "ALL_FAILURES",
    "API_VERSION",
    "GROUP",
    "KIND",
    "PLURAL",
    "TLS",
    "VERSION",
    "VLLM",
    "Auth",
    "Backend",
    "Backoff",
    "Canary",
    "ColdStart",
    "DataPolicy",
    "External",
    "FailureKind",
    "Fallback",
    "Health",
    "Idle",
    "Limits",
    "LoadBalancing",
    "LoraAdapter",
    "MaxTokens",
    "Metadata",
    "ModelCache",
    "ModelRoute",
    "Parameters",
    "Resources",
    "Retry",
    "RouteTimeouts",
    "Router",
    "RouterService",
    "Rule",
    "ScaleDown",
    "ScaleUp",
    "Scaling",
    "Schedule",
    "SecretKeyRef",
    "SecretRef",
    "Sidecar",
    "Spec",
    "Status",
    "TargetRef",
    "Temperature",
    "Timeouts",
    "Toleration",
    "TrustedHeaders",
    "Warmup",
    "WarmupRequest",
    "WarmupSchedule",
    "When",
]
