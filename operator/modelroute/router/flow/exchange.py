"""One request's life: which backend, who takes over when it fails, until the client has its answer.

Made by ``service`` for each request that goes upstream. All of it runs in callbacks: between the decision and the slot
that an attempt reserves nothing waits. ``delivery`` says what the client is given. Nothing here logs.
"""

import random

from modelroute.api.types import FailureKind
from modelroute.policy.balance import Pool
from modelroute.policy.decide import Hold, Reject, decide, next_backend
from modelroute.policy.facts import Moment
from modelroute.policy.table import EVERYBODY
from modelroute.router.flow import refusals
from modelroute.router.flow.answer import Answer
from modelroute.router.flow.attempt import Attempt
from modelroute.router.flow.deadline import TICK, Deadline
from modelroute.router.flow.delivery import Delivery, Failure
from modelroute.router.flow.facts import facts_of, key_of
from modelroute.router.flow.job import Job
from modelroute.router.flow.retries import Retries
from modelroute.router.flow.verdict import settle, verdict_on
from modelroute.router.flow.waiting import Wait
from modelroute.router.replicas.endpoints import Endpoint
from modelroute.router.replicas.gate import Gate, Why
from modelroute.router.replicas.live import Live, Route
from modelroute.router.replicas.target import Target
from modelroute.router.surface import openai
from modelroute.router.surface.pairs import BadBodyError
from modelroute.router.surface.rewrite import rewritten


class Exchange:
    """A request that goes upstream. It has a place at a gate, or waits, or is over."""

    __slots__ = (
        "_answered", "_attempt", "_avoid", "_barred", "_body", "_deadline", "_gate", "_job", "_live", "_over",
        "_retries", "_route", "_target", "_tried", "_user", "_wait", "out",
    )  # fmt: skip

    _target: Target  # from the decision on

    def __init__(self, job: Job, live: Live, route: Route) -> None:
        self._job, self._live, self._route = job, live, route
        self.out = Delivery(job)
        self._deadline = Deadline(job.request.headers, route.snapshot.total, job.shared.loop.time())
        self._retries = Retries(job.shared.budget, route.snapshot.retry, self._deadline.sdk_retries)
        self._attempt: Attempt | None = None
        self._wait: Wait | None = None
        self._gate: Gate | None = None
        self._tried: tuple[str, ...] = ()
        self._avoid: tuple[Endpoint, ...] = ()
        self._answered: Failure | None = None
        self._barred = EVERYBODY
        self._body, self._user, self._over = b"", "", False

    def start(self) -> None:
        """Decide and send; BadBodyError, before anything is done, when the body turns out to be unusable."""
        shared, route = self._job.shared, self._route
        now = shared.loop.time()
        facts = facts_of(self._job.request, self._job.ask, route, self._deadline.left(now))
        self._user = facts.user or ""
        # The chance of a draw, not of a secret.
        decision = decide(route.policy, facts, random.random(), Moment(route.troubles, now))  # noqa: S311
        shared.budget.began()
        self._job.client.running = self
        if isinstance(decision, Reject):
            self._finish(self.out.refuse(refusals.rejected(decision), decision.reason))
            return
        self._barred, self.out.reason = decision.barred, decision.reason
        self._target = route.targets[decision.backend.name]
        if isinstance(decision, Hold):
            self._stand_in_line(decision.kind)
        else:
            if decision.covers is not None:
                self.out.fell_back(*decision.covers, self._target.name)
            self._enter()

    # Waiting.

    def _stand_in_line(self, kind: FailureKind) -> None:
        """Wait for a place at the target: until it is ready, or until it is less busy."""
        backend, loop = self._target.backend, self._job.shared.loop
        longest = backend.cold_start.max_wait if kind == "ColdStart" else backend.limits.max_wait
        left = self._deadline.left(loop.time(), comforted=self._job.ask.stream)
        self._tried += (backend.name,)
        self._wait = Wait(self, self._target.gate, kind, loop)
        self._wait.in_line(self._user, min(longest, left))

    def go(self) -> None:
        """See ``Waits``: by the snapshot that is in force now, which may have brought the replica."""
        self._wait = None
        target = self._live.latest(self._target)
        if target is not None:
            self._target = target
            self._enter()
        else:
            self._say(refusals.not_served(self._target.name, "ColdStart", "gone"))

    def awake(self, kind: FailureKind) -> None:
        """See ``Waits``: in the meantime the backend may have come to be in trouble."""
        self._wait = None
        trouble, now = self._target.gate.trouble, self._job.shared.loop.time()
        if not self._retries.affordable():
            if not self._later(kind, self._deadline.left(now)):
                self.call_off()
        elif trouble is not None and trouble.kind == "Overloaded":
            self._retries.done()
            self._stand_in_line(trouble.kind)
        elif trouble is not None and trouble.until > now:
            self.call_off()
        else:
            self.out.tried_again(self._target, kind)
            self.go()

    def give_up_waiting(self, kind: FailureKind, why: Why) -> None:
        """See ``Waits``: whoever is declared takes over, unless all that was asked for is to be held."""
        self._wait = None
        held = kind == "ColdStart" and why != "gone" and self._target.backend.cold_start.policy == "Hold"
        if held or not self._over_to_fallback(kind):
            self._say(refusals.not_served(self._target.name, kind, why))

    def call_off(self) -> None:
        """See ``Waits``."""
        self._wait = None
        self._give(self._answered or Failure(self._target, refusals.failed(self._target.name, "ConnectFailure")))

    def comfort(self) -> None:
        """See ``Waits``."""
        if self._job.ask.stream:
            self.out.keep_waiting(self._target.name)
            self._deadline.heard(self._job.shared.loop.time())

    # Tries.

    def _enter(self) -> None:
        """Take a place at the target and try it."""
        target = self._target
        self._leave_gate()
        self._gate = target.gate
        self._gate.enter()
        self._tried += (target.name,)
        self._avoid = ()
        try:
            self._body = rewritten(self._job.ask, target.backend)
        except BadBodyError as error:
            self._finish(self.out.refuse(error.refusal, "invalid_request"))
            return
        if target.keyless or target.pool is None:
            self.failed("ConnectFailure", free=True)
        else:
            self._try(target.pool)

    def _try(self, pool: Pool[Endpoint]) -> None:
        job, target = self._job, self._target
        now = job.shared.loop.time()
        key = key_of(target.backend.balancing, job.request, job.ask, self._user)
        endpoint = target.balance(pool, key, random.random(), now)  # noqa: S311
        if endpoint.vitals.ejected:
            endpoint.vitals.trial(now)
        last = self._retries.is_last(self.out.attempts) and not self._route.policy.table.fallbacks
        windows = self._deadline.windows(target.backend.timeouts, now, streamed=job.ask.stream, last=last)
        self.out.attempts += 1
        self._attempt = Attempt(self, job, target, endpoint, self._body, windows)
        self._attempt.start()

    def failed(self, kind: FailureKind, *, free: bool) -> None:
        """See ``Owner``: another replica, another backend, the same again after a while, or the end."""
        target, attempt, self._attempt = self._target, self._attempt, None
        self.out.failed(target, kind)
        target.gate.failed(kind)
        self._retries.done()
        if attempt is not None:
            self._avoid += (attempt.endpoint,)
        left = self._deadline.left(self._job.shared.loop.time())
        if left < TICK:
            self._say(refusals.out_of_time())
        elif not (
            (attempt is not None and self._elsewhere(kind, free))
            or self._over_to_fallback(kind)
            or (attempt is not None and self._later(kind, left))
        ):
            self._give(self._answered or Failure(self._target, refusals.failed(target.name, kind)))

    def _elsewhere(self, kind: FailureKind, free: bool) -> bool:  # noqa: FBT001
        pool = self._retries.elsewhere(self._target, self._avoid, kind, self.out.attempts, free=free)
        if pool is None:
            return False
        self.out.tried_again(self._target, kind)
        self._try(pool)
        return True

    def _over_to_fallback(self, kind: FailureKind) -> bool:
        moment = Moment(self._route.troubles, self._job.shared.loop.time())
        while (forward := next_backend(self._route.policy, self._tried, kind, moment, self._barred)) is not None:
            target = self._live.latest(self._route.targets[forward.backend.name])
            if target is not None:
                self.out.fell_back(self._target.name, kind, target.name)
                self.out.reason = forward.reason
                self._target = target
                self._enter()
                return True
            self._tried += (forward.backend.name,)
        return False

    def _later(self, kind: FailureKind, left: float) -> bool:
        target, loop = self._target, self._job.shared.loop
        seconds = self._retries.later(target, kind, self.out.attempts, left, loop.time())
        if seconds is None:
            return False
        self._leave_gate()
        self._wait = Wait(self, target.gate, kind, loop)
        self._wait.for_another_try(seconds)
        return True

    # Answers.

    def held(self, answer: Answer, endpoint: Endpoint) -> None:
        """See ``Owner``: give it to the client, or go on to another backend."""
        target, verdict = self._target, verdict_on(answer, self._target)
        settle(verdict, target, endpoint, self._job.shared.loop.time())
        if verdict is None:
            self._finish(self.out.whole(target, answer))
            return
        failure = Failure(target, verdict.refusal, answer.error_headers)
        if verdict.kind is None:
            self.out.failed(target, f"http_{verdict.refusal.status}")
            self._give(failure)
        else:
            self._answered, self._retries.asked = failure, verdict.wait
            self.failed(verdict.kind, free=verdict.fatal)

    def ended(self, answer: Answer) -> None:
        """See ``Owner``."""
        self._finish(self.out.ended(self._target, answer))

    def broken(self, answer: Answer, kind: str, refusal: openai.Refusal) -> None:
        """See ``Owner``."""
        self.out.failed(self._target, kind)
        self._finish(self.out.broken(self._target, answer, refusal))

    # The end.

    def _say(self, refusal: openai.Refusal) -> None:
        self._give(Failure(self._target, refusal))

    def _give(self, failure: Failure) -> None:
        self._finish(self.out.give(failure))

    def _finish(self, tokens: int) -> None:
        self._leave(tokens)
        self._job.client.finish()

    def _leave(self, tokens: int) -> None:
        """Return, once, all that this request has: its try, its wait, its budget, its lease, its place."""
        self._over = True
        if self._attempt is not None:
            self._attempt.stop()
            self._attempt = None  # who knows whom in a circle is left to the garbage collector
        if self._wait is not None:
            self._wait.stop()
        self._retries.done()
        self._job.shared.budget.ended()
        self._job.request.lease.settle(tokens)
        self._leave_gate()

    def _leave_gate(self) -> None:
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.leave()

    # What the client does.

    @property
    def _begun(self) -> Answer | None:
        return self._attempt.begun if self._attempt is not None else None

    def client_gone(self) -> None:
        """Cancel at the backend at once."""
        if not self._over:
            self._leave(self.out.gone(self._target, self._begun))

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
        answer = self._begun
        if answer is not None:
            self.broken(answer, "Shutdown", openai.shutting_down())
        else:
            self._job.request.keep_alive = False
            self._say(openai.shutting_down())
