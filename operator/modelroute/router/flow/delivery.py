"""What the client of one exchange is given in the end, and what is counted of it.

Made by ``exchange``, which decides what that is. Never asks a backend and never chooses one.
"""

import time
from typing import NamedTuple

from modelroute.api.types import FailureKind
from modelroute.router.flow.answer import Answer
from modelroute.router.flow.job import Job
from modelroute.router.http import replies
from modelroute.router.metrics.metrics import NOBODY
from modelroute.router.replicas.target import Target
from modelroute.router.surface import openai
from modelroute.router.surface.sse import Usage

_CLIENT_GONE = 499
_NOTHING = Usage()


class Failure(NamedTuple):
    """An error for the client, and whose it is."""

    target: Target
    refusal: openai.Refusal
    headers: bytes = b""


class Delivery:
    """One client's answer.

    ``reason``: why that backend gives it; ``attempts``: the tries that it took; ``opened``: a head went out while the
    client waited.
    """

    __slots__ = ("_job", "_started", "attempts", "opened", "reason")

    def __init__(self, job: Job) -> None:
        self._job = job
        self._started = time.perf_counter()
        self.reason = ""
        self.attempts = 0
        self.opened = False

    def own_headers(self, backend: str) -> bytes:
        """The header lines that we add to every answer."""
        request = self._job.request
        return replies.route_headers(request, backend, self.reason, self.attempts) + request.lease.headers()

    def keep_waiting(self, backend: str) -> None:
        """Tell a client that waits for a stream, and all in between, that the connection lives."""
        client, request = self._job.client, self._job.request
        if self.opened:
            client.write(replies.still_waiting(request))
        else:
            self.opened = True
            client.write(replies.opened_stream(request, self.own_headers(backend), close=client.closing))

    def tried_again(self, target: Target, kind: FailureKind) -> None:
        """The same backend is tried again."""
        self._job.shared.metrics.retries.labels(target.name, kind).inc()

    def fell_back(self, backend: str, kind: FailureKind, to: str) -> None:
        """A fallback answers for ``backend``."""
        self._job.shared.metrics.fallbacks.labels(backend, to, kind).inc()

    def failed(self, target: Target, kind: str) -> None:
        """A try failed."""
        target.tally(self._job.ask.model).errors[kind] += 1

    # Ends. Each is told once for an exchange.

    def whole(self, target: Target, answer: Answer) -> int:
        """Give a whole answer; returns its tokens, as all that follow."""
        usage = answer.send_whole(self.own_headers(target.name))
        return self._count(target, answer.status, usage)

    def ended(self, target: Target, answer: Answer) -> int:
        """What was passed on piece by piece is complete."""
        return self._count(target, answer.status, answer.end())

    def broken(self, target: Target, answer: Answer, refusal: openai.Refusal) -> int:
        """What was passed on cannot be completed."""
        self._job.request.keep_alive = False
        tokens = self._count(target, answer.status, answer.usage())
        answer.break_off(refusal)
        return tokens

    def gone(self, target: Target, answer: Answer | None) -> int:
        """The client left."""
        return self._count(target, _CLIENT_GONE, answer.usage() if answer is not None else _NOTHING)

    def give(self, failure: Failure) -> int:
        """Give a backend's error, or one about a backend."""
        self._write(failure.refusal, failure.headers + self.own_headers(failure.target.name))
        return self._count(failure.target, failure.refusal.status, _NOTHING)

    def refuse(self, refusal: openai.Refusal, reason: str) -> int:
        """Give an error for which no backend is to blame."""
        self.reason = reason
        self._write(refusal, self.own_headers(NOBODY))
        self._job.shared.metrics.refused(self._job.ask.model, refusal.status, reason)
        return 0

    def first_text(self, target: Target) -> None:
        """The first text of a stream has passed."""
        target.tally(self._job.ask.model).first_token.observe(time.perf_counter() - self._started)

    def _write(self, refusal: openai.Refusal, own: bytes) -> None:
        client, request, dialect = self._job.client, self._job.request, self._job.ask.dialect
        if self.opened:
            client.write(replies.refused_stream(request, refusal, dialect))
            return
        headers, body = replies.refused(refusal, dialect)
        client.write(replies.whole(request, refusal.status, headers + own, body, close=client.closing))

    def _count(self, target: Target, status: int, usage: Usage) -> int:
        tally = target.tally(self._job.ask.model)
        tally.codes[status] += 1
        tally.duration.observe(time.perf_counter() - self._started)
        if usage is _NOTHING:
            return 0
        for kind, count in zip(usage._fields, usage, strict=True):
            if count:
                tally.tokens[kind] += count
        return (usage.prompt or 0) + (usage.completion or 0)
