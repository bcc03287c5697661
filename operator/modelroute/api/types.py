"""The ModelRoute resource, v1alpha1, as types: the CRD, the parser and the documentation are all made from them.

Used by ``parse``, ``crd``, ``rules`` and by ``planning``. Never holds a field that does nothing. What a type cannot say
(one field against another) is in ``rules``.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from modelroute.api.scalars import BaseURL, Decimal, Duration, HeaderName, Name, Quantity
from modelroute.api.status import Status

GROUP, VERSION, PLURAL, KIND = "modelroute.dev", "v1alpha1", "modelroutes", "ModelRoute"
API_VERSION = f"{GROUP}/{VERSION}"

FailureKind = Literal["ColdStart", "ConnectFailure", "Timeout", "RateLimited", "ServerError"]
ALL_FAILURES: tuple[FailureKind, ...] = ("ColdStart", "ConnectFailure", "Timeout", "RateLimited", "ServerError")


class Resource(Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True, rename="camel"):
    """The settings that all types of the API share."""


def listed(key: str | None, description: str, max_length: int, min_length: int = 0) -> Meta:
    """A list as Kubernetes merges it: keyed by ``key``, or a set when ``key`` is None."""
    kind = (
        {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}
        if key
        else {"x-kubernetes-list-type": "set"}
    )
    return Meta(description=description, min_length=min_length, max_length=max_length, extra_json_schema=kind)


def atomic(description: str, max_length: int, min_length: int = 0) -> Meta:
    """A list that is replaced whole, because its order means something."""
    return Meta(
        description=description,
        min_length=min_length,
        max_length=max_length,
        extra_json_schema={"x-kubernetes-list-type": "atomic"},
    )


ShortText = Annotated[str, Meta(min_length=1, max_length=253)]
LongText = Annotated[str, Meta(min_length=1, max_length=512)]
Prompt = Annotated[str, Meta(max_length=32768)]
Count = Annotated[int, Meta(ge=0)]
Tokens = Annotated[int, Meta(ge=1)]
Port = Annotated[int, Meta(ge=1, le=65535)]
Argument = Annotated[str, Meta(max_length=4096)]
Quantities = Annotated[dict[str, Quantity], Meta(max_length=16)]


class Resources(Resource, frozen=True):
    """Compute resources of a container, as in a pod."""

    requests: Annotated[Quantities, Meta(description="What is set aside, such as cpu: 500m.")] = field(
        default_factory=dict
    )
    limits: Annotated[Quantities, Meta(description="What may be used at most, such as memory: 2Gi.")] = field(
        default_factory=dict
    )


class ModelCache(Resource, frozen=True):
    """Where the weights are kept between starts. One of claimName and size."""

    claim_name: Annotated[
        ShortText | None, Meta(description="An existing PersistentVolumeClaim of this namespace.")
    ] = None
    size: Annotated[
        Quantity | None,
        Meta(description="The size of a claim that the operator makes for this backend, such as 100Gi."),
    ] = None
    storage_class_name: Annotated[
        ShortText | None, Meta(description="The claim's storage class; without it the cluster's default.")
    ] = None
    access_mode: Annotated[
        Literal["ReadWriteOnce", "ReadWriteMany"],
        Meta(description="ReadWriteMany lets replicas on several nodes share the claim."),
    ] = "ReadWriteOnce"


class VLLM(Resource, frozen=True):
    """A vLLM deployment that the operator owns: a Deployment and a Service."""

    model: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=512,
            description=("The weights: a model's name on the hub, or a path in the image or in the model cache."),
        ),
    ]
    image: Annotated[str, Meta(min_length=1, max_length=512, description="The vLLM image.")] = (
        "vllm/vllm-openai:v0.33.0"
    )
    args: Annotated[
        tuple[Argument, ...], atomic("More arguments to `vllm serve`, such as --max-model-len=8192.", 64)
    ] = ()
    gpus: Annotated[
        int,
        Meta(
            ge=0,
            le=64,
            description=(
                "GPUs of one replica (nvidia.com/gpu). More than one turns on tensor parallelism; 0 asks for none."
            ),
        ),
    ] = 1
    resources: Annotated[Resources, Meta(description="CPU and memory of one replica.")] = Resources()
    model_cache: Annotated[
        ModelCache | None,
        Meta(description=("Where the weights are kept. Without it each replica downloads them at each start.")),
    ] = None
    shared_memory: Annotated[Quantity, Meta(description="The size of /dev/shm, which vLLM's workers talk through.")] = (
        "2Gi"
    )
    startup_timeout: Annotated[
        Duration,
        Meta(
            description=(
                "The longest that a start may take, the loading of the weights included, before the replica is restarted."
            )
        ),
    ] = "20m"
    drain_timeout: Annotated[
        Duration, Meta(description=("How long running answers may go on when a replica is told to end."))
    ] = "60s"


class TargetRef(Resource, frozen=True):
    """An existing Service of this namespace whose pods speak the OpenAI API."""

    name: Annotated[ShortText, Meta(description="The Service's name.")]
    port: Annotated[Port, Meta(description="The Service's port.")]
    kind: Annotated[Literal["Service"], Meta(description="What is referred to.")] = "Service"


class SecretKeyRef(Resource, frozen=True):
    """A key of a Secret of this namespace."""

    name: Annotated[ShortText, Meta(description="The Secret's name.")]
    key: Annotated[
        str, Meta(pattern=r"^[-._a-zA-Z0-9]+$", min_length=1, max_length=253, description="The key in the Secret.")
    ] = "api-key"


class External(Resource, frozen=True):
    """A hosted API that speaks as OpenAI's does."""

    base_url: Annotated[
        BaseURL,
        Meta(
            description=(
                "What stands before /chat/completions, such as https://api.openai.com/v1. Plain http is for Services of the "
                "cluster alone (a host that ends in .svc or .svc.cluster.local)."
            )
        ),
    ] = field(name="baseURL")
    api_key_secret_ref: Annotated[
        SecretKeyRef | None,
        Meta(
            description=(
                "The key that is sent as a bearer token. It is mounted into the router; nothing else reads it."
            )
        ),
    ] = None


class Scaling(Resource, frozen=True):
    """How many replicas there are."""

    min_replicas: Annotated[int, Meta(ge=0, le=1000, description="Replicas that are kept, always.")] = 1


class MaxTokens(Resource, frozen=True):
    """The length of an answer, in tokens."""

    default: Annotated[Tokens | None, Meta(description="Used when the client asks for none.")] = None
    max: Annotated[Tokens | None, Meta(description="What a client asks for is cut to it.")] = None


class Temperature(Resource, frozen=True):
    """The sampling temperature, as a decimal string."""

    default: Annotated[Decimal | None, Meta(description="Used when the client asks for none.")] = None
    max: Annotated[Decimal | None, Meta(description="What a client asks for is cut to it.")] = None


class Parameters(Resource, frozen=True):
    """What is put into, or bounded in, every request to a backend."""

    system_prompt: Annotated[
        Prompt | None, Meta(description=("Put before a chat that brings no system or developer message of its own."))
    ] = None
    max_tokens: Annotated[MaxTokens, Meta(description="The length of an answer.")] = MaxTokens()
    temperature: Annotated[Temperature, Meta(description="The sampling temperature.")] = Temperature()


class Timeouts(Resource, frozen=True):
    """When a backend is given up on. Nothing cuts a stream that goes on."""

    connect: Annotated[Duration, Meta(description="The longest that a connection may take.")] = "1s"
    first_token: Annotated[
        Duration | None,
        Meta(
            description=(
                "The longest wait for the first byte of an answer. Default: 60s for a streamed answer, 10m for one that is not "
                "streamed, whose first byte comes when all of it is made."
            )
        ),
    ] = None
    stream_idle: Annotated[Duration, Meta(description="The longest silence between two pieces of an answer.")] = "60s"


class Backend(Resource, frozen=True):
    """A candidate to answer: exactly one of vllm, targetRef and external."""

    name: Annotated[Name, Meta(description="The name that weights, rules, metrics and headers use.")]
    weight: Annotated[
        int,
        Meta(
            ge=0,
            le=1000000,
            description=(
                "The share of requests that no rule decides, relative to the other weights. 0: only by rule, canary or fallback."
            ),
        ),
    ] = 1
    model: Annotated[
        LongText | None,
        Meta(
            description=(
                "The model's name in requests to this backend. Default: vllm.model, else what the client asked for."
            )
        ),
    ] = None
    vllm: Annotated[VLLM | None, Meta(description="A vLLM deployment that the operator owns.")] = None
    target_ref: Annotated[TargetRef | None, Meta(description="An existing Service.")] = None
    external: Annotated[External | None, Meta(description="A hosted API.")] = None
    scaling: Annotated[Scaling, Meta(description="Replicas; of a vllm backend only.")] = Scaling()
    parameters: Annotated[Parameters, Meta(description="What requests to this backend are given or held to.")] = (
        Parameters()
    )
    timeouts: Annotated[Timeouts, Meta(description="When this backend is given up on.")] = Timeouts()


class Fallback(Resource, frozen=True):
    """Where a request goes when the backend that was chosen cannot answer it."""

    backend: Annotated[Name, Meta(description="The backend that takes over.")]
    on: Annotated[
        tuple[FailureKind, ...],
        listed(
            None,
            (
                "The failures that it takes over on. ColdStart: no replica is ready. ConnectFailure: refused, unreachable or "
                "reset before an answer began. Timeout: late with its first byte. RateLimited: 429. ServerError: 5xx."
            ),
            5,
            1,
        ),
    ] = ALL_FAILURES


Keyword = Annotated[str, Meta(min_length=1, max_length=256)]
Tier = Annotated[str, Meta(min_length=1, max_length=64)]
HeaderValue = Annotated[str, Meta(max_length=256)]


class When(Resource, frozen=True):
    """The conditions of a rule; all that are given must hold, and at least one is given."""

    any_keyword: Annotated[
        tuple[Keyword, ...], atomic("Any of these texts is in what the user wrote; upper and lower case differ.", 64)
    ] = ()
    min_chars: Annotated[
        Count | None,
        Meta(
            description=(
                "What the user wrote (all user messages together, or the prompt) has at least so many characters."
            )
        ),
    ] = None
    max_chars: Annotated[Count | None, Meta(description="... has at most so many characters.")] = None
    headers: Annotated[
        dict[str, HeaderValue],
        Meta(max_length=16, description=("Request headers that are present with just this value; names in any case.")),
    ] = field(default_factory=dict)
    tiers: Annotated[
        tuple[Tier, ...],
        listed(None, ("The user's tier is one of these; it comes from router.auth.trustedHeaders.tier."), 16),
    ] = ()


class Rule(Resource, frozen=True):
    """A condition and the backends that are preferred when it holds; the first rule that holds decides."""

    name: Annotated[Name, Meta(description="Shown as the reason of the choice.")]
    when: Annotated[When, Meta(description="All given conditions must hold.")]
    prefer: Annotated[tuple[Name, ...], atomic("The backends to take, the first that is ready first.", 32, 1)]


class Canary(Resource, frozen=True):
    """A share of the users that a new backend answers, the same users as long as the share only grows."""

    backend: Annotated[Name, Meta(description="The backend on trial.")]
    percent: Annotated[
        int,
        Meta(
            ge=0,
            le=100,
            description=(
                "The share of users, picked by a stable hash of the user; requests without a user are drawn by chance."
            ),
        ),
    ] = 0
    baseline: Annotated[
        Name | None,
        Meta(description=("Only requests that would go to this backend are moved. Default: all that no rule decided.")),
    ] = None
    allow: Annotated[
        tuple[ShortText, ...], listed(None, "Users that are always in, whatever the percentage.", 1024)
    ] = ()


class RouterService(Resource, frozen=True):
    """The Service in front of the router."""

    type: Annotated[Literal["ClusterIP", "NodePort", "LoadBalancer"], Meta(description="The Service's type.")] = (
        "ClusterIP"
    )
    port: Annotated[Port, Meta(description="The Service's port.")] = 80
    node_port: Annotated[Port | None, Meta(description="The node's port, for type NodePort.")] = None


class TrustedHeaders(Resource, frozen=True):
    """Request headers that a trusted proxy in front of the router sets. Without them such headers mean nothing."""

    user: Annotated[
        HeaderName | None,
        Meta(
            description=("The user's identity. Without it, and without the header, the body's `user` field is taken.")
        ),
    ] = None
    tier: Annotated[HeaderName | None, Meta(description="The user's tier.")] = None


class Auth(Resource, frozen=True):
    """Who is asking."""

    trusted_headers: Annotated[TrustedHeaders, Meta(description="Headers that are believed.")] = TrustedHeaders()


class Router(Resource, frozen=True):
    """The router of this route: a Deployment, a Service and a PodDisruptionBudget of its own."""

    replicas: Annotated[int, Meta(ge=0, le=100, description="Router pods.")] = 2
    service: Annotated[RouterService, Meta(description="The Service in front of the router.")] = RouterService()
    auth: Annotated[Auth, Meta(description="Who is asking.")] = Auth()
    resources: Annotated[Resources, Meta(description="CPU and memory of one router pod.")] = Resources(
        requests={"cpu": "100m", "memory": "128Mi"}, limits={"memory": "512Mi"}
    )


class Spec(Resource, frozen=True):
    """What a ModelRoute asks for."""

    backends: Annotated[tuple[Backend, ...], listed("name", "The candidates to answer.", 32, 1)]
    models: Annotated[
        tuple[ShortText, ...],
        listed(None, ("The model names that clients may ask for. Default: the ModelRoute's own name."), 32),
    ] = ()
    router: Annotated[Router, Meta(description="The router of this route.")] = Router()
    rules: Annotated[
        tuple[Rule, ...],
        Meta(
            max_length=64,
            description="Ordered; the first that holds decides.",
            extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = ()
    canary: Annotated[Canary | None, Meta(description="A backend on trial.")] = None
    fallbacks: Annotated[
        tuple[Fallback, ...], listed("backend", ("Ordered; who takes over when the chosen backend cannot answer."), 32)
    ] = ()


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
        return next((b for b in self.spec.backends if b.name == name), None) or _no_backend(name)


def _no_backend(name: str) -> Backend:
    raise KeyError(name)
