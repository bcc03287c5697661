"""What is wrong with the shape of a manifest, as a person wants to be told: the field's path, and a sentence.

Called by ``parse``, and by ``podchecks`` for the part that may have any shape. Never checks anything itself.
"""

import difflib
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import inspect

from modelroute.api.checks import Finding
from modelroute.api.scalars import SENTENCES, refusal, whole

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


def told(error: msgspec.ValidationError, given: Mapping[str, Any], kind: type) -> Finding:
    """What ``error`` says of ``given``, which was to be a ``kind``: the path of the field, and a sentence.

    Msgspec writes ``PROBLEM - at `$.spec.models[0]```, or ``- at `key` in `$.x```.
    """
    problem, in_key, path = _TEXT.fullmatch(str(error)).groups("")  # type: ignore[union-attr]  # the expression fits any text
    pattern = next((p for p in SENTENCES if f"matching regex {whole(p)!r}" in problem), "")
    value = _lookup(given, path)
    if in_key or path.endswith(_ENTRY):  # msgspec does not say which entry of a map
        entries = ((k, k if in_key else v) for k, v in value.items())
        name, value = next((e for e in entries if not _fits(pattern, e[1])), ("", ""))
        path = f"{path.removesuffix(_ENTRY)}.{name}"
    sentence = refusal(pattern, value) if pattern else _in_words(problem, path, kind)
    return path.lstrip(".") or "manifest", sentence


def _lookup(given: Any, path: str) -> Any:
    """The value at msgspec's ``path``, such as ``.spec.backends[0].name``; for an entry of a map, the map."""
    for key, index in _STEP.findall(path.removesuffix(_ENTRY)):
        given = given[int(index)] if index else given[key]
    return given


def _fits(pattern: str, value: object) -> bool:
    return isinstance(value, str) and re.search(whole(pattern), value) is not None


def _in_words(problem: str, path: str, root: type) -> str:
    unknown = re.search(r"unknown field `(.*)`", problem)
    if unknown:
        names = sorted(field.encode_name for field in _kind(path, root).fields)
        near = difflib.get_close_matches(unknown[1], names, 1)
        advice = f'did you mean "{near[0]}"?' if near else f"here are {', '.join(names)}"
        return f'unknown field "{unknown[1]}"; {advice}'
    choice = re.fullmatch(r"Invalid enum value '(.*)'", problem)
    if choice:
        return f'"{choice[1]}" is none of {", ".join(_kind(path, root).values)}'
    problem = re.sub(r"`(\w+)( \| null)?`", lambda m: _WORDS.get(m[1], f'"{m[1]}"'), problem.removeprefix("Object "))
    return problem[:1].lower() + problem[1:]


def _kind(path: str, root: type) -> Any:
    """The type of the field at msgspec's ``path``, as ``msgspec.inspect`` describes it."""
    kind: Any = inspect.type_info(root)
    for key, index in _STEP.findall(path):
        kind = kind.item_type if index else next(f.type for f in kind.fields if f.encode_name == key)
        while isinstance(kind, (inspect.Metadata, inspect.UnionType)):
            kind = kind.type if isinstance(kind, inspect.Metadata) else _given(kind)
    return kind


def _given(choice: inspect.UnionType) -> inspect.Type:
    """What a field that may be left out is when it is given."""
    return next(kind for kind in choice.types if not isinstance(kind, inspect.NoneType))
