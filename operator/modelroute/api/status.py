"""The status of a ModelRoute as types: written by the operator alone, made in ``planning``, part of the CRD."""

from typing import Annotated, Literal

from msgspec import Meta, Struct


class StatusPart(Struct, frozen=True, rename="camel"):
    """The settings that all parts of the status share: fields of a newer operator are passed over."""


class Condition(StatusPart, frozen=True):
    """One aspect of the route's state, as Kubernetes' own conditions."""

    type: Annotated[str, Meta(description="Accepted, ResolvedRefs, Programmed or Ready.")]
    status: Annotated[Literal["True", "False", "Unknown"], Meta(description="Whether it holds.")]
    reason: Annotated[str, Meta(description="Why, as one CamelCase word.")]
    message: Annotated[str, Meta(description="Why, as a sentence.")]
    last_transition_time: Annotated[
        str, Meta(description="When status last changed.", extra_json_schema={"format": "date-time"})
    ]
    observed_generation: Annotated[int, Meta(description="The generation of the spec that this is about.")] = 0


class BackendStatus(StatusPart, frozen=True):
    """One backend as the operator sees it."""

    name: Annotated[str, Meta(description="The backend's name.")]
    type: Annotated[Literal["VLLM", "Service", "External"], Meta(description="What kind of backend it is.")]
    effective_weight: Annotated[
        int,
        Meta(
            description=(
                "The percentage of undecided requests that it gets now, with backends that are not ready left out."
            )
        ),
    ]
    ready_replicas: Annotated[int | None, Meta(description="Replicas that can answer; none for an external one.")] = (
        None
    )
    desired_replicas: Annotated[int | None, Meta(description="Replicas that are kept; only of a vllm backend.")] = None
    message: Annotated[str, Meta(description="What a person should know of it.")] = ""


class RouterStatus(StatusPart, frozen=True):
    """The route's router."""

    ready_replicas: Annotated[int, Meta(description="Router pods that are ready.")] = 0
    desired_replicas: Annotated[int, Meta(description="Router pods that are asked for.")] = 0
    revision: Annotated[str, Meta(description="The configuration that was last written for the routers.")] = ""
    url: Annotated[str, Meta(description="Where clients of the cluster reach the OpenAI API.")] = ""


class Status(StatusPart, frozen=True):
    """What the operator made of the spec."""

    observed_generation: Annotated[int, Meta(description="The generation of the spec that was last acted on.")] = 0
    conditions: Annotated[
        tuple[Condition, ...],
        Meta(
            description="Accepted, ResolvedRefs, Programmed, Ready.",
            extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = ()
    backends: Annotated[
        tuple[BackendStatus, ...],
        Meta(
            description="One entry a backend.",
            extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = ()
    router: Annotated[RouterStatus, Meta(description="The route's router.")] = RouterStatus()
    ready_backends: Annotated[str, Meta(description="Ready backends of all, such as 2/2.")] = ""
    canary: Annotated[str, Meta(description="The canary and its share, such as big 5%.")] = ""
