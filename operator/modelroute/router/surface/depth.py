"""How deeply a JSON body is nested, told from its brackets alone and in bounded time.

Called by ``body`` for bodies that are valid JSON and have more brackets than the limit. To walk through the values
would hold up the event loop for seconds where somebody sends nothing but brackets.
"""

LIMIT = 64
"""Levels that a body may be nested."""

MOST_OPENERS = 2**20
"""Brackets, those in strings counted, too: to parse more of them already takes too long."""
_MOST_LEFT = 3 * 2**22
_MOST_WORK = 2**23
# What is left of a body without escapes: quotes and brackets. With them: backslashes, too, and all that may follow one.
_PLAIN = bytes(set(range(256)) - set(b'"[]{}'))
_ESCAPED = b"\\/bfnrtu"
_WITH_ESCAPES = bytes(set(_PLAIN) - set(_ESCAPED))
_SQUARE = bytes.maketrans(b"{}", b"[]")


def too_deep(body: bytes) -> bool:
    """Whether valid JSON has more than ``LIMIT`` levels; also True when that takes too long to find out.

    Each round takes the innermost pairs away; what has a pair left after ``LIMIT`` rounds is deeper than that.
    """
    left = _brackets(body)
    if left is None:
        return True
    work = 0
    for _ in range(LIMIT):
        if len(left) <= 2:
            return False
        work += len(left)
        if work > _MOST_WORK:
            return True
        left = left.replace(b"[]", b"")
    return bool(left)


def _brackets(body: bytes) -> bytes | None:
    """The brackets outside strings, all square; None when there is too much to sort out."""
    if b"\\" in body:
        left = body.translate(None, _WITH_ESCAPES)
        if len(left) > _MOST_LEFT:
            return None
        left = left.replace(b"\\\\", b"").replace(b'\\"', b"").translate(_SQUARE, _ESCAPED)
    else:
        left = body.translate(_SQUARE, _PLAIN)
    # Two quotes side by side are an empty string, or two strings of which the brackets may as well be in one. By eight
    # first, since that is quicker.
    left = left.replace(b'""""""""', b"").replace(b'""', b"")
    if b'"' not in left:
        return left
    return b"".join(left.split(b'"')[::2]) if left.count(b'"') <= _MOST_WORK // 32 else None
