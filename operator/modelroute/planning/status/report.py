"""The status of a ModelRoute, put together: conditions, backends, router.

Called by ``plan``, and by the controller for a manifest that cannot be used. ``now`` is an argument.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from modelroute.api import types as t
from modelroute.api.status import Status, condition_of
from modelroute.errors import InvalidManifestError
from modelroute.planning.observed import KubeObject, Observed
from modelroute.planning.routing.snapshot import written_revision
from modelroute.planning.settings import Settings
from modelroute.planning.status import conditions
from modelroute.planning.status.acks import Acks
from modelroute.planning.status.backends import Found, backend_statuses, backend_troubles
from modelroute.planning.status.events import Event, changes
from modelroute.planning.status.router import rolled_out, router_status, router_trouble
from modelroute.planning.times import schedule
from modelroute.planning.times.moments import rfc3339
from modelroute.planning.unresolved import Missing
from modelroute.snapshot.types import Snapshot

MAX_SNAPSHOT_BYTES = 900 * 1024
"""A ConfigMap holds 1 MiB; what is missing to it is for the metadata and for whoever annotates."""
LARGE_PERCENT, SMALLER_PERCENT = 80, 75
"""Of that: from where on there is a warning, and below which it ends."""


class Findings(NamedTuple):
    """What the status is made of, beside what is seen."""

    missing: tuple[Missing, ...]
    snapshot: Snapshot
    acks: Acks
    gateway: KubeObject | None  # the Deployment that must be, if one must
    size: int  # of the snapshot, in bytes
    of: Mapping[str, Found]  # by backend


@dataclass(frozen=True, slots=True)
class Refusal:
    """What to say of a manifest that cannot be used; what is in the cluster stays as it is."""

    status: Status
    events: tuple[Event, ...]


def status_of(route: t.ModelRoute, observed: Observed, settings: Settings, found: Findings, now: float) -> Status:
    """The next status of ``route``, whose ``status`` is the old one; ``now`` is in Unix seconds."""
    routers = router_status(route, observed, settings, found.acks)
    backends = backend_statuses(route, observed, found.snapshot, found.missing, found.of)
    delivery = conditions.Delivery(
        foreign=observed.foreign,
        oversize=_oversize(found.size, found.acks.revision) if found.size > MAX_SNAPSHOT_BYTES else "",
        trouble=router_trouble(route, observed),
        written=written_revision(route, observed) == found.acks.revision,
        rolled_out=rolled_out(found.gateway, observed) if found.gateway else True,
        injection=settings.injection,
    )
    serving = conditions.Serving(backends, found.snapshot, backend_troubles(route, observed))
    verdicts = (
        conditions.accepted(_large(found.size, route.status)),
        conditions.resolved_refs(found.missing),
        conditions.programmed(route, routers, found.acks, delivery),
        conditions.ready(route, routers, found.acks, serving, found.missing),
    )
    canary, answering = route.spec.canary, sum(bool(b.endpoints) for b in found.snapshot.backends)
    return Status(
        observed_generation=route.metadata.generation,
        conditions=conditions.merged(route.status, verdicts, route.metadata.generation, rfc3339(now)),
        backends=backends,
        router=routers,
        ready_backends=f"{answering}/{len(backends)}",
        canary=f"{canary.backend} {canary.percent}%" if canary else "",
        active_schedules=schedule.active(route, now),
    )


def refused(metadata: t.Metadata, old: Status | None, error: InvalidManifestError, now: float) -> Refusal:
    """The status of a manifest that ``parse`` refused: Accepted is False, and what the last good one made stays."""
    verdicts = [conditions.Verdict("Accepted", "False", "InvalidSpec", str(error))]
    if condition_of(old, "Ready") is None:
        verdicts.append(conditions.Verdict("Ready", "False", "InvalidSpec", "nothing runs yet: the spec is not valid"))
    said = msgspec.structs.replace(
        old or Status(),
        observed_generation=metadata.generation,
        conditions=conditions.merged(old, verdicts, metadata.generation, rfc3339(now)),
    )
    return Refusal(said, changes(old, said, {}))


_SHORTEN = "shorten system prompts, keyword lists or the canary's allow list, or make two routes of it"


def _oversize(size: int, revision: str) -> str:
    stays = f"revision {revision} stays in force" if revision else "no earlier one is in force"
    return f"the routers' configuration has {size} bytes, {MAX_SNAPSHOT_BYTES} at most: {stays}; {_SHORTEN}"


def _large(size: int, old: Status | None) -> str:
    """A warning while there is room still; with a number that does not change with every replica."""
    before = condition_of(old, "Accepted")
    warned = before is not None and before.reason == conditions.SNAPSHOT_LARGE
    if size * 100 <= MAX_SNAPSHOT_BYTES * (SMALLER_PERCENT if warned else LARGE_PERCENT):
        return ""
    return f"the routers' configuration takes most of the {MAX_SNAPSHOT_BYTES} bytes that it may have: {_SHORTEN}"
