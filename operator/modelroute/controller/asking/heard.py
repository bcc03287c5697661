"""What was heard of one ModelRoute's pods, and which of it is news to a plan.

Kept by ``sampler``. Pure: it is told what was answered, and when.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from modelroute.controller.asking.client import UnansweredError
from modelroute.planning.asking import Asking, Replica, Sampled
from modelroute.planning.observed import Engine, Told, Traffic
from modelroute.planning.routing.loads import step
from modelroute.planning.scaling.demand import Demand, Sample, after

PATIENCE = 3
"""Failures in a row after which a pod counts as one that cannot be asked: one alone says nothing."""
MOST_COUNTED = 4096
"""Of counts by backend and router, those of routers that are gone among them."""
SAMPLE_SECONDS = 0.9
"""Looks come faster while a snapshot is on its way; samples do not."""

Answers = Mapping[str, Told | Engine | UnansweredError]
"""By pod."""
_NO_TRAFFIC = Traffic()


class Picture(NamedTuple):
    """As ``Observed`` has it."""

    told: Mapping[str, Told] = {}
    engines: Mapping[str, Engine] = {}
    demand: Mapping[str, Demand] = {}


@dataclass(slots=True)
class Heard:
    """The last words of each pod."""

    told: dict[str, Told] = field(default_factory=dict)
    engines: dict[str, Engine] = field(default_factory=dict)
    demand: dict[str, Demand] = field(default_factory=dict)
    _failures: dict[str, int] = field(default_factory=dict)
    _counted: dict[tuple[str, str], Traffic] = field(default_factory=dict)  # by backend and router, at the last sample
    _sampled: float = -math.inf

    def picture(self) -> Picture:
        """What is known now; what a caller gets does not change later."""
        return Picture(dict(self.told), dict(self.engines), dict(self.demand))

    def note(self, asking: Asking, answers: Answers, now: float) -> None:
        """Take in what was answered at ``now`` (Unix seconds), and forget pods that are asked no more."""
        self.forget_others(asking)
        routers, replicas = {pod for pod, _ in asking.routers}, {r.pod for r in asking.replicas}
        for pod, answer in answers.items():
            if pod not in routers | replicas:
                continue  # it went while it was asked
            failures = self._failures.get(pod, 0) + 1 if isinstance(answer, UnansweredError) else 0
            self._failures[pod] = failures
            if isinstance(answer, Told):
                self.told[pod] = answer
            elif isinstance(answer, Engine):
                self.engines[pod] = answer
            elif failures >= PATIENCE and pod in routers:
                self.told[pod] = Told(error=str(answer), asked=False)
            elif failures >= PATIENCE:
                self.engines.pop(pod, None)
        if now - self._sampled >= SAMPLE_SECONDS or now < self._sampled:  # a clock that was set back
            self._sample(asking, answers, now)

    def forget_others(self, asking: Asking) -> None:
        """Forget pods and backends that are not asked any more."""
        routers, replicas = {pod for pod, _ in asking.routers}, {r.pod for r in asking.replicas}
        sampled = {s.backend for s in asking.sampled}
        self.told = {pod: told for pod, told in self.told.items() if pod in routers}
        self.engines = {pod: engine for pod, engine in self.engines.items() if pod in replicas}
        self.demand = {backend: demand for backend, demand in self.demand.items() if backend in sampled}
        self._failures = {pod: count for pod, count in self._failures.items() if pod in routers | replicas}
        if len(self._counted) > MOST_COUNTED:  # a router that is not ready for a moment goes on counting where it was
            counted = self._counted.items()
            self._counted = {(b, pod): load for (b, pod), load in counted if pod in routers and b in sampled}

    def _sample(self, asking: Asking, answers: Answers, now: float) -> None:
        self._sampled = now
        for sampled in asking.sampled:
            sample = self._sample_of(sampled, asking, answers, now)
            self.demand[sampled.backend] = after(self.demand.get(sampled.backend), sample, sampled.scaling)

    def _sample_of(self, sampled: Sampled, asking: Asking, answers: Answers, now: float) -> Sample:
        routers = {pod: told for pod, _ in asking.routers if isinstance(told := answers.get(pod), Told)}
        loads = {pod: told.backends.get(sampled.backend, _NO_TRAFFIC) for pod, told in routers.items()}
        own = [r.pod for r in asking.replicas if r.backend == sampled.backend]
        engines = [engine for pod in own if isinstance(engine := answers.get(pod), Engine)]
        if asking.routers:
            in_flight, complete = sum(load.in_flight for load in loads.values()), len(routers) == len(asking.routers)
        else:  # nobody but the replicas knows what they have to do
            in_flight, complete = sum(engine.running for engine in engines), len(engines) == len(own)
        requests, cold = self._since(sampled.backend, loads)
        return Sample(
            at=now,
            in_flight=in_flight,
            waiting=sum(load.waiting for load in loads.values()),
            cold=cold,
            requests=requests,
            queued=sum(engine.waiting for engine in engines),
            cache=max((engine.cache for engine in engines), default=0.0),
            ready=sampled.ready,
            complete=complete,
            quiet_for=min((load.quiet_for for load in loads.values()), default=0.0),
        )

    def _since(self, backend: str, loads: Mapping[str, Traffic]) -> tuple[int, int]:
        """Requests since the last sample, and those that met no replica. A router that started anew counts anew.

        At the first sample of all it is not known when they came; they count as long gone.
        """
        first = backend not in self.demand
        requests = cold = 0
        for pod, load in loads.items():
            before = self._counted.get((backend, pod), _NO_TRAFFIC)
            self._counted[backend, pod] = load
            if load.requests < before.requests or load.cold < before.cold:
                before = _NO_TRAFFIC
            requests, cold = requests + load.requests - before.requests, cold + load.cold - before.cold
        return (0, 0) if first else (requests, cold)

    def lagging(self, asking: Asking, *, refusals_count: bool) -> bool:
        """Whether a router has yet to tell that it runs the revision, or (``refusals_count``) why it does not."""
        told = (self.told.get(pod) for pod, _ in asking.routers)
        return any(
            not (known and (known.revision == asking.revision or (known.error and refusals_count))) for known in told
        )

    def news(self, asking: Asking) -> tuple[object, ...]:
        """What a plan depends on at once, but for what load may change in the number of replicas."""
        acks = (
            (pod, known and (known.revision == asking.revision, known.generation, known.error, known.asked))
            for pod, _ in asking.routers
            for known in [self.told.get(pod)]
        )
        lacking = tuple(s.backend for s in asking.sampled if self._lacks(s))
        return (*acks, lacking, tuple(self._waited_for(asking)))

    def _lacks(self, sampled: Sampled) -> bool:
        """Whether a request waits for a first replica, or went elsewhere for want of one."""
        newest = self.demand.get(sampled.backend, Demand()).samples[-1:]
        return not sampled.ready and any(sample.waiting or sample.cold for sample in newest)

    def _waited_for(self, asking: Asking) -> Iterator[tuple[str, bool, bool]]:
        """Of replicas that are to go or to sleep: whether they have nothing to do, and whether they sleep."""
        for replica in asking.replicas:
            engine = self.engines.get(replica.pod, Engine())
            if replica.marked or engine.sleeping:
                yield replica.pod, not self._in_flight(replica) and not engine.running, bool(engine.sleeping)

    def _in_flight(self, replica: Replica) -> int:
        loads = (told.backends.get(replica.backend, _NO_TRAFFIC) for told in self.told.values())
        return sum(load.by_replica.get(replica.address, 0) for load in loads)

    def loads(self) -> tuple[object, ...]:
        """What routers may be told of replicas, in coarse numbers."""
        return tuple((pod, step(engine)) for pod, engine in sorted(self.engines.items()))
