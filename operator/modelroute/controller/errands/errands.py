"""Runs what a plan wants pods to be asked or told, beside the reconciles, and remembers how it ended.

Run by ``beside``, through which it is handed errands after every plan and read before the next. Never decides what is
to be done. It forgets all at its end: then what is still wanted is planned, and run, again.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from modelroute.controller import metrics
from modelroute.controller.asking import vllm
from modelroute.controller.asking.client import Pods, UnansweredError
from modelroute.controller.asking.vllm import ReplicaError
from modelroute.controller.backoff import backoff, jittered
from modelroute.controller.errands.words import LOST_WAKES, TELLING, errand_pod, figures, ms
from modelroute.controller.kube.calls import ApiError
from modelroute.controller.kube.cluster import Cluster
from modelroute.controller.kube.kinds import POD
from modelroute.controller.publishing import Publisher
from modelroute.controller.turns import Turns
from modelroute.controller.watching.cache import Cache, Key
from modelroute.planning import names
from modelroute.planning.errands import CloseGate, Errand, Mark, Sleep, Wake, WarmUp
from modelroute.planning.observed import KubeObject, WarmUpResult
from modelroute.planning.status.events import Event
from modelroute.planning.times.moments import rfc3339

ASKERS, WRITERS = 256, 8
"""Errands at once, shared among namespaces: those that ask a pod, which may hang for minutes, and those that do not."""
MOST_OF_ROUTE = 8
"""Pods of one route that are asked at once: however many hang, others are not held up. A wake always has a place."""
FIRST_RETRY, LAST_RETRY = 1.0, 30.0
REST_SECONDS = 5.0
"""What was done is not done again so long, though it is planned: what came of it may be seen a moment later."""

_Place = tuple[str, bool]
"""A pod, and whether it is asked itself: it is asked one thing at a time, and told of to the API server meanwhile."""
_What = tuple[str, type[Errand]]
_Turns = Turns[tuple[Key, Errand]]

log = logging.getLogger(__name__)


class Seen(NamedTuple):
    """What is known of a route's errands, as ``Observed`` has it."""

    warm_ups: Mapping[str, WarmUpResult] = {}
    under_way: frozenset[Errand] = frozenset()
    stuck: Mapping[str, str] = {}
    slept: Mapping[str, Sleep] = {}
    oversleeping: frozenset[str] = frozenset()


class _Failing(NamedTuple):
    times: int  # in a row
    due: float  # when the next try may begin, on the loop's clock
    why: str


@dataclass(slots=True)
class _Route:
    """What is remembered of one route."""

    warm_ups: dict[str, WarmUpResult] = field(default_factory=dict)
    done: dict[Errand, float] = field(default_factory=dict)  # until when it is not done again, on the loop's clock
    failing: dict[_What, _Failing] = field(default_factory=dict)
    slept: dict[str, Sleep] = field(default_factory=dict)  # by pod: the newest that was done
    backends: set[str] = field(default_factory=set)  # that have metrics


class Errands:
    """The errands of all routes. Each ends with a call of ``again``, so that what came of it is looked at."""

    def __init__(
        self, cluster: Cluster, cache: Cache, pods: Pods, again: Callable[[Key], None], clock: Callable[[], float]
    ) -> None:
        """Nothing is run before ``run``. ``clock`` gives Unix seconds."""
        self._cluster = cluster
        self._cache = cache
        self._pods = pods
        self._again = again
        self._clock = clock
        self._publisher = Publisher(cluster)
        self._waiting = _queues()
        self._taken: dict[Key, dict[_Place, Errand]] = {}  # waiting or under way
        self._routes: dict[Key, _Route] = {}

    async def run(self) -> None:
        """Run what is handed over, until cancelled; what was under way then is given up."""
        try:
            async with asyncio.TaskGroup() as group:
                for turns in self._waiting.values():
                    group.create_task(self._serve(turns, group))
        finally:
            for key in list(self._routes):
                self.forget(key)
            self._taken.clear()
            self._waiting = _queues()

    def hand(self, key: Key, wanted: Sequence[Errand], present: Collection[str], backends: Collection[str]) -> None:
        """Run ``wanted``, but what is being run, and what failed a moment ago.

        ``present``: the pods, and endpoints of Services, that there are; what is known of others is forgotten, and so
        are failures of what is wanted no more, and the metrics of all but ``backends``. What there is no room for waits
        for the next call: one follows on the end of each errand.
        """
        known = self._routes.get(key)
        if known is None:
            if not wanted:
                return
            known = self._routes[key] = _Route()
        now, taken = asyncio.get_running_loop().time(), self._taken.get(key, {})
        still = {_what(errand) for errand in (*wanted, *taken.values())}
        known.warm_ups = {pod: p for pod, p in known.warm_ups.items() if pod in present}
        known.slept = {pod: errand for pod, errand in known.slept.items() if pod in present}
        known.done = {errand: until for errand, until in known.done.items() if now < until}
        known.failing = {what: f for what, f in known.failing.items() if what in still}
        for gone in known.backends.difference(backends):
            known.backends.remove(gone)
            metrics.forget_warmups(*key, gone)
        for errand in sorted(wanted, key=lambda e: _due(known, e)):  # so that each has its turn
            place = _place(errand)
            if place in taken or errand in known.done or now < _due(known, errand):
                continue
            if place[1] and not isinstance(errand, Wake) and sum(asked for _, asked in taken) >= MOST_OF_ROUTE:
                continue
            taken = self._taken.setdefault(key, {})
            taken[place] = errand
            self._waiting[place[1]].put(key.namespace, (key, errand))

    def seen(self, key: Key) -> Seen:
        """What is known of the errands of ``key``."""
        known = self._routes.get(key)
        if known is None:
            return Seen()
        found = ((pod, kind, f) for (pod, kind), f in known.failing.items() if f.times >= TELLING[kind].patience)
        stuck = {pod: f"{pod} {TELLING[kind].lacks}: {f.why}" for pod, kind, f in found}
        wakes = ((pod, f.times) for (pod, kind), f in known.failing.items() if kind is Wake)
        oversleeping = frozenset(pod for pod, times in wakes if times >= LOST_WAKES)
        under_way = frozenset(self._taken.get(key, {}).values())
        return Seen(dict(known.warm_ups), under_way, stuck, dict(known.slept), oversleeping)

    def forget(self, key: Key) -> None:
        """The route is gone; what is under way for it comes to nothing."""
        known = self._routes.pop(key, None)
        for backend in known.backends if known else ():
            metrics.forget_warmups(*key, backend)

    async def _serve(self, turns: _Turns, group: asyncio.TaskGroup) -> None:
        while True:
            key, errand = await turns.take()
            group.create_task(self._run_one(turns, key, errand))

    async def _run_one(self, turns: _Turns, key: Key, errand: Errand) -> None:
        try:
            if key in self._routes:
                await self._attempt(key, errand)
        except Exception:  # the edge of an errand: what is wrong with one must not end the others
            log.exception("an errand failed", extra={"route": str(key)})
            self._failed(key, errand, "see the operator's log")
        finally:
            self._release(key, errand)
            turns.done(key.namespace)
        self._again(key)

    async def _attempt(self, key: Key, errand: Errand) -> None:
        try:
            told = await self._carry_out(key, errand)
        except (ApiError, ReplicaError, UnansweredError) as error:
            told = self._failed(key, errand, str(error))
        else:
            if known := self._routes.get(key):
                loop = asyncio.get_running_loop()
                known.failing.pop(_what(errand), None)
                known.done[errand] = loop.time() + REST_SECONDS
                if isinstance(errand, Sleep):
                    told = None if known.slept.get(errand.pod) == errand else told  # again, since it says it is awake
                    known.slept[errand.pod] = errand
                loop.call_later(REST_SECONDS, self._again, key)
        if told and (live := self._cache.route(key)):
            await self._publisher.publish(live, [told])

    async def _carry_out(self, key: Key, errand: Errand) -> Event | None:
        """Do it; what people should know of its success."""
        if isinstance(errand, Mark):
            await self._mark(key, errand)
        elif isinstance(errand, CloseGate):
            reason = ("Restarted", "its container was started again and has not answered a request yet")
            await self._set_gate(key, errand.pod, "False", self._clock(), reason)
        elif isinstance(errand, Sleep):
            await vllm.sleep(self._pods, errand.address)
            return Event("Normal", "FellAsleep", f"{errand.pod} sleeps: its weights are out of the GPU")
        elif isinstance(errand, Wake):
            return await self._wake(key, errand)
        else:
            return await self._warm_up(key, errand)
        return None

    async def _warm_up(self, key: Key, asked: WarmUp) -> Event | None:
        result = await self._ask(key, asked)
        if asked.opens is None:
            return None
        opened = max(self._clock(), asked.opens)
        await self._set_gate(key, asked.pod, "True", opened, ("Answered", figures(result)))
        return Event("Normal", "WarmedUp", f"{asked.pod}: {figures(result)}; takes traffic now")

    async def _wake(self, key: Key, errand: Wake) -> Event:
        asked = errand.warm_up
        took = await vllm.wake(self._pods, asked.address, asked.timeout)
        result = await self._ask(key, asked, took)
        await self._mark(key, Mark(asked.pod, ((names.SLEEPING_ANNOTATION, None),)))
        how = "it cannot sleep" if took is None else f"awake after {ms(took)}"
        return Event("Normal", "WokeUp", f"{asked.pod}: {how}, {figures(result)}; takes traffic now")

    async def _ask(self, key: Key, asked: WarmUp, woke: float | None = None) -> WarmUpResult:
        """Warm it up, and remember how that ended; its error is raised, too, but that of a slot, which has one try."""
        try:
            timed = await vllm.warm_up(self._pods, asked)
        except (ReplicaError, UnansweredError) as error:
            if labels := self._labels(key, asked.backend):
                metrics.WARMUP_FAILURES.labels(*labels).inc()
            failed = WarmUpResult(self._clock(), error=str(error), slot=asked.slot, wake_seconds=woke)
            result = self._remember(key, asked.pod, failed)
            if asked.slot is None:
                raise
            return result
        if labels := self._labels(key, asked.backend):
            metrics.WARMUP_SECONDS.labels(*labels).observe(timed.answer)
        answered = WarmUpResult(self._clock(), timed.health, timed.answer, slot=asked.slot, wake_seconds=woke)
        return self._remember(key, asked.pod, answered)

    def _labels(self, key: Key, backend: str) -> tuple[str, ...]:
        """Of a metric that goes with the route; none where it went meanwhile."""
        if known := self._routes.get(key):
            known.backends.add(backend)
            return (*key, backend)
        return ()

    async def _mark(self, key: Key, mark: Mark) -> None:
        if pod := self._cache.get(POD, key.namespace, mark.pod):
            self._keep(await self._cluster.annotate_pod(pod, dict(mark.annotations)))

    async def _set_gate(self, key: Key, name: str, status: str, since: float, why: tuple[str, str]) -> None:
        condition = {"type": names.WARM_GATE, "status": status, "lastTransitionTime": rfc3339(since)}
        condition |= dict(zip(("reason", "message"), why, strict=True))
        if pod := self._cache.get(POD, key.namespace, name):
            self._keep(await self._cluster.set_pod_condition(pod, condition))

    def _keep(self, pod: KubeObject | None) -> None:
        """Let the next plan see what was written, before the watch brings it."""
        for key in self._cache.put(POD, pod) if pod else ():
            self._again(key)

    def _remember(self, key: Key, pod: str, result: WarmUpResult) -> WarmUpResult:
        if known := self._routes.get(key):
            known.warm_ups[pod] = result
        return result

    def _failed(self, key: Key, errand: Errand, why: str) -> Event | None:
        """Put the next try off; what people should know of it, once, when it has failed too often."""
        known, loop, telling = self._routes.get(key), asyncio.get_running_loop(), TELLING[type(errand)]
        if known is None:
            return None
        before = known.failing.get(_what(errand))
        times = before.times + 1 if before else 1
        wait = jittered(backoff(times, FIRST_RETRY, LAST_RETRY))
        known.failing[_what(errand)] = _Failing(times, loop.time() + wait, why)
        loop.call_later(wait, self._again, key)
        sentence = f"{errand_pod(errand)} {telling.lacks}: {why}"
        log.info("%s", sentence, extra={"route": str(key)})
        return Event("Warning", telling.reason, sentence) if times == telling.patience else None

    def _release(self, key: Key, errand: Errand) -> None:
        taken = self._taken.get(key, {})
        taken.pop(_place(errand), None)
        if not taken:
            self._taken.pop(key, None)


def _queues() -> dict[bool, _Turns]:
    """What waits: that which asks a pod, and that which does not."""
    return {True: Turns(ASKERS), False: Turns(WRITERS)}


def _due(known: _Route, errand: Errand) -> float:
    failing = known.failing.get(_what(errand))
    return failing.due if failing else -math.inf


def _place(errand: Errand) -> _Place:
    return errand_pod(errand), not isinstance(errand, Mark | CloseGate)


def _what(errand: Errand) -> _What:
    return errand_pod(errand), type(errand)
