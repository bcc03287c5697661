"""The one decision of the operator: from what a route asks for and what is seen, all that must be.

Called by the controller at every reconcile. Level-based: nothing is remembered but the route's own status, so that a run
that was cut short is simply run again. Never touches the cluster, never reads a clock: ``now`` is an argument.
"""

from dataclasses import dataclass

from modelroute.api import types as t
from modelroute.api.status import Status
from modelroute.errors import InvalidManifestError
from modelroute.planning.events import Event
from modelroute.planning.observed import KubeObject, Observed
from modelroute.planning.settings import Settings
from modelroute.snapshot.types import Snapshot


@dataclass(frozen=True, slots=True)
class Plan:
    """What must be: carry it out in this order, and write only what differs."""

    objects: tuple[KubeObject, ...]  # for server-side apply, each with apiVersion, kind and owner
    orphans: tuple[KubeObject, ...]  # live children that are no longer wanted, to be deleted
    snapshot: Snapshot  # with its revision
    revision: str  # of the snapshot that the routers have or get
    status: Status
    events: tuple[Event, ...]  # what changed since the route's old status


@dataclass(frozen=True, slots=True)
class Refusal:
    """What to say of a manifest that cannot be used; what is in the cluster stays as it is."""

    status: Status
    events: tuple[Event, ...]


def plan(route: t.ModelRoute, observed: Observed, settings: Settings, now: str) -> Plan:
    """All that must be for ``route``; ``now`` is RFC 3339 in UTC. The old status is ``route.status``. Raises nothing."""
    raise NotImplementedError


def refused(metadata: t.Metadata, old: Status | None, error: InvalidManifestError, now: str) -> Refusal:
    """The status of a manifest that ``parse`` refused: Accepted is False, all else stays."""
    raise NotImplementedError
