"""What time alone makes of each backend: its floor, what its starts take, the slots of its warm-up schedules.

Called by ``plan``. Never reads a clock: ``now`` is an argument, in Unix seconds.
"""

from dataclasses import dataclass

from modelroute.api import types as t
from modelroute.api.status import BackendStatus, WarmupStatus
from modelroute.planning import schedule, slots, starts
from modelroute.planning.events import Event
from modelroute.planning.observed import Observed
from modelroute.planning.schedule import Floor
from modelroute.planning.starts import Learnt
from modelroute.snapshot.types import Start


@dataclass(frozen=True, slots=True)
class Timed:
    """One backend."""

    floor: Floor
    learnt: Learnt
    start: Start
    warmup: WarmupStatus | None
    events: tuple[Event, ...]

    def replicas(self, backend: t.Backend) -> int:
        """Those that are asked for: the floor, where the operator decides."""
        return self.floor.replicas if backend.scaling.engine == "BuiltIn" else backend.scaling.min_replicas


def timed(route: t.ModelRoute, observed: Observed, now: float) -> dict[str, Timed]:
    """All backends, in the manifest's order."""
    old = {b.name: b for b in route.status.backends} if route.status else {}
    return {b.name: _timed(route, b, old.get(b.name), observed, now) for b in route.spec.backends}


def next_change(route: t.ModelRoute, now: float) -> float | None:
    """When time alone makes something else of the route; None: never."""
    old = {b.name: b.warmup for b in route.status.backends} if route.status else {}
    due = (slots.next_look(b, old.get(b.name), now) for b in route.spec.backends)
    moments = (schedule.next_change(route, now), *due)
    return min((moment for moment in moments if moment is not None), default=None)


def _timed(route: t.ModelRoute, backend: t.Backend, old: BackendStatus | None, observed: Observed, now: float) -> Timed:
    replicas = observed.replicas(backend.name)
    learnt = starts.learn(old.start if old else None, replicas, now)
    warmup, told = slots.account(backend, old.warmup if old else None, _begun(backend, observed), now)
    floor = schedule.floor(route, backend.name, now)
    return Timed(floor, learnt, starts.start_of(learnt.status, replicas), warmup, told)


def _begun(backend: t.Backend, observed: Observed) -> frozenset[slots.Slot]:
    """The slots for which a replica has been asked."""
    asked = (observed.pinged[p.name].slot for p in observed.replicas(backend.name) if p.name in observed.pinged)
    return frozenset(slots.Slot(*slot) for slot in asked if slot)
