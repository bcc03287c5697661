"""Forms as OpenAI's clients send audio: multipart/form-data, of which only the small fields are read.

Called by ``body``. The file is neither copied nor looked at. Strict (RFC 7578): what two parsers could read in two ways
is refused, since the backend's may be the other one. Never changes a form.
"""

import re
from typing import NamedTuple

_TYPE = re.compile(
    rb"""multipart/form-data[ \t]*;[ \t]*boundary=("?)([0-9A-Za-z'()+_,./:=?-]{1,70})\1[ \t]*""", re.IGNORECASE
)
_TOKEN = rb"[\w!#$%&'*+.^`|~-]++"
_LINE = re.compile(_TOKEN + rb":[^\0\r\n]*+")
# An escaped backslash that ends a value is refused: Python's email package takes that end for an escaped quote.
_QUOTED = rb'"((?:[^"\\\0\r\n]|\\[^\\\0\r\n]|\\\\(?!"))*+)"'
# ``name*`` is another way to say ``name`` (RFC 2231), so that only file names may be written so.
_PARAMETER = re.compile(rb"[ \t]*;[ \t]*([a-z]++|filename\*)=(?:%b|(%b))" % (_QUOTED, _TOKEN), re.IGNORECASE)
_DISPOSITION = re.compile(rb"form-data((?:%b)*+)[ \t]*" % _PARAMETER.pattern, re.IGNORECASE)
_MOST_PARTS = 64
_LONGEST_HEAD = 4096


class Field(NamedTuple):
    """Where a field's value stands in the body."""

    start: int
    end: int


class FormError(ValueError):
    """What is wrong with a form, for whoever sent it."""


def boundary_of(content_type: bytes) -> bytes | None:
    """The boundary of a form; None when the content type is that of no form."""
    found = _TYPE.fullmatch(content_type)
    return found[2] if found else None


def fields_of(body: bytes, boundary: bytes) -> dict[str, Field]:
    """The fields of a form by name; FormError when it is none, or has a field twice that is no list."""
    mark = b"--" + boundary
    if not body.startswith(mark + b"\r\n"):
        raise FormError("the form does not begin with its boundary")
    found: dict[str, Field] = {}
    at = len(mark) + 2
    for _ in range(_MOST_PARTS):
        head_end = body.find(b"\r\n\r\n", at, at + _LONGEST_HEAD)
        end = body.find(b"\r\n" + mark, head_end + 4) if head_end >= 0 else -1
        if end < 0:
            raise FormError("a part of the form has no head, or no end")
        name = _name(body[at:head_end], mark)
        if name in found and not name.endswith("[]"):
            raise FormError(f"the form has {name!r} twice")
        found[name] = Field(head_end + 4, end)
        at = end + len(mark) + 4
        if body[at - 2 : at] == b"--" and body[at : at + 3] in {b"", b"\r\n"}:
            return found
        if body[at - 2 : at] != b"\r\n":
            raise FormError("what follows a boundary of the form is neither a part nor the end")
    raise FormError(f"the form has more than {_MOST_PARTS} parts")


def _name(head: bytes, mark: bytes) -> str:
    lines = head.split(b"\r\n")
    fields = [line.partition(b":") for line in lines if _LINE.fullmatch(line)]
    told = [value.strip(b" \t") for name, _, value in fields if name.lower() == b"content-disposition"]
    clear = len(told) == 1 and len(fields) == len(lines) and mark not in head
    shape = _DISPOSITION.fullmatch(told[0]) if clear else None
    names = [m[2] or m[3] for m in _PARAMETER.finditer(shape[1]) if m[1].lower() == b"name"] if shape else []
    if len(names) != 1 or not names[0] or b"\\" in names[0]:
        raise FormError("each part of the form needs one Content-Disposition with one name, in a head of plain lines")
    return names[0].decode("utf-8", "replace")
