"""What a change of a ModelRoute gives that takes another right, to be asked of the user who makes it: have they got it?

Called by the validating webhook. Who may write a ModelRoute must not, by that alone, have a Secret sent to a host, or
given to a program, of their choice; nor read a ConfigMap or a volume by one; nor run it where only pods of others are
looked for. Never sees a Secret's value.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from modelroute.api import types as t

_SAME_PROGRAM = (
    "drainTimeout",
    "gpuResource",
    "gpus",
    "hubTokenSecretRef",
    "imagePullSecrets",
    "nodeSelector",
    "prePull",
    "resources",
    "sharedMemory",
    "startupTimeout",
    "tensorParallel",
    "tolerations",
)
"""What leaves the program of a vllm backend as it is. All else may bring code: images and arguments, but weights,
adapters and what is kept in a cache, too. So a field that is new counts until somebody has thought about it."""
_READ = {"secret": "secrets", "configmap": "configmaps"}
_FOR_PODS = ("claimName", "priorityClassName", "serverAddress")
"""What no right guards but that to make pods: the files of a claim, others' places on nodes, requests within the
cluster (by KEDA)."""
_FREE = ("headers", "nodeSelector")
"""Maps whose keys are the user's words, not fields."""


class Right(NamedTuple):
    """What a user needs to write ``path``: a verb on a resource of the namespace, by name or (empty) on any."""

    path: str
    verb: str
    resource: str
    name: str = ""


class _Use(NamedTuple):
    """Something that takes a right, and where it goes. ``what`` tells things of one right apart, such as a key."""

    verb: str
    resource: str
    name: str
    what: str
    field: str
    goes_to: str


def needed(old: t.ModelRoute | None, new: t.ModelRoute) -> tuple[Right, ...]:
    """The rights that ``new`` takes for what ``old`` has not, or has elsewhere; each once, by its first field."""
    known = {use for use, _ in _uses(old)} if old else set()
    found: dict[tuple[str, ...], Right] = {}
    for use, path in _uses(new):
        if use not in known:
            right = Right(path, use.verb, use.resource, use.name)
            found.setdefault(right[1:], right)
    return tuple(found.values())


def _uses(route: t.ModelRoute) -> Iterator[tuple[_Use, str]]:
    for i, backend in enumerate(route.spec.backends):
        yield from _walk(msgspec.to_builtins(backend), f"spec.backends[{i}]", _place(backend))
    rest = msgspec.to_builtins(route.spec)
    del rest["backends"]
    yield from _walk(rest, "spec", "")
    service = route.spec.router.service
    if service.type != "ClusterIP":
        where = f"{service.type} {service.node_port}"
        yield _Use("create", "services", "", where, "type", ""), "spec.router.service.type"


def _place(backend: t.Backend) -> str:
    """Where what a backend names goes: a hosted API, or a program that sees what it is given."""
    if backend.vllm is None:
        return json.dumps(msgspec.to_builtins(backend.external), sort_keys=True)
    given = msgspec.to_builtins(backend.vllm)
    program = {field: value for field, value in given.items() if field not in _SAME_PROGRAM}
    program["template"] = backend.vllm.template.get("spec")  # a label changes who finds it, not what it is
    # By its name a backend finds its own cache; and one that may sleep lets its program be told what to do.
    place = json.dumps([backend.name, backend.scaling.idle.action == "Sleep", program], sort_keys=True)
    return hashlib.sha256(place.encode()).hexdigest()


def _walk(value: Any, path: str, goes_to: str) -> Iterator[tuple[_Use, str]]:
    if isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _walk(item, f"{path}[{i}]", goes_to)
    elif isinstance(value, dict):
        for field, part in value.items():
            below = f"{path}.{field}"
            for resource, name, key in _read(field, part):
                yield _Use("get", resource, name, key, field, goes_to), below
            for further, what in _of_pods(field, part):
                yield _Use("create", "pods", "", what, field, goes_to), below + further
            if field not in _FREE:
                yield from _walk(part, below, goes_to)


def _read(field: str, part: Any) -> Iterator[tuple[str, str, str]]:
    """The Secrets and ConfigMaps, each with its key, that a field of this name names: in our forms and in a pod's."""
    if field == "imagePullSecrets" and isinstance(part, list | tuple):
        yield from (("secrets", str(item["name"]), "") for item in part)
    elif isinstance(part, dict):
        kind = field.lower().removesuffix("ref").removesuffix("key")
        for ending, resource in _READ.items():
            if kind.endswith(ending):
                yield resource, str(part.get("secretName") or part.get("name")), str(part.get("key", ""))


def _of_pods(field: str, part: Any) -> Iterator[tuple[str, str]]:
    """What is only for who may make pods, each by its path below the field: labels, too, since by them Services send
    requests and NetworkPolicies let pass."""
    if field == "labels" and isinstance(part, dict):
        yield from ((f".{key}", f"{key}={value}") for key, value in part.items())
    elif field in _FOR_PODS:
        yield "", str(part)
