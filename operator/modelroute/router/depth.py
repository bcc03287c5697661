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
# What is left of a body: quotes, brackets, backslashes, and all that may stand behind a backslash.
_REST = bytes(set(range(256)) - set(b'"[]{}\\/bfnrtu'))
_ESCAPED = b"\\/bfnrtu"
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
    left = body.translate(None, _REST)
    if len(left) > _MOST_LEFT:
        return None
    if b"\\" in left:
        left = left.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Two quotes side by side are an empty string, or two strings of which the brackets may as well be in one.
    left = left.translate(_SQUARE, _ESCAPED).replace(b'""', b"")
    if b'"' not in left:
        return left
    return b"".join(left.split(b'"')[::2]) if left.count(b'"') <= _MOST_WORK // 32 else None
