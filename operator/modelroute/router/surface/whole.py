"""What a whole answer is, in one look: what was asked for, an error in the body of a 200, or neither.

Called by ``answer`` before any of it is sent. Never looks deeper than the top level, and never changes anything.
"""

import re
from typing import NamedTuple

import msgspec

from modelroute.router.surface.body import FORMS
from modelroute.router.surface.openai import Kind
from modelroute.router.surface.usage import NO_USAGE, Usage, usage_of

_LISTS = frozenset({Kind.RERANK, Kind.SCORE, Kind.EMBEDDINGS})  # some servers answer with a bare list
_NULL = msgspec.Raw(b"null")
_ERROR_FIRST = re.compile(rb'\s*+\{\s*+"error"\s*+:\s*+[{"]')


class Said(NamedTuple):
    """``valid``: it may be an answer; ``error``: it says that it is none."""

    valid: bool
    error: bool = False
    usage: Usage = NO_USAGE


class _Whole(msgspec.Struct):
    error: object = None
    type: object = msgspec.field(default=None, name="object")
    usage: msgspec.Raw = _NULL


_whole = msgspec.json.Decoder(_Whole)
_list = msgspec.json.Decoder(list[msgspec.Raw])


def said_in(kind: Kind, body: bytes) -> Said:
    """What the answer to a request of ``kind`` says."""
    if kind in FORMS and not body.startswith(b"{"):
        return Said(valid=bool(body))
    try:
        found = _whole.decode(body)
    except msgspec.ValidationError:
        return Said(valid=kind in _LISTS and _is_list(body))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Said(valid=False)
    except RecursionError:  # how deep an answer may be is between the backend and the client
        return Said(valid=True)
    usage = NO_USAGE if found.usage == _NULL else usage_of(found.usage)
    return Said(valid=True, error=bool(found.error) or found.type == "error", usage=usage)


def may_begin(kind: Kind, body: bytes) -> bool:
    """Whether what has come of an answer that is too long to be held may be the beginning of a good one."""
    first = body.lstrip(b" \t\r\n")[:1]
    return kind in FORMS or (first == b"{" and not _ERROR_FIRST.match(body)) or (first == b"[" and kind in _LISTS)


def _is_list(body: bytes) -> bool:
    try:
        _list.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
