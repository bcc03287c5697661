"""One request's life: which backend, who takes over when it fails, until the client has its answer.

Made by ``service`` for each request that goes upstream. All of it runs in callbacks: between the decision and the slot
that an attempt reserves nothing waits. Nothing here logs.
"""

import random
import time
from typing import NamedTuple

from modelroute.api.types import FailureKind
from modelroute.policy.decide import Reject, decide, next_backend
from modelroute.policy.facts import Facts
from modelroute.router import openai, replies
from modelroute.router.answer import Answer
from modelroute.router.attempt import Attempt, Job
from modelroute.router.body import BadBodyError, rewritten, text_of
from modelroute.router.endpoints import Endpoint
from modelroute.router.live import Route, Target
from modelroute.router.metrics import NOBODY
from modelroute.router.sse import Usage, opening_error

_CLIENT_GONE = 499
_ENDPOINT_TRIES = 2
_WITH_CONTENT = range(200, 204)
_NOTHING = Usage()


def _error_in(answer: Answer, body: bytes) -> bytes | None:
    """The JSON of an error that a 200 turns out to be."""
    if answer.events:
        return opening_error(body)
    return body if openai.tells_error(body) else None


def _text(header: bytes) -> str:
    """A header's value as its sender meant it: UTF-8, as in a body, else HTTP's old Latin-1."""
    try:
        return header.decode()
    except UnicodeDecodeError:
        return header.decode("latin-1")


class Failure(NamedTuple):
    """An error for the client, and whose it is."""

    target: Target
    reason: str
    refusal: openai.Refusal
    headers: bytes = b""


class Exchange:
    """A request that goes upstream."""

    __slots__ = (
        "_answered", "_attempt", "_attempts", "_avoid", "_body", "_job", "_over", "_reason", "_route", "_started",
        "_target", "_tried",
    )  # fmt: skip

    def __init__(self, job: Job, route: Route) -> None:
        self._job = job
        self._route = route
        self._attempt: Attempt | None = None
        self._attempts = 0
        self._tried: tuple[str, ...] = ()
        self._avoid: tuple[Endpoint, ...] = ()
        self._answered: Failure | None = None
        self._body = b""
        self._reason = ""
        self._over = False
        self._started = time.perf_counter()

    def start(self) -> None:
        """Decide and send; BadBodyError, before anything is sent, when the body turns out to be unusable."""
        # The chance of a draw, not of a secret.
        decision = decide(self._route.policy, self._facts(), random.random())  # noqa: S311
        if isinstance(decision, Reject):
            self._refuse(openai.no_ready_backend(decision.message), decision.reason)
        else:
            self._try_backend(decision.backend.name, decision.reason)

    def _facts(self) -> Facts:
        route, headers, ask = self._route, self._job.request.headers, self._job.ask
        user = headers.get(route.user_header) if route.user_header else None
        tier = headers.get(route.tier_header) if route.tier_header else None
        return Facts(
            model=ask.model,
            text=text_of(ask) if route.policy.needs_text else "",
            user=_text(user) if user else ask.user or None,
            tier=_text(tier) if tier else None,
            headers={name: _text(headers[raw]) for raw, name in route.header_names if raw in headers},
        )

    # Tries.

    def _try_backend(self, name: str, reason: str) -> None:
        self._target = target = self._route.targets[name]
        self._reason = reason
        self._tried += (name,)
        self._avoid = ()
        self._body = rewritten(self._job.ask, target.backend)
        self._job.client.running = self
        if target.keyless:
            self.failed("ConnectFailure")
        else:
            self._try_endpoint()

    def _try_endpoint(self) -> None:
        endpoint = self._target.pick(self._avoid)
        if endpoint is None:
            self._next("ConnectFailure")
            return
        self._attempts += 1
        self._attempt = Attempt(self, self._job, self._target, endpoint, self._body)
        self._attempt.start()

    def failed(self, kind: FailureKind) -> None:
        """See ``Owner``: another endpoint of this backend if this one could not be reached, else another backend."""
        self._target.metrics(self._job.ask.model).failed(kind)
        attempt, self._attempt = self._attempt, None
        if kind == "ConnectFailure" and attempt is not None:
            self._avoid += (attempt.endpoint,)
            if len(self._avoid) < _ENDPOINT_TRIES and self._target.pick(self._avoid) is not None:
                self._try_endpoint()
                return
        self._next(kind)

    def _next(self, kind: FailureKind) -> None:
        forward = next_backend(self._route.policy, self._tried, kind)
        if forward is None:
            self._give(self._answered or self._own_failure(kind))
            return
        self._job.shared.metrics.fallbacks.labels(self._target.name, forward.backend.name, kind).inc()
        try:
            self._try_backend(forward.backend.name, forward.reason)
        except BadBodyError as error:
            self._refuse(error.refusal, "invalid_request")

    def _own_failure(self, kind: FailureKind) -> Failure:
        name = self._target.name
        if kind == "Timeout":
            return self._mine(openai.timed_out(504, f'backend "{name}" did not answer in time'))
        what = "gave an answer that is not valid" if kind == "ServerError" else "could not be reached"
        return self._mine(openai.upstream_error(f'backend "{name}" {what}'))

    def _mine(self, refusal: openai.Refusal) -> Failure:
        return Failure(self._target, self._reason, refusal)

    # Answers.

    def held(self, answer: Answer) -> None:
        """See ``Owner``: give it to the client, or go on to another backend."""
        status, body = answer.status, answer.held
        answered = status in _WITH_CONTENT
        error = _error_in(answer, body) if answered else None
        if answered and error is None and not answer.events:
            usage = answer.send_whole(self.began())
            self._count(status, usage)
            self._finish()
            return
        status = openai.status_in(error) if error else status if status >= 400 else 502
        refusal = openai.upstream_refusal(self._target.name, status, self._scrubbed(error or body))
        failure = Failure(self._target, self._reason, refusal, answer.error_headers)
        if status == 429 or status >= 500:
            self._answered = failure
            self.failed("RateLimited" if status == 429 else "ServerError")
        else:
            self._target.metrics(self._job.ask.model).failed(f"http_{status}")
            self._give(failure)

    def began(self) -> bytes:
        """See ``Owner``."""
        return replies.route_headers(self._job.request, self._target.name, self._reason, self._attempts)

    def first_text(self) -> None:
        """See ``Owner``."""
        took = time.perf_counter() - self._started
        self._target.metrics(self._job.ask.model).first_token.observe(took)

    def ended(self, answer: Answer) -> None:
        """See ``Owner``."""
        self._count(answer.status, answer.end())
        self._finish()

    def broken(self, answer: Answer, kind: str, refusal: openai.Refusal) -> None:
        """See ``Owner``."""
        self._target.metrics(self._job.ask.model).failed(kind)
        self._count(answer.status, answer.usage())
        self._job.request.keep_alive = False
        answer.break_off(refusal)
        self._finish()

    def _scrubbed(self, body: bytes) -> bytes:
        """A backend's own error without what only the router should know: the key, the addresses."""
        target = self._target
        known = [target.key.value] if target.key else []
        for endpoint in target.endpoints:
            known += [f"{endpoint.place.host}:{endpoint.place.port}".encode(), endpoint.host_header]
        for secret in filter(None, known):
            body = body.replace(secret, b"***")
        return body

    # The end.

    def _give(self, failure: Failure) -> None:
        self._target = failure.target
        own = replies.route_headers(self._job.request, failure.target.name, failure.reason, self._attempts)
        self._write_refusal(failure.refusal, failure.headers + own)
        self._count(failure.refusal.status, _NOTHING)
        self._finish()

    def _refuse(self, refusal: openai.Refusal, reason: str) -> None:
        self._write_refusal(refusal, replies.route_headers(self._job.request, NOBODY, reason, self._attempts))
        self._job.shared.metrics.refused(self._job.ask.model, refusal.status, reason)
        self._finish()

    def _write_refusal(self, refusal: openai.Refusal, own: bytes) -> None:
        client, request = self._job.client, self._job.request
        headers, body = replies.refused(refusal, self._job.ask.dialect)
        client.write(replies.whole(request, refusal.status, headers + own, body, close=client.closing))

    def _count(self, status: int, usage: Usage) -> None:
        metrics = self._target.metrics(self._job.ask.model)
        metrics.answered(status)
        metrics.duration.observe(time.perf_counter() - self._started)
        if usage.prompt:
            metrics.prompt_tokens.inc(usage.prompt)
        if usage.completion:
            metrics.completion_tokens.inc(usage.completion)

    def _finish(self) -> None:
        self._leave()
        self._job.client.finish()

    def _leave(self) -> None:
        self._over = True
        if self._attempt is not None:
            self._attempt.stop()

    # What the client does.

    def client_gone(self) -> None:
        """Cancel at the backend at once."""
        if self._over:
            return
        answer = self._attempt.begun if self._attempt is not None else None
        self._leave()
        self._count(_CLIENT_GONE, answer.usage() if answer is not None else _NOTHING)

    def pause(self) -> None:
        """Let the backend wait for the client."""
        if self._attempt is not None:
            self._attempt.pause()

    def resume(self) -> None:
        """Let the backend go on."""
        if self._attempt is not None:
            self._attempt.resume()

    def shut(self) -> None:
        """The router ends: tell the client what can still be told."""
        answer = self._attempt.begun if self._attempt is not None else None
        self._leave()
        if answer is not None:
            self.broken(answer, "Shutdown", openai.shutting_down())
        else:
            self._job.request.keep_alive = False
            self._give(self._mine(openai.shutting_down()))
