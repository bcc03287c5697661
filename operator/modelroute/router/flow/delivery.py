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
from modelroute.router.surface.usage import NO_USAGE, Usage

_CLIENT_GONE = 499


class Failure(NamedTuple):
    """An error for the client, and whose it is."""

    target: Target
    refusal: openai.Refusal
    headers: bytes = b""


class Delivery:
    """One client's answer.

    ``reason``: why that backend gives it; ``attempts``: the tries that it took; ``opened``: a head went out while the
    client waited; ``worked``: a backend has done work for it, whether or not it told how much.
    """

    __slots__ = ("_instead_of", "_job", "_started", "_usage", "attempts", "opened", "reason", "worked")

    def __init__(self, job: Job) -> None:
        self._job = job
        self._started = time.perf_counter()
        self.reason = ""
        self.attempts = 0
        self.opened = self.worked = False
        self._usage = NO_USAGE
        self._instead_of = ""  # the backend that could not

    def own_headers(self, target: Target | None) -> bytes:
        """The header lines that we add to every answer; ``target``: whose it is, None: nobody's."""
        request = self._job.request
        lines = replies.route_headers(request, NOBODY if target is None else target.name, self.reason, self.attempts)
        if target is not None:
            lines += b"x-modelroute-model: %b\r\n" % (target.backend.model or self._job.ask.model).encode()
        if self._instead_of:
            lines += b"x-modelroute-fallback: %b\r\n" % self._instead_of.encode()
        if self.reason.startswith("canary"):
            lines += b"x-modelroute-canary: true\r\n"
        return lines + request.lease.headers()

    def keep_waiting(self, target: Target) -> None:
        """Tell a client that waits for a stream, and all in between, that the connection lives."""
        client, request = self._job.client, self._job.request
        if self.opened:
            client.write(replies.still_waiting(request))
        else:
            self.opened = True
            client.write(replies.opened_stream(request, self.own_headers(target), close=client.closes()))

    def tried_again(self, target: Target, kind: FailureKind) -> None:
        """The same backend is tried again."""
        self._job.shared.metrics.retries.labels(target.name, kind).inc()

    def fell_back(self, backend: str, kind: FailureKind, to: str) -> None:
        """Another one answers for ``backend``."""
        self._instead_of = backend
        self._job.shared.metrics.fallbacks.labels(backend, to, kind).inc()

    def failed(self, target: Target, kind: str) -> None:
        """A try failed."""
        target.tally(self._job.ask.model).errors[kind] += 1

    # Ends. Each is told once for an exchange.

    def whole(self, target: Target, answer: Answer) -> None:
        """Give a whole answer."""
        self.worked = True
        self._count(target, answer.status, answer.send_whole(self.own_headers(target)))

    def ended(self, target: Target, answer: Answer) -> None:
        """What was passed on piece by piece is complete."""
        self.worked = True
        self._count(target, answer.status, answer.end())

    def broken(self, target: Target, answer: Answer, refusal: openai.Refusal) -> None:
        """What was passed on cannot be completed."""
        self.worked = True
        self._job.request.keep_alive = False
        self._count(target, answer.status, answer.usage())
        answer.break_off(refusal)

    def gone(self, target: Target, answer: Answer | None) -> None:
        """The client left."""
        self._count(target, _CLIENT_GONE, answer.usage() if answer is not None else NO_USAGE)

    def give(self, failure: Failure) -> None:
        """Give a backend's error, or one about a backend."""
        self._write(failure.refusal, failure.headers + self.own_headers(failure.target))
        self._count(failure.target, failure.refusal.status, NO_USAGE)

    def refuse(self, refusal: openai.Refusal, reason: str) -> None:
        """Give an error for which no backend is to blame."""
        self.reason = reason
        self._write(refusal, self.own_headers(None))
        self._job.shared.metrics.refused(self._job.ask.model, refusal.status, reason)

    def settle(self) -> None:
        """Charge the client's limits; the prompt as it was reserved where a backend worked and told of none."""
        prompt = self._usage.prompt if self._usage.prompt is not None or self.worked else 0
        self._job.request.lease.settle(prompt, self._usage.completion or 0)

    def first_text(self, target: Target) -> None:
        """The first text of a stream has passed."""
        target.tally(self._job.ask.model).first_token.observe(time.perf_counter() - self._started)

    def _write(self, refusal: openai.Refusal, own: bytes) -> None:
        client, request, dialect = self._job.client, self._job.request, self._job.ask.dialect
        if self.opened:
            client.write(replies.refused_stream(request, refusal, dialect))
            return
        headers, body = replies.refused(refusal, dialect)
        client.write(replies.whole(request, refusal.status, headers + own, body, close=client.closes()))

    def _count(self, target: Target, status: int, usage: Usage) -> None:
        tally = target.tally(self._job.ask.model)
        tally.codes[status] += 1
        tally.duration.observe(time.perf_counter() - self._started)
        self._usage = usage
        if usage is NO_USAGE:
            return
        for kind, count in zip(usage._fields, usage, strict=True):
            if count:
                tally.tokens[kind] += count
