"""What every type of the ModelRoute API is built with: settings, lists as Kubernetes merges them, bounded texts.

Used wherever types of this room are written. Never says what a ModelRoute holds.
"""

from typing import Annotated, Any

from msgspec import Meta, Struct

from modelroute.api.scalars import Quantity


class Resource(Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True, rename="camel"):
    """The settings that all types of the API share."""


def doc(text: str, **bounds: Any) -> Meta:
    """What ``kubectl explain`` says of a field, and its bounds."""
    return Meta(description=text, **bounds)


def keyed(key: str, text: str, most: int, least: int = 0) -> Meta:
    """A list whose entries are told apart, and merged, by ``key``."""
    return _listed(text, most, least, {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]})


def unique(text: str, most: int, least: int = 0) -> Meta:
    """A list that holds nothing twice."""
    return _listed(text, most, least, {"x-kubernetes-list-type": "set"})


def ordered(text: str, most: int, least: int = 0) -> Meta:
    """A list that is replaced whole, because its order means something."""
    return _listed(text, most, least, {"x-kubernetes-list-type": "atomic"})


def _listed(text: str, most: int, least: int, kind: dict[str, Any]) -> Meta:
    return doc(text, min_length=least or None, max_length=most, extra_json_schema=kind)


ShortText = Annotated[str, Meta(min_length=1, max_length=253)]
LongText = Annotated[str, Meta(min_length=1, max_length=512)]
Port = Annotated[int, Meta(ge=1, le=65535)]
Quantities = Annotated[dict[str, Quantity], Meta(max_length=16)]


class Resources(Resource, frozen=True):
    """Compute resources of a container, as in a pod."""

    requests: Annotated[Quantities, doc("What is set aside, such as cpu: 500m.")] = {}
    limits: Annotated[Quantities, doc("What may be used at most, such as memory: 2Gi.")] = {}
