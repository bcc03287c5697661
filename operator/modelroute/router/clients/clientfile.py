"""The file of clients' keys: what may be in it, and how a key becomes the keyed hash by which it is known.

Read for ``clients``, and for ``modelroute key``, which writes its entries. What it says of a bad file names the entry
or the line and never shows what is in it: any text in that file may be a key.
"""

import hashlib
import json
import re
import secrets
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import yaml

from modelroute.errors import ModelRouteError

HASH_PREFIX = "hmac-sha256:"
PEPPER_LEAST = 16  # bytes

_DEEPEST = 16  # levels; an entry needs three
_BLOCK = 64  # bytes of a block of SHA-256
_HASH = re.compile(HASH_PREFIX + "[0-9a-f]{64}")

_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern=r"^[^\ud800-\udfff]*$")]
_Count = Annotated[int, msgspec.Meta(ge=1, le=10**12)]


class ClientsError(ModelRouteError):
    """A file of keys that cannot be used."""


class Limits(msgspec.Struct, frozen=True, rename="camel"):
    """What one router pod lets a key do; None: no limit."""

    requests_per_minute: _Count | None = None
    tokens_per_minute: _Count | None = None
    max_in_flight: _Count | None = None


class _Raw(msgspec.Struct):
    name: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,62}\Z")]
    hash: str | None = None
    key: str | None = None
    user: _Text | None = None
    tier: _Text | None = None
    models: list[_Text] | None = None
    limits: Limits = Limits()


_FIELDS = frozenset(msgspec.structs.asdict(_Raw("x")))
_LIMITS = frozenset(("requestsPerMinute", "tokensPerMinute", "maxInFlight"))


class Entry(NamedTuple):
    """One key, by its digest."""

    name: str
    digest: bytes
    user: str | None
    tier: str | None
    models: frozenset[str] | None  # None: all
    limits: Limits


class Hasher:
    """HMAC-SHA-256 (RFC 2104) under one pepper, whose two first blocks are hashed once and for all."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, pepper: bytes) -> None:
        block = (pepper if len(pepper) <= _BLOCK else hashlib.sha256(pepper).digest()).ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def digest(self, key: bytes) -> bytes:
        """What is kept of a key."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(key)
        outer.update(inner.digest())
        return outer.digest()


class Known(NamedTuple):
    """All keys of a file."""

    hasher: Hasher
    entries: tuple[Entry, ...]


def load(keys: Path, pepper: Path) -> Known:
    """What the two files say; ClientsError when they cannot be used.

    Without a pepper file only keys in plain text can be read; they are kept under a pepper of this process.
    """
    try:
        data = keys.read_bytes()
        kept = pepper.read_bytes().strip() if pepper.exists() else None
    except OSError as error:
        raise ClientsError(f"{error.filename} cannot be read ({error.strerror})") from None
    if kept is not None and len(kept) < PEPPER_LEAST:
        raise ClientsError(f"{pepper} holds less than {PEPPER_LEAST} bytes; make a new one and new keys under it")
    hasher = Hasher(secrets.token_bytes(_BLOCK) if kept is None else kept)
    found = _list(data)
    entries: dict[bytes, Entry] = {}
    names = set()
    for number, item in enumerate(found, 1):
        entry = read_entry(item, number, hasher, peppered=kept is not None)
        if entry.name in names:
            raise ClientsError(f'entry {number}: there is another one with the name "{entry.name}"')
        twin = entries.setdefault(entry.digest, entry)
        if twin is not entry:
            raise ClientsError(f'"{entry.name}" has the same key as "{twin.name}"')
        names.add(entry.name)
    return Known(hasher, tuple(entries.values()))


class _Twice(dict[str, object]):
    """An object that has a field twice, of which neither is to be believed."""


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    return made if len(made) == len(pairs) else _Twice(made)


def _mapping(loader: Any, node: Any) -> dict[str, object]:
    return _object([(loader.construct_scalar(k), loader.construct_object(v, deep=True)) for k, v in node.value])


# A class of its own, so that what YAML means elsewhere in this process stays as it is.
_LOADER: Any = type("_Loader", (getattr(yaml, "CSafeLoader", yaml.SafeLoader),), {})
_LOADER.add_constructor("tag:yaml.org,2002:map", _mapping)


def _list(data: bytes) -> list[object]:
    """The file's list. JSON is tried first: it is the YAML that thousands of keys are read from in no time."""
    try:
        found = json.loads(data, object_pairs_hook=_object)
    except (ValueError, RecursionError):
        try:
            _refuse_deep(data)
            found = yaml.load(data, _LOADER)  # noqa: S506 - a safe loader
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            mark = getattr(error, "problem_mark", None)
            where = f" at line {mark.line + 1}" if mark is not None else ""
            raise ClientsError(f"it is not YAML{where}") from None
    if not isinstance(found, list):
        raise ClientsError("it is not a list of entries such as '- {name: app, hash: ..., user: ...}'")
    return found


def _refuse_deep(data: bytes) -> None:
    """ClientsError for what is nested so deep that libyaml, which loads it level within level, may run out of stack."""
    depth = 0
    event: Any
    for event in yaml.parse(data, _LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            raise ClientsError(f"line {event.start_mark.line + 1}: is nested deeper than {_DEEPEST} levels")


def read_entry(item: object, number: int, hasher: Hasher, *, peppered: bool) -> Entry:
    """One entry of the list; ClientsError when it is none. ``peppered``: whether hashes can be known again."""
    where = f"entry {number}"
    if not isinstance(item, dict):
        raise ClientsError(f"{where}: is not an object")
    for part, fields in ((item, _FIELDS), (item.get("limits"), _LIMITS)):
        if isinstance(part, dict):
            _check_fields(where, part, fields)
    try:
        raw = msgspec.convert(item, _Raw)
    except msgspec.ValidationError as error:
        raise ClientsError(f"{where}: {error}") from None
    models = frozenset(raw.models) if raw.models is not None else None
    digest = _digest(raw, hasher, peppered=peppered)
    return Entry(raw.name, digest, raw.user, raw.tier, models, raw.limits)


def _check_fields(where: str, part: dict[str, object], fields: frozenset[str]) -> None:
    if part.keys() - fields:
        raise ClientsError(f"{where}: has a field that is none of {', '.join(sorted(fields))}")
    if isinstance(part, _Twice):
        raise ClientsError(f"{where}: has a field twice")
    for field, value in part.items():
        # Left empty it would be as if it were not there, and the key allowed all that it was to be kept from.
        if value is None:
            raise ClientsError(f"{where}: {field} is empty; give it a value, or leave it out")


def _digest(raw: _Raw, hasher: Hasher, *, peppered: bool) -> bytes:
    where = f'entry "{raw.name}"'
    if (raw.hash is None) == (raw.key is None):
        raise ClientsError(f"{where}: needs either a hash or a key")
    if raw.key is not None:
        if not re.fullmatch(r"[\x21-\x7e]{1,512}", raw.key):
            raise ClientsError(f"{where}: its key is empty, too long, or has characters that no key has")
        return hasher.digest(raw.key.encode())
    if not _HASH.fullmatch(raw.hash or ""):
        raise ClientsError(f"{where}: its hash is not {HASH_PREFIX} and 64 hexadecimal digits")
    if not peppered:
        raise ClientsError(f"{where}: a hash is of no use without the pepper that it was made with")
    return bytes.fromhex((raw.hash or "").removeprefix(HASH_PREFIX))
