"""What becomes of the replicas of one backend: how many there are to be, who drains, who sleeps and who wakes.

Called by ``plan`` for every vllm backend, and through ``due`` by whoever feeds samples. Level-based: between two runs
there are only the Deployment with its number, marks on pods, and the route's status. What is remembered in ``Demand``
may be lost at any time; then nothing goes until enough was seen again.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from modelroute.api import types as t
from modelroute.api.status import BackendStatus, Decision, ScalingStatus
from modelroute.planning import names
from modelroute.planning.errands import Errand
from modelroute.planning.observed import Observed
from modelroute.planning.scaling import draining, sleeping
from modelroute.planning.scaling.demand import GAP_SECONDS, STABLE_SECONDS, Demand, relief
from modelroute.planning.scaling.number import Number, Standing, idle_at, wanted
from modelroute.planning.scaling.replicas import Replicas
from modelroute.planning.times.moments import first, rfc3339, unix
from modelroute.planning.times.schedule import Floor, floor

_DECISIONS = 5


@dataclass(frozen=True, slots=True)
class Scaled:
    """One backend of our own pods. ``replicas`` None: somebody else decides on them."""

    replicas: int | None
    desired: int  # for the status: those that are asked for
    sleeping: int | None
    draining: int
    status: ScalingStatus
    errands: tuple[Errand, ...] = ()
    look_again: float | None = None  # Unix seconds

    @property
    def rests(self) -> bool:
        """Whether no replica is to answer: none is asked for, or all are about to go or asleep."""
        return self.draining + (self.sleeping or 0) >= self.desired


def scale(route: t.ModelRoute, backend: t.Backend, observed: Observed, revision: str, now: float) -> Scaled:
    """What must be of ``backend``'s replicas; ``revision`` is of the snapshot that is in force for this plan."""
    least = floor(route, backend.name, now)
    live = _live(route, backend, observed)
    if backend.scaling.engine != "BuiltIn":
        return _left(Replicas(backend, observed, revision), least.replicas, live, now)
    old = next((b for b in route.status.backends if b.name == backend.name), None) if route.status else None
    before = old.desired_replicas if old else None
    there = next((n for n in (live, before) if n is not None), least.replicas)
    return _Case(Replicas(backend, observed, revision), least, old, there, now).scaled()


def _left(replicas: Replicas, least: int, live: int | None, now: float) -> Scaled:
    """What somebody else decides on: marks that were set while we did go, and those that sleep wake."""
    there = least if live is None else live
    drain = draining.drain(replicas, there, there, now)
    return Scaled(
        None,
        desired=there,
        sleeping=sum(map(replicas.sleeps, replicas.alive)) or None,
        draining=len(drain.going),
        status=ScalingStatus(floor=least),
        errands=(*drain.errands, *sleeping.rest(replicas, there, 0, drain.going, now)),
    )


def due(route: t.ModelRoute, observed: Observed, now: float) -> bool:
    """Whether what was sampled changes anything, so that the route should be looked at again."""
    revision = next((told.revision for told in observed.told.values() if told.asked), "")
    for backend in route.spec.backends:
        if backend.vllm is None or backend.scaling.engine != "BuiltIn":
            continue
        found = scale(route, backend, observed, revision, now)
        said = next((b for b in route.status.backends if b.name == backend.name), None) if route.status else None
        if found.errands or said is None:
            return True
        if (found.desired, found.sleeping, found.status) != (
            said.desired_replicas,
            said.sleeping_replicas,
            said.scaling,
        ):
            return True
    return False


def _live(route: t.ModelRoute, backend: t.Backend, observed: Observed) -> int | None:
    """The number that was decided last; else the one that is there; None: there is no Deployment."""
    found = observed.child("Deployment", names.backend(route.metadata.name, backend.name))
    if found is None:
        return None
    noted = (found["metadata"].get("annotations") or {}).get(names.REPLICAS_ANNOTATION, "")
    by_builtin = backend.scaling.engine == "BuiltIn" and noted.isdecimal() and len(noted) <= len("1000")
    return int(noted) if by_builtin else found["spec"].get("replicas", 1)


@dataclass(frozen=True, slots=True)
class _Case:
    """All that a decision rests on; ``there`` are the replicas that are asked for now."""

    replicas: Replicas
    floor: Floor
    old: BackendStatus | None
    there: int
    now: float

    @property
    def asked(self) -> t.Scaling:
        return self.replicas.backend.scaling

    @property
    def demand(self) -> Demand | None:
        return self.replicas.observed.demand.get(self.replicas.backend.name)

    def scaled(self) -> Scaled:
        """The number, and what must be done to reach it."""
        keeps = self.asked.idle.action == "Sleep"
        sleeping_now = sum(map(self.replicas.sleeps, self.replicas.alive))
        asleep = self._asleep() if keeps else 0
        awake = wanted(self.asked, self.floor, self._standing(self.there, asleep), self.demand, self.now)
        goal = self._goal(awake.replicas) if keeps and self.asked.max_replicas is not None else awake.replicas
        drain = draining.drain(self.replicas, self.there, goal, self.now)
        rest = sleeping.rest(self.replicas, awake.replicas, goal - awake.replicas, drain.going, self.now)
        decisions = self._decisions(drain.replicas, asleep)
        status = ScalingStatus(self.floor.replicas, decisions, self._idle_since(), self._message())
        return Scaled(
            replicas=drain.replicas,
            desired=drain.replicas,
            sleeping=sleeping_now if keeps or sleeping_now else None,
            draining=len(drain.going),
            status=status,
            errands=(*drain.errands, *rest),
            look_again=first(*(m for m in (*self._moments(asleep), *drain.moments) if self.now < m < math.inf)),
        )

    def _goal(self, awake: int) -> int:
        """How many there are to be, so that so many are awake: sleepers stay, and those that do not wake are replaced.

        Where there is no room, one of these goes first, and no other comes before it has ended; but not while others
        start, since these would go in its place.
        """
        lost, alive = self._lost(), self.replicas.alive
        most = max(self.floor.replicas, self.asked.most)
        goal = max(self.there, awake + lost)
        if lost and goal > most == self.there == len(alive) and all(p.ready for p in alive):
            return self.there - 1
        return min(goal, max(most - self._beyond(), min(self.there, most)))

    def _lost(self) -> int:
        """How many of ``there`` sleep for good: they were told to wake and have not, or were marked for that."""
        found = [p for p in self.replicas.alive if p.ready and self.replicas.sleeps(p)]
        return sum(self.replicas.oversleeps(p) or p.draining is not None for p in found) - self._beyond()

    def _asleep(self) -> int:
        """How many of ``there`` sleep."""
        return sum(map(self.replicas.sleeps, self.replicas.alive)) - self._beyond()

    def _beyond(self) -> int:
        """How many sleepers are more than ``there``: they are about to end."""
        alive = self.replicas.alive
        going = sum(p.draining is not None for p in alive if self.replicas.sleeps(p))
        return min(going, max(len(alive) - self.there, 0))

    def _standing(self, there: int, asleep: int) -> Standing:
        answering = self.replicas.answering()
        return Standing(
            awake=max(there - asleep, 0),
            ready=len(answering),
            able=self.replicas.able(),
            newest=self.replicas.newest(),
            changed=self._changed(),
        )

    def _changed(self) -> float:
        """When the number last changed; a time that is far ahead was read off a clock that was, and says nothing."""
        told = self._told()
        at = unix(told[0].time) if told else None
        return -math.inf if at is None or at > self.now + STABLE_SECONDS else at

    def _idle_since(self) -> str | None:
        """For the status, where it matters; not of every pause between two requests.

        What is said there stays while nothing else is known, or nothing much: a restart writes nothing.
        """
        noted = unix(self.old.scaling.idle_since) if self.old and self.old.scaling else None
        quiet = self.demand.quiet if self.demand else noted
        if quiet is not None and noted is not None and abs(quiet - noted) <= GAP_SECONDS:
            quiet = noted
        matters = self.asked.max_replicas is not None and self.asked.idle.action != "None"
        if quiet is None or not matters or self.now - quiet < STABLE_SECONDS:
            return None
        return rfc3339(quiet)

    def _message(self) -> str:
        blind = self.asked.max_replicas is not None and self.demand is not None and self.demand.blind(self.now)
        return f"load is not heeded: looks at the pods are more than {GAP_SECONDS:.0f} s apart" if blind else ""

    def _told(self) -> tuple[Decision, ...]:
        return self.old.scaling.decisions if self.old and self.old.scaling else ()

    def _decisions(self, after: int, asleep: int) -> tuple[Decision, ...]:
        """Those of the status, with a change that it does not tell of yet: also one made before an interruption."""
        before = self.old.desired_replicas if self.old else None
        if before is None or before == after:
            return self._told()
        made = wanted(self.asked, self.floor, self._standing(before, asleep), self.demand, self.now)
        return (Decision(rfc3339(self.now), before, after, self._reason(made)), *self._told())[:_DECISIONS]

    def _reason(self, made: Number) -> str:
        """Why there are to be so many awake, and what stands in the way of that."""
        lost = "a replica does not wake up" if self.asked.idle.action == "Sleep" and self._lost() > 0 else ""
        return "; ".join(filter(None, (made.reason, lost))) or "decided before the operator was interrupted"

    def _moments(self, asleep: int) -> Iterator[float]:
        """When time alone may change what is decided."""
        if self.asked.max_replicas is None:
            return
        standing, demand = self._standing(self.there, asleep), self.demand
        if demand is not None and demand.quiet is not None:
            yield demand.quiet + STABLE_SECONDS
            if standing.awake > self.floor.replicas:
                yield idle_at(self.asked, standing, demand)
        if demand is not None and demand.highs and standing.awake > max(self.floor.replicas, 1):
            yield max(relief(demand, self.asked), standing.changed + STABLE_SECONDS)
