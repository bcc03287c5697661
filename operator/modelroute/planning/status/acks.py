"""Which routers run the newest snapshot, by what they say themselves: the ground of Programmed, and of a first Ready.

Called by ``plan``. Works alike for the routers of a Deployment and for those within other pods. A snapshot that was
written anew for the same spec, such as for a replica that came, is on its way to routers for a moment: until
``GRACE_SECONDS`` are over, those that ran the one before still count, so that no condition flaps for it.
"""

from dataclasses import dataclass

from modelroute.api import types as t
from modelroute.api.status import condition_of
from modelroute.planning import names
from modelroute.planning.asking import answers
from modelroute.planning.observed import Observed, written_at
from modelroute.planning.resources.router import ADMIN_PORT

GRACE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Acks:
    """What the routers that are ready say of ``revision``, which is of the spec's ``generation``; pods in order."""

    revision: str
    generation: int
    port: int  # where they are asked
    exact: int = 0  # routers that run just this revision
    current: int = 0  # those that count: the exact ones, and for a moment those of the one before
    refused: tuple[str, ...] = ()  # sentences
    unreachable: tuple[str, ...] = ()
    lagging: tuple[str, ...] = ()
    look_again: float | None = None  # when the moment is over, in Unix seconds

    @property
    def unknown(self) -> bool:
        """Whether routers are there and none of them can be asked."""
        return bool(self.unreachable) and not (self.exact or self.refused or self.lagging)


def acks_of(route: t.ModelRoute, observed: Observed, revision: str, now: float) -> Acks:
    """What was told of ``revision``. A router that was not asked yet is believed to do what it did, by the status."""
    asked = route.spec.router
    port = asked.sidecar.admin_port if asked.mode == "Sidecar" else ADMIN_PORT
    routers = [p.name for p in observed.routers() if answers(p)]
    before = condition_of(route.status, "Programmed")
    held = before is not None and before.status == "True" and before.observed_generation == route.metadata.generation
    kept = held and route.status is not None and route.status.router.revision == revision
    due = written_at(observed.child("ConfigMap", names.snapshot(route.metadata.name))) + GRACE_SECONDS
    exact = current = 0
    refused, unreachable, lagging, waited = [], [], [], False
    for pod in routers:
        told = observed.told.get(pod)
        if told is None and kept and len(routers) == (route.status.router.current_replicas if route.status else 0):
            current += 1  # the operator has just begun
        elif told is None:
            lagging.append(f"{pod} has not told yet what it runs")
        elif not told.asked:
            unreachable.append(f"{pod} cannot be asked ({told.error})")
        elif told.revision == revision:
            exact, current = exact + 1, current + 1
        elif told.error:
            refused.append(f"{pod} cannot take revision {revision}: {told.error}")
        elif held and told.generation == route.metadata.generation and now < due:
            current, waited = current + 1, True
        else:
            lagging.append(_lag(pod, told.generation, route.metadata.generation))
    return Acks(
        revision,
        route.metadata.generation,
        port,
        exact,
        current,
        tuple(refused),
        tuple(unreachable),
        tuple(lagging),
        due if waited else None,
    )


def _lag(pod: str, generation: int, newest: int) -> str:
    if not generation:
        return f"{pod} runs nothing yet"
    return f"{pod} runs {generation}" if generation != newest else f"{pod} runs an earlier state of it"
