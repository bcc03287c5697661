"""One request's life: which backend, who takes over when it fails, until the client has its answer.

Made by ``service`` for each request that goes upstream. All of it runs in callbacks: between the decision and the slot
that an attempt reserves nothing waits. ``delivery`` says what the client is given. Nothing here logs.
"""

import random
from functools import partial

from modelroute.api.types import FailureKind
from modelroute.policy.balance import Pool
from modelroute.policy.decide import Hold, Reject
from modelroute.policy.facts import Facts, Moment
from modelroute.router.flow import refusals
from modelroute.router.flow.answer import Answer
from modelroute.router.flow.attempt import Attempt
from modelroute.router.flow.choosing import choose
from modelroute.router.flow.deadline import Deadline
from modelroute.router.flow.delivery import Delivery, Failure
from modelroute.router.flow.facts import key_of
from modelroute.router.flow.job import Job
from modelroute.router.flow.retries import Retries
from modelroute.router.flow.succession import Failed, Later, Other, Succession
from modelroute.router.flow.verdict import settle, verdict_on
from modelroute.router.flow.waiting import TICK, Wait
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
        "_answered", "_attempt", "_body", "_deadline", "_gate", "_job", "_live", "_over", "_retries", "_route",
        "_succession", "_target", "_user", "_wait", "out",
    )  # fmt: skip

    _target: Target  # from the decision on

    def __init__(self, job: Job, live: Live, route: Route) -> None:
        self._job, self._live, self._route = job, live, route
        self.out = Delivery(job)
        self._deadline = Deadline(job.request.headers, route.snapshot.total, job.shared.loop.time())
        self._retries = Retries(job.shared.budget, route.snapshot.retry, self._deadline.sdk_retries)
        self._succession = Succession(live, route, self._retries)
        self._attempt: Attempt | None = None
        self._wait: Wait | None = None
        self._gate: Gate | None = None
        self._answered: Failure | None = None
        self._body, self._user, self._over = b"", "", False

    def start(self, facts: Facts) -> None:
        """Decide and send."""
        shared, route = self._job.shared, self._route
        now = shared.loop.time()
        moment = Moment(route.troubles, now, self._deadline.left(now))
        self._user = facts.user or ""
        decision = choose(route, facts, moment)
        shared.budget.began()
        self._job.client.running = self
        if isinstance(decision, Reject):
            self.out.refuse(refusals.rejected(decision), decision.reason)
            self._finish()
            return
        self._succession.barred, self.out.reason = decision.barred, decision.reason
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
        backend, now = self._target.backend, self._now()
        self._succession.at(self._target)
        longest, left = backend.limits.max_wait, self._deadline.left(now, comforted=self._job.ask.stream)
        if kind == "ColdStart":
            longest, held = backend.cold_start.max_wait, backend.cold_start.policy == "Hold"
            if not held and self._succession.overflow(kind, now) is not None:
                left /= 2  # who takes over needs as much
        self._wait = Wait(self, self._target.gate, kind, self._job.shared.loop)
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
        trouble, now = self._target.gate.trouble, self._now()
        if not self._retries.affordable():
            seconds = self._retries.later(self._target, kind, self.out.attempts, self._deadline.left(now), now)
            if seconds is None:
                self.call_off()
            else:
                self._sleep(seconds, kind)
        elif trouble is not None and trouble.kind != "Overloaded" and trouble.until > now:
            self.call_off()
        else:
            self.out.tried_again(self._target, kind)
            if trouble is not None and trouble.kind == "Overloaded":
                self._stand_in_line(trouble.kind)  # with its retry, which is one when its turn comes, too
            else:
                self.go()

    def give_up_waiting(self, kind: FailureKind, why: Why) -> None:
        """See ``Waits``: another backend takes over, unless all that was asked for is to be held."""
        self._wait = None
        held = kind == "ColdStart" and why != "gone" and self._target.backend.cold_start.policy == "Hold"
        self._retries.done()
        other = None if held else self._succession.overflow(kind, self._now())
        if other is not None:
            self._over_to(other, kind)
        else:
            self._say(refusals.not_served(self._target.name, kind, why))

    def call_off(self) -> None:
        """See ``Waits``."""
        self._wait = None
        self._give(self._answered or Failure(self._target, refusals.failed(self._target.name, "ConnectFailure")))

    def comfort(self) -> None:
        """See ``Waits``."""
        if self._job.ask.stream:
            self.out.keep_waiting(self._target)
            self._deadline.heard(self._now())

    # Tries.

    def _enter(self) -> None:
        """Take a place at the target and try it."""
        target = self._target
        self._leave_gate()
        self._gate = target.gate
        self._gate.enter()
        self._succession.at(target)
        try:
            self._body = rewritten(self._job.ask, target.backend)
        except BadBodyError as error:
            self.out.refuse(error.refusal, "invalid_request")
            self._finish()
            return
        if target.keyless or target.pool is None:
            self.failed("ConnectFailure", free=True)
        else:
            self._try(target.pool)

    def _try(self, pool: Pool[Endpoint]) -> None:
        job, target, now = self._job, self._target, self._now()
        key = key_of(target.backend.balancing, job.request, job.ask, self._user)
        endpoint = target.balance(pool, key, random.random(), now)  # noqa: S311
        if endpoint.vitals.ejected:
            endpoint.vitals.trial(now)
        others = partial(self._succession.anybody_after, pool, self.out.attempts, now)
        windows = self._deadline.windows(target.backend.timeouts, now, streamed=job.ask.stream, others=others)
        self.out.attempts += 1
        self._attempt = Attempt(self, job, target, endpoint, self._body, windows)
        self._attempt.start()

    def failed(self, kind: FailureKind, *, free: bool, again: bool = True) -> None:
        """See ``Owner``: go on to whoever is next, or end."""
        target, attempt, self._attempt = self._target, self._attempt, None
        self.out.failed(target, kind)
        target.gate.failed(kind)
        self._retries.done()
        self.out.worked |= attempt is not None and attempt.sent and kind == "Timeout"
        endpoint, now = attempt.endpoint if attempt is not None else None, self._now()
        left = self._deadline.left(now)
        if left < TICK:
            self._say(refusals.out_of_time())
            return
        after = self._succession.after(target, Failed(kind, endpoint, free, again, left), self.out.attempts, now)
        if isinstance(after, Pool):
            self.out.tried_again(target, kind)
            self._try(after)
        elif isinstance(after, Other):
            self._over_to(after, kind)
        elif isinstance(after, Later):
            self._sleep(after.seconds, kind)
        elif self._answered is None and target.down:
            self._say(refusals.not_served(target.name, kind, "failing"))
        else:
            self._give(self._answered or Failure(target, refusals.failed(target.name, kind)))

    def _over_to(self, other: Other, kind: FailureKind) -> None:
        self.out.fell_back(self._target.name, kind, other.target.name)
        self._target, self.out.reason = other
        self._enter()

    def _sleep(self, seconds: float, kind: FailureKind) -> None:
        self._leave_gate()
        self._wait = Wait(self, self._target.gate, kind, self._job.shared.loop)
        self._wait.for_another_try(seconds)

    def _now(self) -> float:
        return self._job.shared.loop.time()

    # Answers.

    def held(self, answer: Answer, endpoint: Endpoint) -> None:
        """See ``Owner``: give it to the client, or go on to another backend."""
        target, verdict = self._target, verdict_on(answer, self._target)
        settle(answer, verdict, target, endpoint, self._now())
        if verdict is None:
            self.out.whole(target, answer)
            self._finish()
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
        self.out.ended(self._target, answer)
        self._finish()

    def broken(self, answer: Answer, kind: str, refusal: openai.Refusal) -> None:
        """See ``Owner``."""
        self.out.failed(self._target, kind)
        self.out.broken(self._target, answer, refusal)
        self._finish()

    # The end.

    def _say(self, refusal: openai.Refusal) -> None:
        self._give(Failure(self._target, refusal))

    def _give(self, failure: Failure) -> None:
        self.out.give(failure)
        self._finish()

    def _finish(self) -> None:
        self._leave()
        self._job.client.finish()

    def _leave(self) -> None:
        """Return, once, all that this request has: its try, its wait, its budget, its lease, its place."""
        self._over = True
        if self._attempt is not None:
            self.out.worked |= self._attempt.working
            self._attempt.stop()
            self._attempt = None  # who knows whom in a circle is left to the garbage collector
        if self._wait is not None:
            self._wait.stop()
        self._retries.done()
        self._job.shared.budget.ended()
        self.out.settle()
        self._leave_gate()

    def _leave_gate(self) -> None:
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.leave()

    # What the client does.

    def client_gone(self) -> None:
        """Cancel at the backend at once."""
        if not self._over:
            self.out.gone(self._target, self._attempt.begun if self._attempt is not None else None)
            self._leave()

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
        if answer is not None:
            self.broken(answer, "Shutdown", openai.shutting_down())
        else:
            self._job.request.keep_alive = False
            self._say(openai.shutting_down())
