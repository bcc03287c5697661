"""The status of a ModelRoute as types: written by the operator alone, made in ``planning``, part of the CRD."""

from typing import Annotated, Any, Literal

from msgspec import Struct

from modelroute.api.base import doc, keyed, ordered, unique


class StatusPart(Struct, frozen=True, rename="camel"):
    """The settings that all parts of the status share: fields of a newer operator are passed over."""


class Condition(StatusPart, frozen=True):
    """One aspect of the route's state, as Kubernetes' own conditions."""

    type: Annotated[str, doc("Accepted, ResolvedRefs, Programmed or Ready.")]
    status: Annotated[Literal["True", "False", "Unknown"], doc("Whether it holds.")]
    reason: Annotated[str, doc("Why, as one CamelCase word.")]
    message: Annotated[str, doc("Why, as a sentence.")]
    last_transition_time: Annotated[str, doc("When status last changed.", extra_json_schema={"format": "date-time"})]
    observed_generation: Annotated[int, doc("The generation of the spec that this is about.")] = 0


class Decision(StatusPart, frozen=True):
    """One change of a number of replicas."""

    time: Annotated[str, doc("When.", extra_json_schema={"format": "date-time"})]
    before: Annotated[int, doc("Replicas before it.")]
    after: Annotated[int, doc("Replicas after it.")]
    reason: Annotated[str, doc("Why, as a sentence.")]


class ScalingStatus(StatusPart, frozen=True):
    """How the number of replicas came about."""

    floor: Annotated[int, doc("Replicas that are kept now: minReplicas, or more by a schedule.")] = 0
    decisions: Annotated[tuple[Decision, ...], ordered("The last decisions, the newest first.", 5)] = ()
    idle_since: Annotated[
        str | None, doc("Since when nobody has asked it.", extra_json_schema={"format": "date-time"})
    ] = None
    message: Annotated[str, doc("What keeps load from being heeded.")] = ""


class WarmupStatus(StatusPart, frozen=True):
    """The last warm-up of replicas."""

    time: Annotated[
        str | None, doc("When the last one was answered, or failed.", extra_json_schema={"format": "date-time"})
    ] = None
    milliseconds: Annotated[int, doc("What the slowest answer took.")] = 0
    failures: Annotated[int, doc("Replicas that did not answer.")] = 0
    message: Annotated[str, doc("What a person should know of it, such as which replica failed and how.")] = ""
    slots: Annotated[
        dict[str, str], doc("The newest slot of each schedule that was carried out or passed over, by schedule.")
    ] = {}


class PastStart(StatusPart, frozen=True):
    """One start of a replica, in seconds."""

    pod: Annotated[str, doc("Which.")]
    scheduling: Annotated[int, doc("Until a node was found.")] = 0
    pull: Annotated[int, doc("From there until the container ran.")] = 0
    load: Annotated[int, doc("From there until /health said 200.")] = 0
    warmup: Annotated[int, doc("From there until the first request was answered.")] = 0


class StartStatus(StatusPart, frozen=True):
    """What a start of a replica takes, in seconds: the middle one of the last."""

    seconds: Annotated[int, doc("All of it, from the pod's creation to its first answer.")]
    scheduling: Annotated[int, doc("Until a node was found.")] = 0
    pull: Annotated[int, doc("From there until the container ran.")] = 0
    load: Annotated[int, doc("From there until /health said 200: the weights are loaded.")] = 0
    warmup: Annotated[int, doc("From there until the first request was answered.")] = 0
    wake: Annotated[int | None, doc("What it takes to wake a sleeping replica.")] = None
    starts: Annotated[int, doc("Starts that were learnt from.")] = 0
    newest: Annotated[
        str | None, doc("When the newest of them was ready.", extra_json_schema={"format": "date-time"})
    ] = None
    last: Annotated[tuple[PastStart, ...], ordered("The last of them, the newest first.", 5)] = ()


class BackendStatus(StatusPart, frozen=True):
    """One backend as the operator sees it."""

    name: Annotated[str, doc("The backend's name.")]
    type: Annotated[Literal["VLLM", "Service", "External"], doc("What kind of backend it is.")]
    effective_weight: Annotated[
        int, doc("The percentage of undecided requests that it gets now, with backends that are not ready left out.")
    ]
    ready_replicas: Annotated[int | None, doc("Replicas that can answer; none for an external one.")] = None
    desired_replicas: Annotated[int | None, doc("Replicas that are kept; only of a vllm backend.")] = None
    sleeping_replicas: Annotated[int | None, doc("Replicas that sleep; only of a vllm backend that may.")] = None
    scaling: Annotated[ScalingStatus | None, doc("How the number of replicas came about; of a vllm backend.")] = None
    warmup: Annotated[WarmupStatus | None, doc("The last warm-up of replicas.")] = None
    start: Annotated[StartStatus | None, doc("What a start takes; of a vllm backend that has had one.")] = None
    message: Annotated[str, doc("What a person should know of it.")] = ""


class RouterStatus(StatusPart, frozen=True):
    """The route's router."""

    ready_replicas: Annotated[int, doc("Router pods that are ready.")] = 0
    desired_replicas: Annotated[int, doc("Router pods that are asked for.")] = 0
    current_replicas: Annotated[int, doc("Router pods that run this revision, as they say themselves.")] = 0
    revision: Annotated[str, doc("The configuration that was last written for the routers.")] = ""
    url: Annotated[str, doc("Where clients of the cluster reach the OpenAI API.")] = ""


class AcceptedSpec(StatusPart, frozen=True):
    """A spec that was valid."""

    generation: Annotated[int, doc("Its generation.")]
    spec: Annotated[dict[str, Any], doc("The spec.", extra_json_schema={"x-kubernetes-preserve-unknown-fields": True})]


class Status(StatusPart, frozen=True):
    """What the operator made of the spec."""

    observed_generation: Annotated[int, doc("The generation of the spec that was last acted on.")] = 0
    conditions: Annotated[tuple[Condition, ...], keyed("type", "Accepted, ResolvedRefs, Programmed, Ready.", 16)] = ()
    backends: Annotated[tuple[BackendStatus, ...], keyed("name", "One entry a backend.", 32)] = ()
    router: Annotated[RouterStatus, doc("The route's router.")] = RouterStatus()
    ready_backends: Annotated[str, doc("Ready backends of all, such as 2/2.")] = ""
    canary: Annotated[str, doc("The canary and its share, such as big 5%.")] = ""
    active_schedules: Annotated[tuple[str, ...], unique("Schedules whose window is open.", 32)] = ()
    accepted: Annotated[
        AcceptedSpec | None, doc("The last valid spec, while another is refused: it is still carried out.")
    ] = None


def condition_of(status: Status | None, type_: str) -> Condition | None:
    """The condition of that type in ``status``."""
    return next((c for c in status.conditions if c.type == type_), None) if status else None
