"""Request bodies: what is read of them, what a policy may know, what a backend is sent. Pure functions.

Called by ``exchange``. Fields that this module does not know are kept byte for byte. Of a field that is given twice the
last one counts, and only that one is sent on.
"""

import re
from typing import TypeVar

import msgspec
from msgspec import Raw, Struct

from modelroute.router.openai import Dialect, Kind, Refusal, dialect_of
from modelroute.snapshot.types import Backend, Parameters

T = TypeVar("T", str, bool, int, float)

_fields = msgspec.json.Decoder(dict[str, Raw])
_encode = msgspec.json.Encoder().encode
_NEEDED = {
    Kind.CHAT: "messages",
    Kind.COMPLETIONS: "prompt",
    Kind.EMBEDDINGS: "input",
    Kind.RESPONSES: "input",
    Kind.RERANK: "documents",
    Kind.SCORE: "text_1",
    Kind.MESSAGES: "messages",
}
_LENGTHS = {Kind.CHAT: ("max_tokens", "max_completion_tokens"), Kind.COMPLETIONS: ("max_tokens",)}
_NULL = Raw(b"null")
_JSON = b"application/json"
_SOME_MESSAGE = re.compile(rb"\[\s*[^\s\]]")
_NO_MESSAGE = "each of messages has to be an object with a content that is a string or a list of parts"


class BadBodyError(Exception):
    """A body that cannot be served; ``refusal`` says what to change."""

    def __init__(self, message: str, param: str | None) -> None:
        super().__init__(message)
        self.refusal = Refusal(400, message, None, param)


class Ask(Struct, gc=False):
    """What a body asks for. ``fields`` are the body's top level, undecoded."""

    kind: Kind
    fields: dict[str, Raw]
    model: str
    user: str | None
    stream: bool
    streams_usage: bool = False  # the client itself asked for the usage of its stream
    dialect: Dialect = "openai"
    content_type: bytes = _JSON


class _Part(Struct, gc=False):
    text: object = None


class _Message(Struct, gc=False):
    role: object = None
    content: str | list[_Part] | None = None


class _Speaker(Struct, gc=False):
    role: object = None


_messages = msgspec.json.Decoder(list[_Message])
_speakers = msgspec.json.Decoder(list[_Speaker])
_written = msgspec.json.Decoder()


def read(kind: Kind, body: bytes, content_type: bytes = _JSON) -> Ask:  # noqa: ARG001 # until multipart is read
    """The ask in ``body``; BadBodyError when it is not one."""
    if not body:
        raise BadBodyError("the request has no body; send a JSON object", None)
    try:
        fields = _fields.decode(body)
    except msgspec.ValidationError:
        raise BadBodyError("the body is JSON but not an object; send {...}", None) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadBodyError(f"the body is not valid JSON: {error}", None) from None
    except RecursionError:
        raise BadBodyError("the body is nested too deeply", None) from None
    model = _typed(fields, "model", str, "a string, one of the ids that /v1/models lists")
    if not model:
        raise BadBodyError("model is missing; set it to one of the ids that /v1/models lists", "model")
    _require(kind, fields)
    user = _typed(fields, "user", str, "a string")
    stream = bool(_typed(fields, "stream", bool, "true or false"))
    return Ask(kind, fields, model, user, stream, dialect=dialect_of(kind))


def _typed(fields: dict[str, Raw], name: str, type_: type[T], wanted: str) -> T | None:
    raw = fields.get(name)
    if raw is None or raw == _NULL:
        return None
    try:
        return msgspec.json.decode(raw, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BadBodyError(f"{name} has to be {wanted}", name) from None


def _require(kind: Kind, fields: dict[str, Raw]) -> None:
    name = _NEEDED.get(kind, "file")
    raw = fields.get(name)
    if raw is None:
        raise BadBodyError(f"{name} is missing", name)
    # The JSON is known to be valid: its first bytes tell, and a list of a million messages holds nobody else up.
    if name == "messages" and _SOME_MESSAGE.match(raw) is None:
        raise BadBodyError("messages has to be a list with at least one message", "messages")


def text_of(ask: Ask) -> str:
    """What the user wrote: the contents of all user messages, or the prompt, or the input, joined by newlines."""
    name = _NEEDED[ask.kind]
    raw = ask.fields[name]
    if name != "messages":
        return _strings(raw)
    try:
        messages = _messages.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadBodyError(_NO_MESSAGE, "messages") from None
    return "\n".join([_text(m.content) for m in messages if m.role == "user"])


def prompt_of(ask: Ask) -> Raw:
    """The part of the body that a model reads, undecoded; empty where there is none."""
    return ask.fields.get(_NEEDED.get(ask.kind, ""), Raw(b""))


def _text(content: str | list[_Part] | None) -> str:
    if isinstance(content, list):
        return "\n".join(part.text for part in content if isinstance(part.text, str))
    return content or ""


def _strings(raw: Raw) -> str:
    """A string, or the strings of a list; token ids are no text."""
    try:
        found = _written.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadBodyError("the text is not valid JSON", None) from None
    if isinstance(found, str):
        return found
    return "\n".join(item for item in found if isinstance(item, str)) if isinstance(found, list) else ""


def rewritten(ask: Ask, backend: Backend) -> bytes:
    """The body for ``backend``: its model's name and its parameters put in. BadBodyError as ``read``."""
    fields = dict(ask.fields)
    if backend.model is not None:
        fields["model"] = Raw(_encode(backend.model))
    if backend.parameters != _UNTOUCHED:
        _put_prompt(ask.kind, fields, backend.parameters.system_prompt)
        _put_lengths(ask.kind, fields, backend.parameters)
        _put_temperature(ask.kind, fields, backend.parameters)
    return _encode(fields)


_UNTOUCHED = Parameters()


def _put_prompt(kind: Kind, fields: dict[str, Raw], prompt: str | None) -> None:
    if prompt is None or kind is not Kind.CHAT:
        return
    raw = fields["messages"]
    try:
        speakers = _speakers.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadBodyError(_NO_MESSAGE, "messages") from None
    if any(s.role in ("system", "developer") for s in speakers):
        return
    fields["messages"] = Raw(b"[%b,%b" % (_encode({"role": "system", "content": prompt}), bytes(raw)[1:]))


def _put_lengths(kind: Kind, fields: dict[str, Raw], parameters: Parameters) -> None:
    """A chat that asks for no length would get all that is left of the context, so the cap is put in.

    A completion that asks for none gets 16 tokens of the backend; the cap would only make it longer.
    """
    default, cap = parameters.default_max_tokens, parameters.max_max_tokens
    asked = {n: v for n in _LENGTHS.get(kind, ()) if (v := _typed(fields, n, int, "a whole number")) is not None}
    if not asked and kind in _LENGTHS:
        value = default if default is not None else cap if kind is Kind.CHAT else None
        asked = {} if value is None else {"max_tokens": value}
    for name, value in asked.items():
        fields[name] = Raw(_encode(value if cap is None else min(value, cap)))


def _put_temperature(kind: Kind, fields: dict[str, Raw], parameters: Parameters) -> None:
    if kind is Kind.EMBEDDINGS:
        return
    default, cap = parameters.default_temperature, parameters.max_temperature
    asked = _typed(fields, "temperature", float, "a number")
    if asked is None:
        if default is not None:
            fields["temperature"] = Raw(_encode(default if cap is None else min(default, cap)))
    elif cap is not None and asked > cap:
        fields["temperature"] = Raw(_encode(cap))
