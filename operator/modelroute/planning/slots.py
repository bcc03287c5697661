"""Slots of warm-up schedules: the moments at which every ready replica is asked.

Called by ``warmup``. Never reads a clock.
"""

from typing import NamedTuple

from modelroute.api import types as t
from modelroute.api.status import WarmupStatus


class Slot(NamedTuple):
    """One moment of one schedule; ``time`` is RFC 3339, in UTC and whole seconds."""

    schedule: str
    time: str


def due(backend: t.Backend, old: WarmupStatus | None, now: float) -> tuple[Slot, ...]:  # noqa: ARG001
    """The slots to carry out at ``now``, at most one a schedule; none that ``old`` has."""
    return ()
