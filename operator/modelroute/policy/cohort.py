"""Which users are in a canary: a stable hash, so that the same users stay in as the percentage rises.

Called by ``steps``. Never remembers a user.
"""

import zlib

from modelroute.snapshot.types import Canary

_SLOTS = 10_000


def place(route: str, user: str) -> float:
    """The user's place in [0, 100): in the canary when below its percentage.

    The route's name salts the hash, so that one user is not the first to meet every canary of a cluster. CRC-32 is even
    enough for cohorts (a test holds it to that) and costs a tenth of a cryptographic hash on the hot path.
    """
    return zlib.crc32(f"{route}\0{user}".encode()) % _SLOTS * (100 / _SLOTS)


def reason(route: str, canary: Canary, user: str | None, draw: float) -> str | None:
    """Why this request is in the canary, or None when it is not; ``draw`` in [0, 1) stands in for a missing user."""
    if user is None:
        return "canary by chance" if draw * 100 < canary.percent else None
    if user in canary.allow:
        return "canary allow list"
    return "canary" if place(route, user) < canary.percent else None
