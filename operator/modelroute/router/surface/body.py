"""Request bodies: what is read of them. Pure functions.

Called by the services. Of JSON only the top level is taken apart: a body of 16 MiB must not hold up the event loop. A
field that is given twice is refused, since a backend may read the other one. Never looks at what a model reads:
``texts`` does.
"""

import re
from typing import TypeVar

import msgspec
from msgspec import Raw, Struct

from modelroute.router.surface import depth
from modelroute.router.surface.multipart import FormError, boundary_of, fields_of
from modelroute.router.surface.openai import Dialect, Kind, dialect_of
from modelroute.router.surface.pairs import BadBodyError, count_of, refuse_twice

T = TypeVar("T", str, bool, int, float)


_fields = msgspec.json.Decoder(dict[str, Raw])
_encode = msgspec.json.Encoder().encode
_string = msgspec.json.Decoder(str)
# One of these has to be there: OpenAI's name first, then vLLM's other ways to say the same.
_NEEDED = {
    Kind.CHAT: ("messages",),
    Kind.COMPLETIONS: ("prompt", "prompt_embeds"),
    Kind.EMBEDDINGS: ("input", "messages"),
    Kind.RESPONSES: ("input", "prompt"),
    Kind.RERANK: ("query",),
    Kind.SCORE: ("text_1", "data_1", "queries"),
    Kind.MESSAGES: ("messages",),
}
FORMS = frozenset({Kind.TRANSCRIPTIONS, Kind.TRANSLATIONS})
"""Those whose bodies are forms, and whose answers may be plain text or subtitles."""
USAGE_KINDS = frozenset({Kind.CHAT, Kind.COMPLETIONS})
"""Those whose streams tell of usage only when they are asked to."""
_COUNTS = ("n", "best_of")
_MOST_ANSWERS = 128  # OpenAI's own limit of n
_NULL = Raw(b"null")
_TRUE = Raw(b"true")
_FALSE = Raw(b"false")
_JSON = b"application/json"
_SOME_MESSAGE = re.compile(rb"\[\s*[^\s\]]")
_NO_MODEL = "model is missing; set it to one of the ids that /v1/models lists"
_NAME_OF_MODEL = "a string, one of the ids that /v1/models lists"
_DEEP = f"the body is nested more than {depth.LIMIT} levels deep, or of too many brackets to tell"


_MOST_FIELDS = 1000
_MANY = f"the body has more than {_MOST_FIELDS} fields"
_FLOOD = 262144
"""Bytes above which a body with many fields in few objects is refused unread: a million take a second."""


class Ask(Struct, gc=False):
    """What a body asks for. ``fields`` are the top level of JSON, undecoded; of a form there are none."""

    kind: Kind
    body: bytes
    fields: dict[str, Raw]
    model: str
    user: str | None
    stream: bool
    streams_usage: bool = False  # the client itself asked for the usage of its stream
    dialect: Dialect = "openai"
    content_type: bytes = _JSON
    model_at: tuple[int, int] = (0, 0)  # in the body of a form
    brackets: int = 0  # that JSON opens, at most


def read(kind: Kind, body: bytes, content_type: bytes = _JSON) -> Ask:
    """The ask in ``body``; BadBodyError when it is not one."""
    if kind in FORMS:
        return _read_form(kind, body, content_type)
    brackets = body.count(b"[") + body.count(b"{")
    fields = _top_level(body, brackets)
    model = typed(fields, "model", str, _NAME_OF_MODEL)
    if not model:
        raise BadBodyError(_NO_MODEL, "model")
    _require(kind, fields)
    user = typed(fields, "user", str, "a string") if "user" in fields else None
    stream = fields.get("stream")
    streams = stream == _TRUE
    if stream is not None and not streams and stream != _FALSE:
        streams = bool(typed(fields, "stream", bool, "true or false"))
    for name in _COUNTS:
        if name in fields and kind in USAGE_KINDS and not 0 < _count_in(fields, name) <= _MOST_ANSWERS:
            raise BadBodyError(f"{name} has to be from 1 to {_MOST_ANSWERS}", name)
    told = streams and "stream_options" in fields and _asks_for_usage(fields["stream_options"])
    return Ask(kind, body, fields, model, user, streams, told, dialect_of(kind), brackets=brackets)


def _refuse_floods(body: bytes, brackets: int) -> None:
    most = _FLOOD // 8 + 20 * brackets
    # A name has two quotes, which are counted in a fifth of the time.
    if len(body) > _FLOOD and body.count(b'"') > 2 * most and body.translate(None, b" \t\r\n").count(b'":') > most:
        raise BadBodyError(_MANY, None)


def _top_level(body: bytes, brackets: int) -> dict[str, Raw]:
    """The fields of a JSON object; BadBodyError when it is none, too deep, or has a field twice."""
    if not body:
        raise BadBodyError("the request has no body; send a JSON object", None)
    if brackets > depth.MOST_OPENERS:
        raise BadBodyError(_DEEP, None)
    _refuse_floods(body, brackets)
    try:
        if not body.isascii():
            body.decode()
        fields = _fields.decode(body)
        if len(fields) > _MOST_FIELDS:
            raise BadBodyError(_MANY, None)
        # Written without white space, what was read is as long as what came only if nothing was there twice.
        if len(_encode(fields)) != len(body) and count_of(body) != len(fields):
            refuse_twice(body, "")
    except msgspec.ValidationError:
        raise BadBodyError("the body is JSON but not an object; send {...}", None) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadBodyError(f"the body is not valid JSON: {error}", None) from None
    except RecursionError:
        raise BadBodyError(_DEEP, None) from None
    if brackets > depth.LIMIT and depth.too_deep(body):
        raise BadBodyError(_DEEP, None)
    return fields


def _count_in(fields: dict[str, Raw], name: str) -> int:
    found = typed(fields, name, int, "a whole number")
    return 1 if found is None else found


def _asks_for_usage(options: Raw) -> bool:
    """Whether ``stream_options`` ask for the usage of the stream; of the wrong type: left to the backend to refuse."""
    if options == _NULL:
        return False
    try:
        refuse_twice(options, "stream_options.")
        return bool(typed(_fields.decode(options), "include_usage", bool, "true or false"))
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BadBodyError("stream_options has to be an object", "stream_options") from None


def typed(fields: dict[str, Raw], name: str, type_: type[T], wanted: str) -> T | None:
    """A field's value, None when it is null or not there; BadBodyError when it is of another type."""
    raw = fields.get(name)
    if raw is None or raw == _NULL:
        return None
    try:
        return _string.decode(raw) if type_ is str else msgspec.json.decode(raw, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BadBodyError(f"{name} has to be {wanted}", name) from None


def _require(kind: Kind, fields: dict[str, Raw]) -> None:
    names = _NEEDED[kind]
    if fields.keys().isdisjoint(names):
        raise BadBodyError(f"{names[0]} is missing", names[0])
    # The JSON is known to be valid: its first bytes tell, and a list of a million messages holds nobody else up.
    if names[0] == "messages" and _SOME_MESSAGE.match(fields["messages"]) is None:
        raise BadBodyError("messages has to be a list with at least one message", "messages")


def _read_form(kind: Kind, body: bytes, content_type: bytes) -> Ask:
    boundary = boundary_of(content_type)
    if boundary is None:
        raise BadBodyError("this path takes a multipart/form-data body with a file and a model", None)
    try:
        fields = fields_of(body, boundary)
    except FormError as error:
        raise BadBodyError(str(error), None) from None
    for name in ("model", "file"):
        if name not in fields:
            raise BadBodyError(f"{name} is missing in the form", name)
    values = {name: body[slice(*fields[name])].strip() for name in ("model", "stream") if name in fields}
    try:
        model = values["model"].decode()
    except UnicodeDecodeError:
        raise BadBodyError("model is not UTF-8", "model") from None
    if not model:
        raise BadBodyError(_NO_MODEL, "model")
    stream = values.get("stream", b"").lower() in {b"true", b"1", b"on", b"yes"}
    return Ask(kind, body, {}, model, None, stream, content_type=content_type, model_at=fields["model"])
