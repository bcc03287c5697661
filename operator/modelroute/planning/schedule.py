"""How many replicas of a backend are kept at a moment: minReplicas, or more while a schedule's window is open.

Called by ``plan``. Never reads a clock.
"""

from typing import NamedTuple

from modelroute.api import types as t


class Floor(NamedTuple):
    """Replicas that are kept, and the schedules that raise them."""

    replicas: int
    schedules: tuple[str, ...] = ()


def floor(route: t.ModelRoute, backend: str, now: float) -> Floor:  # noqa: ARG001 - windows are not looked at yet
    """The floor of ``backend`` at ``now``, in Unix seconds."""
    return Floor(route.backend(backend).scaling.min_replicas)
