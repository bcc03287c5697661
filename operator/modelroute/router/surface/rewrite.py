"""The body that a backend is sent: its own name of the model, its parameters, and the wish for usage put in.

Called by ``exchange``. Whatever is not ours stays byte for byte as the client wrote it. Pure functions.
"""

import msgspec
from msgspec import Raw, Struct

from modelroute.router.surface.body import USAGE_KINDS, Ask, typed
from modelroute.router.surface.openai import Kind
from modelroute.router.surface.pairs import BadBodyError
from modelroute.router.surface.texts import few
from modelroute.snapshot.types import Backend, Parameters

_LENGTHS = {
    Kind.CHAT: ("max_tokens", "max_completion_tokens"),
    Kind.COMPLETIONS: ("max_tokens",),
    Kind.RESPONSES: ("max_output_tokens",),
    Kind.MESSAGES: ("max_tokens",),
}
# Where a system prompt has a field of its own.
_PROMPTS = {Kind.RESPONSES: "instructions", Kind.MESSAGES: "system"}
_UNTOUCHED = Parameters()
_USAGE = Raw(b'{"include_usage":true}')
_encode = msgspec.json.Encoder().encode
_fields = msgspec.json.Decoder(dict[str, Raw])


class _Speaker(Struct, gc=False):
    role: object = None


_speakers = msgspec.json.Decoder(list[_Speaker])


def rewritten(ask: Ask, backend: Backend) -> bytes:
    """The body for ``backend``, the client's own where nothing changes; BadBodyError when a parameter is of no use."""
    model, parameters = backend.model, backend.parameters
    untouched = parameters == _UNTOUCHED
    wants_usage = ask.stream and not ask.streams_usage and ask.kind in USAGE_KINDS
    if untouched and model is None and not wants_usage:
        return ask.body
    if not ask.fields:
        return ask.body if model is None else _in_form(ask, model)
    fields = dict(ask.fields)
    if model is not None:
        fields["model"] = Raw(_encode(model))
    if wants_usage:
        _put_usage(fields)
    if not untouched:
        _put_prompt(ask, fields, parameters.system_prompt)
        _put_lengths(ask.kind, fields, parameters)
        _put_temperature(ask.kind, fields, parameters)
    return _encode(fields)


def _in_form(ask: Ask, model: str) -> bytes:
    start, end = ask.model_at
    whole = memoryview(ask.body)
    return b"".join((whole[:start], model.encode(), whole[end:]))


def _put_usage(fields: dict[str, Raw]) -> None:
    """Without ``continuous_usage_stats``: what it adds to each event is not taken out again."""
    raw = fields.get("stream_options")
    if raw is None or bytes(raw) in {b"null", b"{}"}:
        fields["stream_options"] = _USAGE
        return
    options = _fields.decode(raw)  # ``read`` has found it to be an object
    options.pop("continuous_usage_stats", None)
    fields["stream_options"] = Raw(_encode({**options, "include_usage": True}))


def _put_prompt(ask: Ask, fields: dict[str, Raw], prompt: str | None) -> None:
    if prompt is None:
        return
    if name := _PROMPTS.get(ask.kind):
        if bytes(fields.get(name, b"null")) == b"null":
            fields[name] = Raw(_encode(prompt))
        return
    if ask.kind is not Kind.CHAT:
        return
    raw = fields["messages"]
    few(ask, "messages")
    try:
        speakers = _speakers.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadBodyError("each of messages has to be an object with a role", "messages") from None
    if any(s.role in ("system", "developer") for s in speakers):
        return
    rest = memoryview(raw)[1:]
    fields["messages"] = Raw(b"".join((b"[", _encode({"role": "system", "content": prompt}), b",", rest)))


def _put_lengths(kind: Kind, fields: dict[str, Raw], parameters: Parameters) -> None:
    """A chat that asks for no length would get all that is left of the context, so the cap is put in.

    A completion that asks for none gets 16 tokens of the backend; the cap would only make it longer.
    """
    default, cap = parameters.default_max_tokens, parameters.max_max_tokens
    names = _LENGTHS.get(kind, ())
    asked = {}
    for name in names:
        if name in fields and (value := typed(fields, name, int, "a whole number")) is not None:
            asked[name] = value
    if not asked and names:
        put_in = default if default is not None else cap if kind is not Kind.COMPLETIONS else None
        asked = {} if put_in is None else {names[0]: put_in}
    for name, value in asked.items():
        fields[name] = Raw(b"%d" % (value if cap is None or value < cap else cap))


def _put_temperature(kind: Kind, fields: dict[str, Raw], parameters: Parameters) -> None:
    if kind not in _LENGTHS:
        return
    default, cap = parameters.default_temperature, parameters.max_temperature
    asked = typed(fields, "temperature", float, "a number")
    if asked is None:
        if default is not None:
            fields["temperature"] = Raw(_encode(default if cap is None else min(default, cap)))
    elif cap is not None and asked > cap:
        fields["temperature"] = Raw(_encode(cap))
