"""Which Secrets a change of a ModelRoute lets out, to be asked of the user who makes it: may they read them?

Called by the validating webhook. Who may write a ModelRoute must not, by that alone, have a Secret sent to a host, or
given to a program, of their choice. Never sees a Secret's value.
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from modelroute.api import types as t

_PROGRAM = ("image", "model", "args", "template")
"""What decides which program of a vllm backend gets to see its Secrets; weights may bring code."""
_LISTS = ("imagePullSecrets", "pullSecrets")


class Exposure(NamedTuple):
    """A Secret that is newly let out; ``path`` is the field that names it."""

    path: str
    secret: str


class _Use(NamedTuple):
    """A Secret's key, and where it goes."""

    secret: str
    key: str
    field: str
    goes_to: str


def exposed(old: t.ModelRoute | None, new: t.ModelRoute) -> tuple[Exposure, ...]:
    """The Secrets that ``new`` names and ``old`` does not, or sends to another place; each once, by its first field."""
    known = {use for use, _ in _uses(old)} if old else set()
    found: dict[str, Exposure] = {}
    for use, path in _uses(new):
        if use not in known:
            found.setdefault(use.secret, Exposure(path, use.secret))
    return tuple(found.values())


def _uses(route: t.ModelRoute) -> Iterator[tuple[_Use, str]]:
    yield from _walk(msgspec.to_builtins(route.spec), "spec", "")


def _walk(value: Any, path: str, goes_to: str) -> Iterator[tuple[_Use, str]]:
    if isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _walk(item, f"{path}[{i}]", goes_to)
    elif isinstance(value, dict):
        for field, part in value.items():
            below = f"{path}.{field}"
            for name, key in _named(field, part):
                yield _Use(name, key, field, goes_to), below
            yield from _walk(part, below, _destination(field, part) or goes_to)


def _destination(field: str, part: Any) -> str:
    """Where Secrets that are named within ``part`` go; empty when it says nothing of that."""
    if field == "external":
        return str(part.get("baseURL"))
    if field == "vllm":
        return json.dumps([part.get(name) for name in _PROGRAM], sort_keys=True)
    return ""


def _named(field: str, part: Any) -> Iterator[tuple[str, str]]:
    """The Secrets, each with its key, that a field of this name names: in our own forms, and in those of a pod."""
    if field in _LISTS and isinstance(part, list | tuple):
        names = [item.get("name") if isinstance(item, dict) else item for item in part]
        yield from ((str(name), "") for name in names)
    elif isinstance(part, dict) and (field == "secret" or field.lower().endswith(("secretref", "secretkeyref"))):
        yield str(part.get("secretName") or part.get("name")), str(part.get("key", ""))
