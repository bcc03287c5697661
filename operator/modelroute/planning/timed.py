"""What time alone makes of each backend: its floor, and what its starts take.

Called by ``plan``. Never reads a clock: ``now`` is an argument, in Unix seconds.
"""

from dataclasses import dataclass

from modelroute.api import types as t
from modelroute.api.status import BackendStatus
from modelroute.planning import schedule, starts
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

    def replicas(self, backend: t.Backend) -> int:
        """Those that are asked for: the floor, where the operator decides."""
        return self.floor.replicas if backend.scaling.engine == "BuiltIn" else backend.scaling.min_replicas


def timed(route: t.ModelRoute, observed: Observed, now: float) -> dict[str, Timed]:
    """All backends, in the manifest's order."""
    old = {b.name: b for b in route.status.backends} if route.status else {}
    return {b.name: _timed(route, b, old.get(b.name), observed, now) for b in route.spec.backends}


def _timed(route: t.ModelRoute, backend: t.Backend, old: BackendStatus | None, observed: Observed, now: float) -> Timed:
    replicas = observed.replicas(backend.name)
    learnt = starts.learn(old.start if old else None, replicas, now)
    floor = schedule.floor(route, backend.name, now)
    return Timed(floor, learnt, starts.start_of(learnt.status, replicas))
