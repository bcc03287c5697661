"""The status of a ModelRoute as types: written by the operator alone, made in ``planning``, part of the CRD."""

from typing import Annotated, Literal

from msgspec import Struct

from modelroute.api.base import doc, keyed


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


class BackendStatus(StatusPart, frozen=True):
    """One backend as the operator sees it."""

    name: Annotated[str, doc("The backend's name.")]
    type: Annotated[Literal["VLLM", "Service", "External"], doc("What kind of backend it is.")]
    effective_weight: Annotated[
        int, doc("The percentage of undecided requests that it gets now, with backends that are not ready left out.")
    ]
    ready_replicas: Annotated[int | None, doc("Replicas that can answer; none for an external one.")] = None
    desired_replicas: Annotated[int | None, doc("Replicas that are kept; only of a vllm backend.")] = None
    message: Annotated[str, doc("What a person should know of it.")] = ""


class RouterStatus(StatusPart, frozen=True):
    """The route's router."""

    ready_replicas: Annotated[int, doc("Router pods that are ready.")] = 0
    desired_replicas: Annotated[int, doc("Router pods that are asked for.")] = 0
    revision: Annotated[str, doc("The configuration that was last written for the routers.")] = ""
    url: Annotated[str, doc("Where clients of the cluster reach the OpenAI API.")] = ""


class Status(StatusPart, frozen=True):
    """What the operator made of the spec."""

    observed_generation: Annotated[int, doc("The generation of the spec that was last acted on.")] = 0
    conditions: Annotated[tuple[Condition, ...], keyed("type", "Accepted, ResolvedRefs, Programmed, Ready.", 16)] = ()
    backends: Annotated[tuple[BackendStatus, ...], keyed("name", "One entry a backend.", 32)] = ()
    router: Annotated[RouterStatus, doc("The route's router.")] = RouterStatus()
    ready_backends: Annotated[str, doc("Ready backends of all, such as 2/2.")] = ""
    canary: Annotated[str, doc("The canary and its share, such as big 5%.")] = ""
