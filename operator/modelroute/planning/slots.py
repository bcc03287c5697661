"""Slots of warm-up schedules: the moments at which every ready replica is asked.

Called by ``warmup``. Never reads a clock.
"""

from collections.abc import Collection
from typing import NamedTuple

from modelroute.api import types as t
from modelroute.api.status import WarmupStatus
from modelroute.planning.events import Event


class Slot(NamedTuple):
    """One moment of one schedule; ``time`` is RFC 3339, in UTC and whole seconds."""

    schedule: str
    time: str


def due(backend: t.Backend, old: WarmupStatus | None, now: float) -> tuple[Slot, ...]:  # noqa: ARG001
    """The slots to carry out at ``now``, at most one a schedule; none that ``old`` has."""
    return ()


def account(
    backend: t.Backend,  # noqa: ARG001
    status: WarmupStatus | None,
    begun: Collection[Slot],  # noqa: ARG001
    now: float,  # noqa: ARG001
) -> tuple[WarmupStatus | None, tuple[Event, ...]]:
    """``status`` with the slots that are passed over now, and what to tell of them."""
    return status, ()


def next_look(backend: t.Backend, old: WarmupStatus | None, now: float) -> float | None:  # noqa: ARG001
    """When time alone changes which slots are due, in Unix seconds."""
    return None
