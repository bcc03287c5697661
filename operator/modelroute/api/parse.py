"""A manifest becomes a ModelRoute here, or one error that names the field as kubectl does.

Called by the operator for every object it sees and by ``modelroute serve`` for a file. Never fills in what the types do
not declare, and never looks anything up outside the manifest.
"""

import difflib
import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import inspect

from modelroute.api import types as t
from modelroute.api.checks import Finding
from modelroute.api.rules import LOOPBACK_URL, RULES
from modelroute.api.scalars import LABEL, SENTENCES, refusal, whole
from modelroute.errors import InvalidManifestError

MAX_NAME = 40
"""The longest name of a ModelRoute: with a backend's name and a pod's suffix it must fit a 63 character label."""

_TEXT = re.compile(r"(.*?)(?: - at (`key` in )?`\$([^`]*)`)?", re.DOTALL)
_STEP = re.compile(r"[.]([^.\[]+)|\[([0-9]+)\]")
_ENTRY = "[...]"
_WORDS = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "nothing",
}


def parse(manifest: object, *, allow_loopback: bool = False) -> t.ModelRoute:
    """The ModelRoute that ``manifest`` (as YAML or JSON gives it) describes.

    ``allow_loopback`` lets external backends be on this machine, by plain http: for the router without a cluster.
    Raises InvalidManifestError, with the path of the first field that is wrong.
    """
    if not isinstance(manifest, Mapping):
        raise InvalidManifestError("manifest", f"this is not a mapping; expected {t.API_VERSION} {t.KIND}")
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
        raise _refusal(str(error), manifest) from None


def _refusal(text: str, manifest: Mapping[str, Any]) -> InvalidManifestError:
    """What msgspec says (``PROBLEM - at `$.spec.models[0]```, or ``- at `key` in `$.x```), as a person wants it."""
    problem, in_key, path = _TEXT.fullmatch(text).groups("")  # type: ignore[union-attr]  # the expression fits any text
    pattern = next((p for p in SENTENCES if f"matching regex {whole(p)!r}" in problem), "")
    value = _lookup(manifest, path)
    if in_key or path.endswith(_ENTRY):  # msgspec does not say which entry of a map
        entries = ((k, k if in_key else v) for k, v in value.items())
        name, value = next((e for e in entries if not _fits(pattern, e[1])), ("", ""))
        path = f"{path.removesuffix(_ENTRY)}.{name}"
    sentence = refusal(pattern, value) if pattern else _in_words(problem, path)
    return InvalidManifestError(path.lstrip(".") or "manifest", sentence)


def _lookup(manifest: Any, path: str) -> Any:
    """The value at msgspec's ``path``, such as ``.spec.backends[0].name``; for an entry of a map, the map."""
    for key, index in _STEP.findall(path.removesuffix(_ENTRY)):
        manifest = manifest[int(index)] if index else manifest[key]
    return manifest


def _fits(pattern: str, value: object) -> bool:
    return isinstance(value, str) and re.search(whole(pattern), value) is not None


def _in_words(problem: str, path: str) -> str:
    unknown = re.search(r"unknown field `(.*)`", problem)
    if unknown:
        names = sorted(field.encode_name for field in _kind(path).fields)
        near = difflib.get_close_matches(unknown[1], names, 1)
        advice = f'did you mean "{near[0]}"?' if near else f"here are {', '.join(names)}"
        return f'unknown field "{unknown[1]}"; {advice}'
    choice = re.fullmatch(r"Invalid enum value '(.*)'", problem)
    if choice:
        return f'"{choice[1]}" is none of {", ".join(_kind(path).values)}'
    problem = re.sub(r"`(\w+)( \| null)?`", lambda m: _WORDS.get(m[1], f'"{m[1]}"'), problem.removeprefix("Object "))
    return problem[:1].lower() + problem[1:]


def _kind(path: str) -> Any:
    """The type of the field at msgspec's ``path``, as ``msgspec.inspect`` describes it."""
    kind: Any = inspect.type_info(t.ModelRoute)
    for key, index in _STEP.findall(path):
        kind = kind.item_type if index else next(f.type for f in kind.fields if f.encode_name == key)
        while isinstance(kind, (inspect.Metadata, inspect.UnionType)):
            kind = kind.type if isinstance(kind, inspect.Metadata) else _given(kind)
    return kind


def _given(choice: inspect.UnionType) -> inspect.Type:
    """What a field that may be left out is when it is given."""
    return next(kind for kind in choice.types if not isinstance(kind, inspect.NoneType))


def _findings(route: t.ModelRoute, *, allow_loopback: bool) -> Iterator[Finding]:
    name = route.metadata.name
    if len(name) > MAX_NAME or re.fullmatch(LABEL, name) is None:
        yield "metadata.name", f"{refusal(LABEL, name)}, at most {MAX_NAME} characters"
    yield from _twice(route.spec)
    yield from _walk(route.spec, "spec", allow_loopback=allow_loopback)


def _twice(spec: t.Spec) -> Iterator[Finding]:
    keys: dict[str, list[str]] = {
        "backends": [b.name for b in spec.backends],
        "rules": [r.name for r in spec.rules],
        "fallbacks": [f.backend for f in spec.fallbacks],
        "models": list(spec.models),
        "schedules": [s.name for s in spec.schedules],
        **{f"schedules[{i}].days": list(s.days) for i, s in enumerate(spec.schedules)},
        **{
            f"backends[{i}].warmup.schedules": [w.name for w in b.warmup.schedules] for i, b in enumerate(spec.backends)
        },
        "canary.allow": list(spec.canary.allow) if spec.canary else [],
        **{f"rules[{i}].when.tiers": list(r.when.tiers) for i, r in enumerate(spec.rules)},
        **{f"rules[{i}].exclude": list(r.exclude) for i, r in enumerate(spec.rules)},
        **{f"fallbacks[{i}].failures": list(f.failures) for i, f in enumerate(spec.fallbacks)},
    }
    for field, names in keys.items():
        seen: set[str] = set()
        for i, name in enumerate(names):
            if name in seen:
                yield f"spec.{field}[{i}]", f'"{name}" is there twice'
            seen.add(name)


def _walk(obj: Any, path: str, *, allow_loopback: bool) -> Iterator[Finding]:
    if isinstance(obj, tuple):
        for i, item in enumerate(obj):
            yield from _walk(item, f"{path}[{i}]", allow_loopback=allow_loopback)
    elif isinstance(obj, msgspec.Struct) and not (allow_loopback and _is_here(obj)):
        for rule in RULES.get(type(obj), ()):
            yield from ((path + below, problem) for below, problem in rule.find(obj))
        for name, shown in _fields(type(obj)):
            yield from _walk(getattr(obj, name), f"{path}.{shown}", allow_loopback=allow_loopback)


@functools.cache  # msgspec looks at a type's annotations anew at each call, which took most of a parse
def _fields(kind: type[msgspec.Struct]) -> tuple[tuple[str, str], ...]:
    """Each field as Python and as a manifest names it."""
    return tuple((f.name, f.encode_name) for f in msgspec.structs.fields(kind))


def _is_here(obj: msgspec.Struct) -> bool:
    return isinstance(obj, t.External) and re.search(LOOPBACK_URL, obj.base_url) is not None
