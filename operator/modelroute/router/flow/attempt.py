"""One try of one endpoint: its slot, its connection, its deadlines, and the answer that comes.

Made by ``exchange``, which hears how it went. Never chooses who is tried next.
"""

import asyncio
import enum

from modelroute.api.types import FailureKind
from modelroute.router.flow.answer import HOLD_LIMIT, Answer
from modelroute.router.flow.job import Job, Windows
from modelroute.router.flow.owner import Owner
from modelroute.router.flow.waiting import TICK
from modelroute.router.http.upstream import Headers, Upstream
from modelroute.router.replicas.dial import DialError, dial
from modelroute.router.replicas.endpoints import Endpoint
from modelroute.router.replicas.target import Target
from modelroute.router.surface import openai
from modelroute.router.surface.sse import may_open_with_error

_PASSED_REQUEST_HEADERS = b"accept traceparent tracestate idempotency-key anthropic-version anthropic-beta".split()

_STALE_SECONDS = 0.25
"""A kept connection that is lost so soon after a request was sent on it was closed before; later, work was begun."""


class State(enum.Enum):
    """How far a try is. Until STREAMING the client has seen nothing, and another backend may take over."""

    DIALING = enum.auto()
    WAITING = enum.auto()  # for the first byte of the body
    HOLDING = enum.auto()  # until the body is whole
    STREAMING = enum.auto()
    OVER = enum.auto()


class Attempt:
    """One try, from the reservation of the slot to its return."""

    __slots__ = (
        "_answer", "_body", "_connection", "_dialing", "_fresh", "_job", "_owner", "_since", "_texted", "_timer",
        "_touched", "_windows", "endpoint", "sent", "state", "target",
    )  # fmt: skip

    def __init__(
        self, owner: Owner, job: Job, target: Target, endpoint: Endpoint, body: bytes, windows: Windows
    ) -> None:
        self.target = target
        self.endpoint = endpoint
        self.state = State.DIALING
        self._owner = owner
        self._job = job
        self._windows = windows
        self._body = body
        self._answer: Answer | None = None
        self._connection: Upstream | None = None
        self._dialing: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._fresh = self.sent = False
        self._texted = False
        self._since = self._touched = 0.0

    # Called by the owner.

    def start(self) -> None:
        """Reserve the slot and send, on an idle connection if there is one."""
        self.endpoint.in_flight += 1
        self.endpoint.asked = self._job.shared.loop.time()
        connection = self.endpoint.take()
        if connection is None:
            self._dial()
        else:
            self._send(connection)

    def stop(self) -> None:
        """Give all back; an answer that is still coming is cancelled at the backend. May be called twice."""
        if self.state is State.OVER:
            return
        self.state = State.OVER
        self.endpoint.in_flight -= 1
        if self._timer is not None:
            self._timer.cancel()
        if self._dialing is not None:
            self._dialing.cancel()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def pause(self) -> None:
        """Let the backend wait for the client."""
        if self._connection is not None:
            self._connection.pause()

    def resume(self) -> None:
        """Let the backend go on; the time in which nobody read from it was not its silence."""
        self._touched = self._job.shared.loop.time()
        if self._connection is not None:
            self._connection.resume()

    @property
    def working(self) -> bool:
        """Whether the backend has the request and has not ended with it."""
        return self.sent and self.state is not State.OVER

    @property
    def begun(self) -> Answer | None:
        """The answer that is being passed on, if it is."""
        return self._answer if self.state is State.STREAMING else None

    # The way there.

    def _dial(self) -> None:
        self.state = State.DIALING
        self._fresh = True
        self._arm(self._windows.connect)
        self._dialing = self._job.shared.loop.create_task(self._connect())

    async def _connect(self) -> None:
        try:
            connection = await dial(self.endpoint, self._job.shared.tls)
        except DialError as error:
            self._dialing = None
            if error.certificate:
                self._job.shared.metrics.certificates.labels(self.target.name, error.certificate).inc()
            self._fail("ConnectFailure", str(error), again=not error.certificate)
            return
        self._dialing = None
        self._send(connection)

    def _send(self, connection: Upstream) -> None:
        self.state = State.WAITING
        self._connection = connection
        request, ask = self._job.request, self._job.ask
        passed = b"content-type: %b\r\nx-request-id: %b\r\n" % (ask.content_type, request.request_id)
        for name in _PASSED_REQUEST_HEADERS:
            if value := request.headers.get(name):
                passed += b"%b: %b\r\n" % (name, value)
        self.sent = True
        self._since = self._touched = self._job.shared.loop.time()
        self._arm(self._windows.first)
        connection.ask(self, self.target.head(self.endpoint, ask.kind, passed, len(self._body)), self._body)
        if self._job.client.paused:
            connection.pause()

    # Deadlines.

    def _arm(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        loop = self._job.shared.loop
        self._timer = loop.call_at(min(loop.time() + seconds, self._end), self._late)

    @property
    def _end(self) -> float:
        return self._windows.end if self.state is State.STREAMING else self._windows.patience

    def _late(self) -> None:
        """The time of the present state is over, or that of the whole try."""
        self._timer = None
        if self._job.shared.loop.time() > self._end - TICK:
            if self.state is State.STREAMING:
                self._break_off("Timeout", openai.timed_out(504, "the answer took longer than it may"), blame=False)
            else:
                self._fail("Timeout", "it did not answer in the time of the request", blame=False)
        elif self.state is State.DIALING:
            blame = self._windows.connect == self.target.backend.timeouts.connect
            self._fail("ConnectFailure", "it did not accept a connection in time", blame=blame)
        elif self.state is State.WAITING:
            if self._job.client.paused:
                self._arm(self._windows.first)  # nobody reads from it, since the client does not
            else:
                self._fail("Timeout", "it did not answer in time", blame=self._windows.counts)
        else:
            self._idle()

    def _idle(self) -> None:
        limit = self._windows.idle
        now = self._job.shared.loop.time()
        if self._job.client.paused:
            self._touched = now  # it is the client that is slow
        left = self._touched + limit - now
        if left > 0:
            self._arm(left)
        elif self.state is State.HOLDING:
            self._fail("Timeout", "its answer stopped coming")
        else:
            blame = limit == self.target.backend.timeouts.stream_idle
            refusal = openai.timed_out(504, f"the answer stopped coming for {limit:g} s")
            self._break_off("StreamIdle", refusal, blame=blame)

    # What the backend answers; see ``Asker``.

    def on_head(self, status: int, headers: Headers) -> None:
        """Keep it: nothing is sent before the first byte of the body."""
        job = self._job
        self._answer = Answer(job, self.target, status, headers, opened=self._owner.out.opened, since=self._since)

    def on_data(self, data: bytes, *, last: bool) -> None:
        """Pass it on, or hold it."""
        answer = self._answer
        if answer is None:
            return
        self._touched = self._job.shared.loop.time()
        if self.state is State.STREAMING:
            answer.more(data)
            if not self._texted:
                self._look_for_text(answer)
            return
        answer.hold(data)
        if answer.events and not may_open_with_error(answer.held):
            self._stream(answer, answer.held)
        else:
            self._hold(answer, last=last)

    def _hold(self, answer: Answer, *, last: bool) -> None:
        if self.state is State.WAITING:
            self.state = State.HOLDING
            if not last:
                self._arm(self._windows.idle)
        if answer.held_size <= HOLD_LIMIT:
            return
        if answer.may_begin and not self._owner.out.opened:  # whoever waits for events cannot be given half a JSON
            self._stream(answer, answer.held)
        else:
            self.stop()
            self._owner.held(answer, self.endpoint)

    def _stream(self, answer: Answer, data: bytes) -> None:
        self.state = State.STREAMING
        if self.endpoint.vitals.ejected:
            self.endpoint.succeeded(self._touched)  # it was tried whether it answers again, and it does
        self._arm(self._windows.idle)
        answer.begin(self._owner.out.own_headers(self.target), data)
        self._look_for_text(answer)

    def _look_for_text(self, answer: Answer) -> None:
        if answer.meter.texts:
            self._texted = True
            self._owner.out.first_text(self.target)

    def on_end(self) -> None:
        """The answer is whole, or it ended too early."""
        self._connection = None
        answer = self._answer
        if answer is None:
            return
        if self.state is not State.STREAMING:
            self.stop()
            self._owner.held(answer, self.endpoint)
        elif answer.events and not answer.is_complete():
            self._break_off("StreamLost", openai.upstream_error("the answer ended before it was complete"))
        else:
            now = self._job.shared.loop.time()
            if answer.meter.failed:
                self.endpoint.failed(now)
                self._owner.out.failed(self.target, "ServerError")
            else:
                self.endpoint.succeeded(now)
                self.endpoint.took(now - self._since, answer.usage().completion or 1)
            self.stop()
            self._owner.ended(answer)

    def on_lost(self, problem: str, *, malformed: bool) -> None:
        """Try again what had been closed while it was idle, else fail."""
        connection, self._connection = self._connection, None
        if self.state is State.STREAMING:
            self.endpoint.report(problem, self._job.shared.loop.time())
            self._break_off("StreamLost", openai.upstream_error("the connection to the backend was lost"))
        elif connection is not None and connection.silent and not self._fresh and self._is_early():
            self._dial()
        else:
            self._fail("ServerError" if malformed else "ConnectFailure", problem)

    def _is_early(self) -> bool:
        """Whether the connection may have been closed as idle when the request was sent, and nobody has read it."""
        return self._job.shared.loop.time() < self._touched + _STALE_SECONDS

    # How it went.

    def _fail(self, kind: FailureKind, problem: str, *, blame: bool = True, again: bool = True) -> None:
        now = self._job.shared.loop.time()
        free = self.state is State.DIALING and not self.sent
        self.endpoint.report(problem, now)
        self.stop()
        if blame:
            self.endpoint.failed(now)
        self._owner.failed(kind, free=free, again=again)

    def _break_off(self, kind: str, refusal: openai.Refusal, *, blame: bool = True) -> None:
        answer = self._answer
        self.stop()
        if blame:
            self.endpoint.failed(self._job.shared.loop.time())
        if answer is not None:
            self._owner.broken(answer, kind, refusal)
