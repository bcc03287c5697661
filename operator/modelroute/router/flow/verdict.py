"""What a backend's complete answer is: good, or a failure of which kind, and what that says of the backend.

Called by ``exchange`` before anything is sent to the client. Never says what becomes of the request.
"""

import time
from typing import NamedTuple

from modelroute.api.types import FailureKind
from modelroute.policy.retry import retry_after
from modelroute.router.flow.answer import Answer
from modelroute.router.replicas.endpoints import Endpoint
from modelroute.router.replicas.target import Target
from modelroute.router.surface import openai
from modelroute.router.surface.sse import opening_error

_WITH_CONTENT = range(200, 204)
_NOT_VALID = b'{"error":{"message":"the backend gave an answer that is not valid"}}'
_COOL_SECONDS = 1.0
"""A hosted API that says that it is asked too often, and not until when, is left alone for so long."""


class Verdict(NamedTuple):
    """``kind``: the failure that others may cover; None: the request's own fault. ``cool``: seconds to leave all of
    it alone; ``wait``: seconds after which this replica asks to be tried again.

    ``well``: the replica is, whatever it answered; None: that cannot be told.
    """

    kind: FailureKind | None
    refusal: openai.Refusal
    cool: float = 0.0
    wait: float = 0.0
    well: bool | None = None
    fatal: bool = False


def verdict_on(answer: Answer, target: Target) -> Verdict | None:
    """The verdict; None: the answer is good."""
    status, body = answer.status, answer.held
    if status in _WITH_CONTENT:
        if not answer.events and answer.said.valid and not answer.said.error:
            return None
        error = opening_error(body) if answer.events else body if answer.said.error else None
        status, body = (openai.status_in(error), error) if error else (502, _NOT_VALID)
    elif status < 400:
        status, body = 502, _NOT_VALID
    wait = retry_after(answer.header(b"retry-after"), time.time())
    kind = openai.failure_kind(status, body, says_when=wait is not None)
    return Verdict(
        kind=kind,
        refusal=openai.upstream_refusal(target.name, status, target.scrubbed(body)),
        cool=_cool_for(target, kind, status, wait),
        wait=wait or 0.0,
        well={"ServerError": False, None: True, "ContextLength": True}.get(kind),
        fatal=openai.is_draining(status, body),
    )


def settle(answer: Answer, verdict: Verdict | None, target: Target, endpoint: Endpoint, now: float) -> None:
    """Let the replica and the gate know; ``now`` on the loop's clock."""
    if verdict is None:
        endpoint.took(now - answer.since, answer.said.usage.completion or 1)
    if verdict is None or verdict.well:
        endpoint.succeeded(now)
        return
    if verdict.well is False:
        endpoint.failed(now, fatal=verdict.fatal)
    if verdict.cool and verdict.kind is not None:
        target.gate.cool(verdict.cool, verdict.kind)


def _cool_for(target: Target, kind: FailureKind | None, status: int, wait: float | None) -> float:
    """A replica that is too busy says nothing of the others; a hosted API speaks for itself."""
    hosted = target.backend.external
    if kind == "RateLimited" or (hosted and kind == "Overloaded"):
        return _COOL_SECONDS if wait is None else wait
    return wait or 0.0 if hosted and status >= 500 else 0.0
