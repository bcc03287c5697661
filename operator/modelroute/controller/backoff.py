"""How long to wait before something that failed is tried again.

Used wherever this room tries again. Never waits itself.
"""

import random

FIRST_RETRY, LAST_RETRY = 0.5, 45.0


def backoff(failures: int, first: float = FIRST_RETRY, last: float = LAST_RETRY) -> float:
    """Seconds to wait after so many failures in a row, one or more: doubled each time, up to a bound."""
    return min(last, first * 2.0 ** min(failures - 1, 16))


def jittered(seconds: float) -> float:
    """Up to half less by chance, so that what failed together does not come back together."""
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311 - nothing is to be kept secret
