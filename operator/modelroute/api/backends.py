"""The backends of a ModelRoute, v1alpha1, as types: what answers, in how many replicas, with what parameters, how long.

Used by ``types``, through which the other rooms reach all names here. Never says which backend a request gets.
"""

from typing import Annotated, Literal

from msgspec import Meta, field

from modelroute.api.base import LongText, Port, Resource, doc
from modelroute.api.scalars import BaseURL, Decimal, Name, ObjectName
from modelroute.api.scaling import Scaling, Warmup
from modelroute.api.traffic import ColdStart, DataPolicy, Health, Limits, LoadBalancing, Timeouts
from modelroute.api.vllm import VLLM, SecretKeyRef

Prompt = Annotated[str, Meta(max_length=32768)]
Tokens = Annotated[int, Meta(ge=1)]


class TargetRef(Resource, frozen=True):
    """An existing Service of this namespace whose pods speak the OpenAI API."""

    name: Annotated[ObjectName, doc("The Service's name.")]
    port: Annotated[Port, doc("The Service's port.")]
    kind: Annotated[Literal["Service"], doc("What is referred to.")] = "Service"


class External(Resource, frozen=True):
    """A hosted API that speaks as OpenAI's does."""

    base_url: Annotated[
        BaseURL,
        doc(
            "What stands before /chat/completions, such as https://api.openai.com/v1. Plain http is for Services of "
            "the cluster alone (a host that ends in .svc or .svc.cluster.local)."
        ),
    ] = field(name="baseURL")
    api_key_secret_ref: Annotated[
        SecretKeyRef | None,
        doc("The key that is sent as a bearer token. It is mounted into the router; nothing else reads it."),
    ] = None


class MaxTokens(Resource, frozen=True):
    """The length of an answer, in tokens."""

    default: Annotated[Tokens | None, doc("Used when the client asks for none.")] = None
    max: Annotated[
        Tokens | None,
        doc("What a client asks for is cut to it; a chat that asks for no length and has no default gets it."),
    ] = None


class Temperature(Resource, frozen=True):
    """The sampling temperature, as a decimal string."""

    default: Annotated[Decimal | None, doc("Used when the client asks for none.")] = None
    max: Annotated[Decimal | None, doc("What a client asks for is cut to it.")] = None


class Parameters(Resource, frozen=True):
    """What is put into, or bounded in, every request to a backend."""

    system_prompt: Annotated[
        Prompt | None, doc("Put before a chat that brings no system or developer message of its own.")
    ] = None
    max_tokens: Annotated[MaxTokens, doc("The length of an answer, in tokens.")] = MaxTokens()
    temperature: Annotated[Temperature, doc("The sampling temperature, as decimal strings.")] = Temperature()


class Backend(Resource, frozen=True):
    """A candidate to answer: exactly one of vllm, targetRef and external."""

    name: Annotated[Name, doc("The name that weights, rules, metrics and headers use.")]
    weight: Annotated[
        int,
        doc(
            "The share of the requests that no rule decides, relative to the other weights. "
            "0: only by rule, canary or fallback.",
            ge=0,
            le=1_000_000,
        ),
    ] = 1
    model: Annotated[
        LongText | None,
        doc(
            "The model's name in requests to this backend. Default: of a vllm backend the backend's name, of others "
            "what the client asked for."
        ),
    ] = None
    vllm: Annotated[VLLM | None, doc("A vLLM that the operator runs: a Deployment and a Service.")] = None
    target_ref: Annotated[TargetRef | None, doc("An existing Service whose pods speak the OpenAI API.")] = None
    external: Annotated[External | None, doc("A hosted API that speaks as OpenAI's does.")] = None
    scaling: Annotated[Scaling, doc("How many replicas there are, and who decides; of a vllm backend only.")] = (
        Scaling()
    )
    warmup: Annotated[
        Warmup, doc("What a replica answers before clients ask it, and now and then; not of an external one.")
    ] = Warmup()
    parameters: Annotated[Parameters, doc("What requests to this backend are given or held to.")] = Parameters()
    timeouts: Annotated[
        Timeouts, doc("When this backend is given up on. Nothing cuts a stream that goes on, unless total is set.")
    ] = Timeouts()
    load_balancing: Annotated[LoadBalancing, doc("How a request picks one of the replicas.")] = LoadBalancing()
    limits: Annotated[
        Limits, doc("What is let through to this backend at once, and how many wait. Counted by each router pod.")
    ] = Limits()
    health: Annotated[Health, doc("When a replica is taken out of the choice, and how it comes back.")] = Health()
    cold_start: Annotated[ColdStart, doc("What becomes of requests while no replica is ready.")] = ColdStart()
    data_policy: Annotated[
        DataPolicy | None,
        doc(
            "Whether what is sent to this backend leaves your hands. No request under a rule with failClosed goes to "
            "an External one, not by fallback, retry or canary either. Default: External of an external backend, "
            "else Internal."
        ),
    ] = None

    @property
    def policy(self) -> DataPolicy:
        """The data policy that holds."""
        return self.data_policy or ("External" if self.external else "Internal")
