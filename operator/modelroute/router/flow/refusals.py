"""The errors that the router tells of on its own account when a backend cannot answer, in words for its clients.

Called by ``exchange``. Never names an address.
"""

import math
from math import ceil

from modelroute.api.types import FailureKind
from modelroute.policy.decide import Reject
from modelroute.router.replicas.gate import Why
from modelroute.router.surface.openai import RETRY_AFTER_SECONDS, Refusal, no_ready_backend, timed_out, upstream_error


def rejected(decision: Reject) -> Refusal:
    """The answer when a decision found nobody."""
    wait = RETRY_AFTER_SECONDS if decision.wait == math.inf else max(1, ceil(decision.wait))
    if decision.status == 429:
        return _limited(f"{decision.message}; try again in {wait} s", wait)
    return Refusal(503, decision.message, "no_ready_backend", type="overloaded_error", headers=_retry(wait))


def failed(backend: str, kind: FailureKind) -> Refusal:
    """The answer when a backend failed and gave no error of its own."""
    if kind == "Timeout":
        return timed_out(504, f'backend "{backend}" did not answer in time')
    if kind == "ServerError":
        return upstream_error(f'backend "{backend}" gave an answer that is not valid')
    return upstream_error(f'backend "{backend}" could not be reached')


def not_served(backend: str, kind: FailureKind, why: Why) -> Refusal:
    """The answer when waiting was of no use."""
    if why == "failing":
        return no_ready_backend(f'backend "{backend}" fails at the moment; try again shortly')
    if why == "gone":
        return no_ready_backend(f'backend "{backend}" does not take this request any more; try again')
    late = why == "late"
    if kind == "ColdStart":
        if late:
            return timed_out(504, f'backend "{backend}" was not ready in time; it is still starting')
        return no_ready_backend(f'backend "{backend}" is starting and too many requests wait for it; try again shortly')
    what = "had no place for this request in time" if late else "is at its limits, and so is the line before it"
    return _limited(f'backend "{backend}" {what}; try again shortly', RETRY_AFTER_SECONDS)


def out_of_time() -> Refusal:
    """The answer when the time that the client or the route gives a request is over."""
    return timed_out(504, "no backend answered in the time that this request has")


def _limited(message: str, wait: int) -> Refusal:
    return Refusal(429, message, "rate_limit_exceeded", type="rate_limit_error", headers=_retry(wait))


def _retry(seconds: int) -> tuple[tuple[str, str], ...]:
    return (("retry-after", str(seconds)),)
