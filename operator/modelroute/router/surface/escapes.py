"""Escapes in JSON that need not be ones: ASCII by its number, and the slash.

Called by ``texts`` and ``target`` before they look for a word in bytes. Never decodes anything else.
"""

import re

# Two backslashes are taken together, since the second begins nothing.
_ESCAPE = re.compile(rb"\\(?:\\|/|u00([2-7][0-9A-Fa-f]))")


def unescaped(data: bytes) -> bytes:
    """``data`` with each such character as it is, where that may stand in a string as it is."""
    return _ESCAPE.sub(_plain, data)


def _plain(found: re.Match[bytes]) -> bytes:
    if found[0] == b"\\/":
        return b"/"
    char = bytes.fromhex(found[1].decode()) if found[1] else b""
    return found[0] if char in (b"", b'"', b"\\") else char
