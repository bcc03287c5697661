"""The texts in a body, for rules that look at them: what the user wrote, and all that a model might read.

Called by ``facts`` where a route has such rules, and by ``rewrite``. Never changes a body. Where a text cannot be read
that a rule has to have seen, the request is refused, or counts as unseen.
"""

import re
from collections.abc import Collection

import msgspec
from msgspec import Raw, Struct

from modelroute.router.surface.body import FORMS, Ask
from modelroute.router.surface.escapes import unescaped
from modelroute.router.surface.multipart import boundary_of, fields_of
from modelroute.router.surface.openai import Kind
from modelroute.router.surface.pairs import BadBodyError, refuse_twice_within

_PROMPTS = {
    Kind.CHAT: "messages",
    Kind.COMPLETIONS: "prompt",
    Kind.EMBEDDINGS: "input",
    Kind.RESPONSES: "input",
    Kind.RERANK: "query",
    Kind.SCORE: "text_1",
    Kind.MESSAGES: "messages",
}
_SECOND = {Kind.SCORE: "text_2"}
_IDS = (Kind.COMPLETIONS, Kind.EMBEDDINGS)  # may have token ids for a prompt
_string = msgspec.json.Decoder(str)
_strings = msgspec.json.Decoder(str | list[str])
_MOST_ITEMS = 20_000
_LARGE = 2**20
_NULL = Raw(b"null")
# The strings of JSON; those that name fields are matched, too, and give nothing.
_STRING = rb'[^"\\]*+(?:\\.[^"\\]*+)*+'
_VALUES = re.compile(rb'"(%b)"(?![ \t\r\n]*+:)|"%b"' % (_STRING, _STRING), re.DOTALL)
# What parts of a message are called that are no text, or that lead to something that is none.
_NO_TEXT = re.compile(
    rb'"type"[ \t\r\n]*+:[ \t\r\n]*+"(?:input_)?(?:image|audio|video|file|document|container)[a-z_]*+"'
    rb'|"(?:image|audio|video)_url"[ \t\r\n]*+:'
)
_NO_MESSAGE = "each of messages has to be an object with a content that is a string or a list of parts"


class _Part(Struct, gc=False):
    text: object = None


class _Message(Struct, gc=False):
    role: object = None
    content: str | list[_Part] | None = None


_messages = msgspec.json.Decoder(list[_Message])


def may_mention(ask: Ask, keywords: Collection[bytes] | None) -> bool:
    """Whether any text of a body may have one of ``keywords``: told from its bytes, since most have none.

    ``keywords`` are such as JSON writes as they are, unless it writes any character by its number; None: others, too.
    """
    if keywords is None:
        return True
    body = ask.body
    return b"\\u" in body or any(keyword in body for keyword in keywords)


def all_text_of(ask: Ask) -> str:
    """All texts in the body, whoever wrote them and wherever they stand, joined by newlines; of forms but the file.

    Taken from the bytes: of a field that is there twice both values count, whichever a backend would read.
    """
    if ask.kind in FORMS:
        boundary = boundary_of(ask.content_type)
        found = fields_of(ask.body, boundary) if boundary is not None else {}
        values = [ask.body[start:end] for name, (start, end) in found.items() if name != "file"]
        return b"\n".join(values).decode("utf-8", "replace")
    if ask.body.count(b'"') > 20 * _MOST_ITEMS:
        raise BadBodyError("the body has too many texts for a route that looks at them", None)
    try:
        return _string.decode(b'"%b"' % b"\\n".join(_VALUES.findall(ask.body)))
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BadBodyError("the body has a text that cannot be read", None) from None


def is_unseen(ask: Ask) -> bool:
    """Whether a part of what the model gets is none that a rule could look at: pictures, sound, files, token ids."""
    if ask.kind in FORMS or "prompt_embeds" in ask.fields:
        return True
    if _NO_TEXT.search(unescaped(ask.body) if b"\\u00" in ask.body else ask.body):
        return True
    if ask.kind not in _IDS or (prompt := ask.fields.get(_PROMPTS[ask.kind])) is None:
        return False
    try:
        _strings.decode(prompt)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return True
    return False


def prompt_of(ask: Ask) -> Raw:
    """The part of the body that a model reads, undecoded; empty where there is none."""
    return ask.fields.get(_PROMPTS.get(ask.kind, ""), Raw(b""))


def text_of(ask: Ask) -> str:
    """What the user wrote: all user messages, or the prompt, input or query, joined by newlines; of audio nothing.

    BadBodyError where that cannot be told: a rule that looks at texts has to have seen all of it.
    """
    if ask.kind in FORMS:
        return ""
    name = _PROMPTS[ask.kind]
    if name not in ask.fields and "messages" in ask.fields:
        name = "messages"
    raw = ask.fields.get(name, _NULL)
    if name == "messages" or (ask.kind is Kind.RESPONSES and bytes(memoryview(raw)[:1]) == b"["):
        return _said_in(ask, name)
    texts = [_written_in(raw, name)]
    if second := _SECOND.get(ask.kind):
        texts.append(_written_in(ask.fields.get(second, _NULL), second))
    return "\n".join(texts)


def few(ask: Ask, name: str) -> None:
    """BadBodyError when a body has so many objects that to decode them would hold all others up."""
    if ask.brackets > _MOST_ITEMS:
        # What is quoted in a text is none of ours.
        quoted = ask.body.count(b'{\\"') if b"\\" in ask.body else 0
        if ask.brackets - quoted > _MOST_ITEMS:
            raise BadBodyError(f"{name} has too many items for a route that looks at texts", name)


def _said_in(ask: Ask, name: str) -> str:
    raw = ask.fields[name]
    few(ask, name)
    try:
        messages = _messages.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadBodyError(_NO_MESSAGE.replace("messages", name), name) from None
    refuse_twice_within(raw, name, len(messages), whole=all(m.content is not None for m in messages))
    return "\n".join([_text(m.content) for m in messages if m.role == "user"])


def _text(content: str | list[_Part] | None) -> str:
    if isinstance(content, list):
        return "\n".join([part.text for part in content if isinstance(part.text, str)])
    return content or ""


def _written_in(raw: Raw, name: str) -> str:
    """A string, or the strings of a list; a list of token ids is no text, and a mix or too long a list is refused."""
    data = memoryview(raw)
    if len(data) > _LARGE and data[0] != ord('"') and bytes(data).count(b'"') > 10 * _MOST_ITEMS:
        raise BadBodyError(f"{name} has too many items for a route that looks at texts", name)
    try:
        found = _strings.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        if b'"' in bytes(raw):
            raise BadBodyError(
                f"{name} has to be a string, or a list of only strings or only token ids", name
            ) from None
        return ""
    return found if isinstance(found, str) else "\n".join(found)
