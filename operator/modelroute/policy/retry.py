"""How often a request is tried, how long between two tries, and how its time is shared out among them.

Called by the router before each try. Never waits, never tries, and knows nothing of what went wrong.
"""

import re
from datetime import UTC, datetime

from modelroute.snapshot.types import Retry

MAX_RETRY_AFTER = 60.0
_DELTA = re.compile(rb"[0-9]+(\.[0-9]*)?")
_DATES = ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y")
_DOUBLINGS = 30  # after them any wait is at its bound; a float does not overflow


class Budget:
    """Which part of the live requests may be retries, so that a sick backend is not asked more than a healthy one.

    One for each route. A share of what is live and not of what passes by, as Envoy's ``retry_budget`` has it: it is
    exact at once and has no window. The floor lets a quiet route retry too.
    """

    __slots__ = ("live", "retrying")

    def __init__(self) -> None:
        self.live = 0
        self.retrying = 0

    def began(self) -> None:
        """A request of a client is live."""
        self.live += 1

    def ended(self) -> None:
        """It ended."""
        self.live = max(0, self.live - 1)

    def may(self, retry: Retry) -> bool:
        """Whether one more retry is within the budget."""
        return self.retrying < max(retry.budget_floor, self.live * retry.budget_percent / 100)

    def take(self, retry: Retry) -> bool:
        """Reserve one retry; False: the budget is spent. Who got True calls ``give_back`` when that try is over."""
        if not self.may(retry):
            return False
        self.retrying += 1
        return True

    def give_back(self) -> None:
        """The try that was reserved is over."""
        self.retrying = max(0, self.retrying - 1)


def backoff(retry: Retry, number: int, draw: float) -> float:
    """Seconds before retry ``number`` (1 is the first one): anything from 0 to a bound that doubles each time.

    Full jitter, of Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015): requests that failed
    together do not come back together. ``draw`` is uniform in [0, 1).
    """
    doublings = min(max(number - 1, 0), _DOUBLINGS)
    return draw * min(retry.max_wait, retry.min_wait * 2.0**doublings)


def tries(retry: Retry, sdk_retries: int) -> int:
    """How many tries a request gets, the first included; one fewer for each that the client's SDK has made itself.

    ``sdk_retries`` is what the SDK says (``x-stainless-retry-count``). Tries of two layers multiply (Google, "Site
    Reliability Engineering", chapter 22): the SDK's three times ours are six instead of nine, and the last is one.
    """
    return max(1, retry.attempts - max(0, sdk_retries))


def first_token_limit(configured: float, remaining: float, *, last: bool, streamed: bool) -> float:
    """Seconds that this try may take to its first token.

    Of a streamed request half of what is left, where another try can follow: that one then has as much time as this. A
    whole answer comes with its first token, so to cut it at half would throw away work that may be nearly done.
    """
    return min(configured, remaining / 2 if streamed and not last else remaining)


def retry_after(header: bytes, now_unix: float) -> float | None:
    """What ``Retry-After`` asks for, in seconds from ``now_unix`` (Unix time), from 0 to 60; None: it makes no sense.

    Both forms of RFC 9110, 10.2.3, and the three dates of 5.6.7. Fractions of seconds, which some providers send, are
    taken too. The bound keeps a hostile or mistaken backend from being left out for a day.
    """
    text = header.strip()
    if _DELTA.fullmatch(text):
        return min(MAX_RETRY_AFTER, float(text))
    moment = _date(text)
    return None if moment is None else min(MAX_RETRY_AFTER, max(0.0, moment - now_unix))


def _date(text: bytes) -> float | None:
    """The Unix time of a date of HTTP."""
    for form in _DATES:
        try:
            return datetime.strptime(text.decode("ascii"), form).replace(tzinfo=UTC).timestamp()
        except ValueError:  # also what is not ASCII
            continue
    return None
