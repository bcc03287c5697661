"""Asks the pods of all routes again and again, each route as often as its plan says, all together within a bound.

Of the bound each namespace has its share (``turns``): what hangs in one, or is much there, is not felt in others.

Run by ``beside`` while this operator acts; through it it is handed an ``Asking`` after every plan and read before the
next. Never decides anything: a route is looked at again when what was heard is news to its plan.
"""

import asyncio
import contextlib
import heapq
import itertools
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

from modelroute.controller import metrics
from modelroute.controller.asking.answers import engine_of, told_of
from modelroute.controller.asking.client import Answer, Pods, UnansweredError
from modelroute.controller.asking.heard import Answers, Heard, Picture
from modelroute.controller.turns import Turns
from modelroute.controller.watching.cache import Key
from modelroute.planning.asking import Asking
from modelroute.planning.observed import Engine, Told
from modelroute.planning.routing.loads import CALM_SECONDS

RATE, MOST_RATE, ROUND_SECONDS = 50.0, 300.0, 5.0
"""Requests a second, at most, over any time that is much longer than ``BURST_SECONDS``: as many as it takes to ask all
pods within a round, from the first up to the second number."""
SHARE = 0.5
"""Of the rate: what one route may take of it, however many pods it has."""
BURST_SECONDS = 1.0
AT_ONCE, OF_ONE_ROUTE = 128, 16
"""Requests: of all routes, and of one."""
TIMEOUT = 2.0
FAST = 0.25
"""Seconds between two looks while a snapshot is on its way; a router that lags for long is asked less often."""
_PACES = ((10.0, FAST), (60.0, 1.0), (math.inf, 5.0))
_REFUSAL_SECONDS = 3.0
"""A refusal that is older than the snapshot may be of the one before."""
_STRETCH = 4
"""Where more is due than the bound allows: how many of its own intervals a route may wait for those beside it."""

_Get = Callable[[str, str], Awaitable[Answer]]  # what it is, and its URL

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Followed:
    asking: Asking
    due_by: Callable[[Picture], bool]
    since: float  # the loop's time at which the revision or the routers last changed
    heard: Heard = field(default_factory=Heard)
    due: float = math.inf
    looking: bool = False
    news: tuple[object, ...] = ()
    loads: tuple[object, ...] = ()
    loads_told: float = -math.inf

    @property
    def cost(self) -> int:
        """Requests of one look."""
        return len(self.asking.routers) + len(self.asking.replicas)


class Sampler:
    """What the pods of all routes say. ``again`` has a route looked at."""

    def __init__(self, pods: Pods, again: Callable[[Key], None], clock: Callable[[], float] = time.time) -> None:
        """Nothing is asked before ``run``. ``clock`` gives Unix seconds."""
        self._pods = pods
        self._again = again
        self._clock = clock
        self._routes: dict[Key, _Followed] = {}
        self._numbers = itertools.count()  # so that no two entries of a heap are alike
        self._waiting: list[tuple[float, int, Key]] = []  # by when they are due
        self._woken = asyncio.Event()
        self._turns: Turns[asyncio.Future[None]] = Turns(AT_ONCE)
        self._size = 0  # pods to be asked, of all routes
        self._free = -math.inf  # when the bound allows the next request

    def follow(self, key: Key, asking: Asking, due: Callable[[Picture], bool] = lambda _: False) -> None:
        """Ask these from now on, in the place of whom was asked before.

        ``due`` says of what was heard whether the plan would be another: called at every look, where load decides.
        """
        if not asking:
            self.forget(key)
            return
        now = asyncio.get_running_loop().time()
        known = self._routes.get(key)
        if known is None:
            self._routes[key] = known = _Followed(asking, due, now)
            self._size += known.cost
            self._schedule(key, known, now)
            return
        known.due_by = due
        if known.asking != asking:
            self._size -= known.cost
            old, known.asking = known.asking, asking
            self._size += known.cost
            known.heard.forget_others(asking)
            if (old.revision, old.routers) != (asking.revision, asking.routers):
                known.since, known.news = now, ()  # a plan from before may say otherwise than the first look
            self._schedule(key, known, now + self._pause(known, now))

    def forget(self, key: Key) -> None:
        """Nobody is to be asked any more."""
        if known := self._routes.pop(key, None):
            self._size -= known.cost

    def seen(self, key: Key) -> Picture:
        """What was heard of ``key``, for a plan: loads that differ from it are news. It does not change later."""
        known = self._routes.get(key)
        if known is None:
            return Picture()
        known.loads = known.heard.loads()  # the plan that is made of it heeds them, or says when it will
        return known.heard.picture()

    async def run(self) -> None:
        """Ask until cancelled; what was heard is forgotten then, since it grows old."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._let_go())
                while True:
                    key, known, due = await self._next()
                    known.looking = True
                    group.create_task(self._look(key, known, due))
        finally:
            self._routes.clear()
            self._size = 0
            self._turns = Turns(AT_ONCE)

    async def _let_go(self) -> None:
        """One request after the other, when the bound allows it."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._free - loop.time())
            turn = await self._turns.take()
            turn.set_result(None)
            self._free = max(self._free, loop.time() - BURST_SECONDS) + 1 / self._rate

    async def _next(self) -> tuple[Key, _Followed, float]:
        """The next route to look at, when it is due, and when that was."""
        loop = asyncio.get_running_loop()
        while True:
            while self._waiting and self._waiting[0][0] <= loop.time():
                due, _, key = heapq.heappop(self._waiting)
                if (known := self._routes.get(key)) and known.due == due:
                    known.due = math.inf
                    if not known.looking:  # or its end says when the next one is due
                        return key, known, due
            self._woken.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._waiting[0][0] if self._waiting else None):
                    await self._woken.wait()

    def _schedule(self, key: Key, known: _Followed, due: float) -> None:
        if due < known.due:
            known.due = due
            heapq.heappush(self._waiting, (due, next(self._numbers), key))
            self._woken.set()

    def _pause(self, known: _Followed, now: float) -> float:
        return max(self._least(known), self._wished(known, now))

    def _least(self, known: _Followed) -> float:
        return known.cost / (SHARE * self._rate)

    @property
    def _rate(self) -> float:
        return min(MOST_RATE, max(RATE, self._size / ROUND_SECONDS))

    @staticmethod
    def _wished(known: _Followed, now: float) -> float:
        age = now - known.since
        if known.heard.lagging(known.asking, refusals_count=age > _REFUSAL_SECONDS):
            return min(known.asking.interval, next(pause for until, pause in _PACES if age < until))
        return known.asking.interval

    async def _look(self, key: Key, known: _Followed, due: float) -> None:
        asking, loop = known.asking, asyncio.get_running_loop()
        try:
            answers = await self._ask(key, asking, due + _STRETCH * self._pause(known, due))
            known.heard.note(known.asking, answers, self._clock())
            self._tell(key, known, loop.time())
        except Exception:  # the edge of a background loop: what is wrong with one look must not end the others
            log.exception("asking pods failed", extra={"route": str(key)})
        finally:
            known.looking = False
            if self._routes.get(key) is known:
                now = loop.time()
                self._schedule(key, known, max(due + self._least(known), now + self._wished(known, now)))

    def _tell(self, key: Key, known: _Followed, now: float) -> None:
        """Have the route looked at when there is news; when it is but of loads, no sooner than a plan heeds it."""
        if self._routes.get(key) is not known:
            return
        news, loads = known.heard.news(known.asking), known.heard.loads()
        shifted = loads != known.loads and now - known.loads_told >= CALM_SECONDS
        if news != known.news or shifted or (known.asking.sampled and known.due_by(known.heard.picture())):
            known.news, known.loads, known.loads_told = news, loads, now
            self._again(key)

    async def _ask(self, key: Key, asking: Asking, due: float) -> Answers:
        own = asyncio.Semaphore(OF_ONE_ROUTE)  # pods that hang keep others of their route waiting first of all
        get = partial(self._get, key.namespace, due, own)
        routers = [self._of_router(key, address, get) for _, address in asking.routers]
        replicas = [self._of_replica(r.address, get) for r in asking.replicas]
        pods = [*(pod for pod, _ in asking.routers), *(r.pod for r in asking.replicas)]
        return dict(zip(pods, await asyncio.gather(*routers, *replicas), strict=True))

    @staticmethod
    async def _of_router(key: Key, address: str, get: _Get) -> Told | UnansweredError:
        try:
            return told_of(await get("router", f"http://{address}/status"), key)
        except UnansweredError as error:
            return error

    @staticmethod
    async def _of_replica(address: str, get: _Get) -> Engine | UnansweredError:
        try:
            return engine_of(await get("replica", f"http://{address}/metrics"))
        except UnansweredError as error:
            return error

    async def _get(self, namespace: str, due: float, own: asyncio.Semaphore, what: str, url: str) -> Answer:
        async with own, self._turn(namespace, due):
            try:
                answer = await self._pods.get(url, TIMEOUT)
            except UnansweredError:
                metrics.ASKED.labels(what, "error").inc()
                raise
        metrics.ASKED.labels(what, "ok").inc()
        return answer

    @contextlib.asynccontextmanager
    async def _turn(self, namespace: str, due: float) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        since, turn = loop.time(), loop.create_future()
        self._turns.put(namespace, turn, due)
        await turn
        metrics.SAMPLING_LAG.set(loop.time() - since)
        try:
            yield
        finally:
            self._turns.done(namespace)
