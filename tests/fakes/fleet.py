"""A backend's replicas, its routers and its clients, without a cluster: what scaling decides is carried out in ticks.

Replicas take their time to start; requests arrive at a rate and last; routers learn of endpoints a tick late.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from modelroute.api import types as t
from modelroute.api.podchecks import PORT
from modelroute.api.status import BackendStatus, Decision, Status
from modelroute.planning import names
from modelroute.planning.errands import Errand, Mark, Sleep, Wake
from modelroute.planning.observed import Engine, KubeObject, Observed, Pod, Told, Traffic
from modelroute.planning.scaling.demand import Demand, Sample, after
from modelroute.planning.scaling.scale import Scaled, scale
from modelroute.planning.times.moments import unix
from tests.fakes import world

TICK = 2.0
BEGIN = world.moment(world.NOW)


def deployment(number: int | None, spec: int | None = None, name: str = "small") -> KubeObject:
    """The backend's Deployment, with the number that was decided (None: it was never) and the one that is there."""
    notes = {} if number is None else {names.REPLICAS_ANNOTATION: str(number)}
    replicas = number if spec is None else spec
    meta = {"name": names.backend("chat", name), "annotations": notes}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": {"replicas": replicas}}


@dataclass
class Replica:
    """A pod and the moments in which its requests end."""

    pod: Pod
    ends: list[float] = field(default_factory=list)
    asleep: bool = False


@dataclass
class Fleet:
    """A backend under the load ``rate(seconds)``, in requests a second that last ``lasting`` seconds each."""

    route: t.ModelRoute
    rate: Callable[[float], float]
    lasting: float = 10.0
    start: float = 60.0  # seconds from a pod's creation until it is ready
    gpus: int = 100  # so many pods find a node
    now: float = BEGIN
    number: int | None = None
    replicas: list[Replica] = field(default_factory=list)
    status: BackendStatus | None = None
    demand: Demand | None = None
    patience: float = 20.0  # seconds for which a request waits for a replica
    waiting: list[float] = field(default_factory=list)  # since when
    lost: int = 0  # requests that were cut off
    seconds: float = 0.0  # of replicas that exist
    numbers: list[int] = field(default_factory=list)  # one a tick
    decisions: list[Decision] = field(default_factory=list)  # all of them, the oldest first
    complete: bool = True
    away: bool = False  # no operator looks or decides
    asked: float = BEGIN  # when somebody last did
    _revision: str = ""
    _endpoints: tuple[str, ...] = ()
    _debt: float = 0.0
    _sent: int = 0
    _cold: int = 0
    _names: Any = field(default_factory=lambda: itertools.count(1))

    @property
    def backend(self) -> t.Backend:
        return self.route.spec.backends[0]

    def run(self, seconds: float) -> "Fleet":
        """Let time pass."""
        for _ in range(round(seconds / TICK)):
            self.tick()
        return self

    def tick(self) -> None:
        """Clients ask, routers tell, scaling decides, the cluster obeys."""
        self.now += TICK
        self._serve()
        if self.away:
            self._obey()
        else:
            self._sample()
            self.carry_out(self.scaled())
        self.seconds += TICK * len(self.replicas)
        self.numbers.append(self.number or 0)

    def scaled(self) -> Scaled:
        """What is decided now."""
        old = Status(backends=(self.status,)) if self.status else None
        asked = msgspec.structs.replace(self.route, status=old)
        return scale(asked, self.backend, self.observed(), self._revision, self.now)

    def observed(self) -> Observed:
        """What is seen now."""
        by_replica = {r.pod.at(PORT): len(r.ends) for r in self.replicas}
        load = Traffic(sum(by_replica.values()), len(self.waiting), self._sent, self._cold, by_replica)
        router = Pod("router-1", "router", "", "10.1.0.1", BEGIN, ready=True)
        return Observed(
            children=() if self.number is None else (deployment(self.number),),
            pods=(*(r.pod for r in self.replicas), router),
            told={"router-1": Told(self._revision, backends={self.backend.name: load}, asked=self.complete)},
            engines={r.pod.name: Engine(len(r.ends), sleeping=r.asleep) for r in self.replicas if r.pod.ready},
            demand={} if self.demand is None else {self.backend.name: self.demand},
        )

    def carry_out(self, scaled: Scaled, *, tells: bool = True) -> None:
        """Do what was decided; ``tells`` False: the operator ends before it writes the status."""
        assert scaled.replicas is not None
        self.number = scaled.replicas
        for errand in scaled.errands:
            self.run_errand(errand)
        if tells:
            known = self.status.scaling.decisions if self.status and self.status.scaling else ()
            assert scaled.status is not None
            self.decisions += [d for d in reversed(scaled.status.decisions) if d not in known]
            self.status = BackendStatus(
                self.backend.name, "VLLM", 100, desired_replicas=scaled.desired, scaling=scaled.status
            )
        self._obey()

    def run_errand(self, errand: Errand) -> None:
        """As the controller does, at once."""
        pod = errand.warm_up.pod if isinstance(errand, Wake) else errand.pod
        found = next(r for r in self.replicas if r.pod.name == pod)
        if isinstance(errand, Sleep):
            assert not found.ends, "put to sleep with requests in it"
            found.asleep = True
        elif isinstance(errand, Wake):
            found.asleep = False
            found.pod = replace(found.pod, sleeping=None)
        else:
            assert isinstance(errand, Mark)
            notes: dict[str, Any] = dict(errand.annotations)
            for key, name in ((names.DRAINING_ANNOTATION, "draining"), (names.SLEEPING_ANNOTATION, "sleeping")):
                if key in notes:
                    mark: dict[str, Any] = {name: unix(notes[key])}
                    found.pod = replace(found.pod, **mark)

    def _serve(self) -> None:
        for one in self.replicas:
            one.ends = [end for end in one.ends if end > self.now]
        self._debt += self.rate(self.now - BEGIN) * TICK
        arrived, self._debt = int(self._debt), self._debt % 1.0
        known = [r for r in self.replicas if r.pod.name in self._endpoints]
        if known:
            arrived += len(self.waiting)
            self.waiting.clear()
            self._sent += arrived
            for _ in range(arrived):
                least = min(known, key=lambda r: len(r.ends))
                assert not least.asleep, "asked while it sleeps"
                least.ends.append(self.now + self.lasting)
        else:
            self.waiting = [since for since in self.waiting if self.now - since < self.patience]
            self.waiting += [self.now] * arrived
            self._cold += arrived
        if arrived or self.waiting or any(r.ends for r in self.replicas):
            self.asked = self.now
        self._endpoints = tuple(
            r.pod.name for r in self.replicas if r.pod.ready and r.pod.draining is None and r.pod.sleeping is None
        )
        self._revision = ",".join(self._endpoints)

    def _sample(self) -> None:
        load = sum(len(r.ends) for r in self.replicas)
        counts = (
            {"cold": self._cold, "requests": self._sent} if self.demand else {}
        )  # at first, it is not known since when
        quiet_for = self.now - self.asked
        sample = Sample(self.now, load, len(self.waiting), **counts, complete=self.complete, quiet_for=quiet_for)
        self._cold = self._sent = 0
        self.demand = after(self.demand, sample, self.backend.scaling)

    def _obey(self) -> None:
        """The Deployment's and the scheduler's part; who goes is chosen as the ReplicaSet controller does."""
        ranked = sorted(self.replicas, key=lambda r: (r.pod.ready, r.pod.draining is None, -r.pod.created))
        for one in ranked[: max(len(self.replicas) - (self.number or 0), 0)]:
            self.lost += len(one.ends)
            self.replicas.remove(one)
        for _ in range((self.number or 0) - len(self.replicas)):
            at = next(self._names)
            self.replicas.append(Replica(Pod(f"small-{at}", "backend", "small", f"10.0.0.{at}", self.now)))
        for one in self.replicas[: self.gpus]:
            if not one.pod.ready and self.now - one.pod.created >= self.start:
                one.pod = replace(one.pod, ready=True, started=self.now, loaded=self.now)
