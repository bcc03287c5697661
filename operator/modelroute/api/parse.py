"""A manifest becomes a ModelRoute here, or one error that names the field as kubectl does.

Called by the operator for every object it sees and by ``modelroute serve`` for a file. Never fills in what the types do not
declare, and never looks anything up outside the manifest.
"""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from modelroute.api import types as t
from modelroute.api.rules import RULES, Finding
from modelroute.api.scalars import LABEL, SENTENCES
from modelroute.errors import InvalidManifestError

MAX_NAME = 40
"""The longest name of a ModelRoute: with a backend's name and a pod's suffix it must fit a 63 character label."""


def parse(manifest: Mapping[str, Any], *, allow_loopback: bool = False) -> t.ModelRoute:
    """The ModelRoute that ``manifest`` (as YAML or JSON gives it) describes.

    ``allow_loopback`` lets external backends be on this machine, by plain http: for the router without a cluster.
    Raises InvalidManifestError, with the path of the first field that is wrong.
    """
    if manifest.get("apiVersion") != t.API_VERSION or manifest.get("kind") != t.KIND:
        found = f"{manifest.get('apiVersion')} {manifest.get('kind')}"
        raise InvalidManifestError("apiVersion", f"this is a {found}; expected {t.API_VERSION} {t.KIND}")
    route = _convert(manifest)
    for path, problem in _findings(route, allow_loopback=allow_loopback):
        raise InvalidManifestError(path, problem)
    return route


def _convert(manifest: Mapping[str, Any]) -> t.ModelRoute:
    try:
        return msgspec.convert({k: v for k, v in manifest.items() if k != "status"}, t.ModelRoute)
    except msgspec.ValidationError as error:
        problem, _, path = str(error).partition(" - at `$")
        raise InvalidManifestError(
            path.rstrip("`").lstrip(".") or "manifest", _sentence(problem, manifest, path)
        ) from None


def _sentence(problem: str, manifest: Mapping[str, Any], path: str) -> str:
    for pattern, sentence in SENTENCES.items():
        if f"matching regex {pattern!r}" in problem:
            return f'"{_lookup(manifest, path)}" {sentence}'
    unknown = re.search(r"unknown field `(.*)`", problem)
    if unknown:
        near = difflib.get_close_matches(unknown[1], _field_names(), 1)
        return f'unknown field "{unknown[1]}"' + (f'; did you mean "{near[0]}"?' if near else "")
    return problem.replace("`", '"')


def _lookup(manifest: Any, path: str) -> Any:
    """The value at msgspec's path ``.spec.backends[0].name``."""
    for key, index in re.findall(r"[.]([^.\[`]+)|\[([0-9]+|[.]{3})\]", path):
        if index == "...":  # msgspec does not say which entry of a map
            return "..."
        manifest = manifest[int(index)] if index else manifest[key]
    return manifest


def _field_names() -> list[str]:
    kinds = [k for k in vars(t).values() if isinstance(k, type) and issubclass(k, msgspec.Struct)]
    return sorted({f.encode_name for k in kinds for f in msgspec.structs.fields(k)})


def _findings(route: t.ModelRoute, *, allow_loopback: bool) -> Iterator[Finding]:
    name = route.metadata.name
    if len(name) > MAX_NAME or re.fullmatch(LABEL, name) is None:
        yield "metadata.name", f'"{name}" {SENTENCES[LABEL]}, at most {MAX_NAME} characters'
    yield from _unique(route.spec)
    skip = (t.External,) if allow_loopback else ()
    yield from _walk(route.spec, "spec", skip)


def _unique(spec: t.Spec) -> Iterator[Finding]:
    keyed: list[tuple[str, tuple[Any, ...], Callable[[Any], str]]] = [
        ("backends", spec.backends, lambda b: b.name),
        ("rules", spec.rules, lambda r: r.name),
        ("fallbacks", spec.fallbacks, lambda f: f.backend),
        ("models", spec.models, str),
    ]
    for field, entries, key in keyed:
        names = [key(e) for e in entries]
        for i, name in enumerate(names):
            if name in names[:i]:
                yield f"spec.{field}[{i}]", f'"{name}" is there twice'


def _walk(obj: Any, path: str, skip: tuple[type, ...]) -> Iterator[Finding]:
    if isinstance(obj, tuple):
        for i, item in enumerate(obj):
            yield from _walk(item, f"{path}[{i}]", skip)
    elif isinstance(obj, msgspec.Struct) and not isinstance(obj, skip):
        for rule in RULES.get(type(obj), ()):
            yield from ((path + below, problem) for below, problem in rule.check(obj))
        for f in msgspec.structs.fields(obj):
            yield from _walk(getattr(obj, f.name), f"{path}.{f.encode_name}", skip)
