"""A manifest becomes a ModelRoute here, or one error that names the field as kubectl does.

Called by the operator for every object it sees and by ``modelroute serve`` for a file. Never fills in what the types do
not declare, and never looks anything up outside the manifest.
"""

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from modelroute.api import types as t
from modelroute.api.addresses import LOOPBACK_URL
from modelroute.api.checks import Finding
from modelroute.api.rules import RULES
from modelroute.api.scalars import LABEL, refusal
from modelroute.api.telling import told
from modelroute.errors import InvalidManifestError

MAX_NAME = 40
"""The longest name of a ModelRoute: with a backend's name and a pod's suffix it must fit a 63 character label."""


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
        raise InvalidManifestError(*told(error, manifest, t.ModelRoute)) from None


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
        **{f"backends[{i}].vllm.{field}": list(names) for i, b in enumerate(spec.backends) for field, names in _of(b)},
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


def _of(backend: t.Backend) -> Iterator[tuple[str, list[str]]]:
    if backend.vllm:
        yield "imagePullSecrets", [ref.name for ref in backend.vllm.image_pull_secrets]
        yield "loraAdapters", [adapter.name for adapter in backend.vllm.lora_adapters]


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
