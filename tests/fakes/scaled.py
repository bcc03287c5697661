"""What scaling looks at, made by hand: replicas, what routers and engines say of them, demand, an old status."""

from dataclasses import replace
from typing import Any

import msgspec

from modelroute.api import types as t
from modelroute.api.status import BackendStatus, Decision, ScalingStatus, Status
from modelroute.planning.errands import Errand, Mark, Wake
from modelroute.planning.observed import Engine, Observed, Pod, Told, Traffic
from modelroute.planning.scaling.demand import Demand, Sample, after
from modelroute.planning.scaling.scale import Scaled, scale
from tests.fakes import world
from tests.fakes.fleet import deployment

NOW = world.moment(world.NOW)
ANY: dict[str, Any] = {"minReplicas": 0, "maxReplicas": 6}
SLEEPS = ANY | {"idle": {"action": "Sleep"}}


def pod(number: int, **more: Any) -> Pod:
    facts: dict[str, Any] = {"created": NOW - 1000 + number, "started": NOW - 900, "loaded": NOW - 800, "ready": True}
    return Pod(f"small-{number}", "backend", "small", f"10.0.0.{number}", **facts | more)


ROUTER = Pod("router", "router", "", "10.1.0.1", NOW - 5000, ready=True)


def seen(
    *pods: Pod, number: int | None = None, busy: dict[int, int] | None = None, asleep: tuple[int, ...] = (), **more: Any
) -> Observed:
    """A world with these replicas, a router that runs the newest snapshot, and so many requests in some replicas."""
    by_replica = {f"10.0.0.{n}:8000": count for n, count in (busy or {}).items()}
    engines = {p.name: Engine(sleeping=int(p.name[-1]) in asleep) for p in pods}
    fields: dict[str, Any] = {
        "children": () if number is None else (deployment(number),),
        "pods": (*pods, ROUTER),
        "told": {"router": Told("new", backends={"small": Traffic(by_replica=by_replica)})},
        "engines": engines,
    }
    return Observed(**fields | more)


def demanded(load: int, seconds: int = 400, quiet: float | None = None) -> dict[str, Demand]:
    """So much load for so many seconds up to now; ``quiet`` makes it nothing since then."""
    found = None
    scaling = t.Scaling(max_replicas=6)
    for at in range(seconds, -1, -4):
        found = after(found, Sample(NOW - at, in_flight=load), scaling)
    assert found is not None
    return {"small": replace(found, quiet=quiet) if quiet is not None else found}


def said(desired: int, *decisions: Decision, idle_since: str | None = None) -> Status:
    scaling = ScalingStatus(decisions=decisions, idle_since=idle_since)
    return Status(backends=(BackendStatus("small", "VLLM", 100, desired_replicas=desired, scaling=scaling),))


def decided(observed: Observed, *, old: Status | None = None, now: float = NOW, **scaling: Any) -> Scaled:
    route = msgspec.structs.replace(world.of_vllm(scaling=ANY | scaling), status=old)
    return scale(route, route.spec.backends[0], observed, "new", now)


def told(errands: tuple[Errand, ...]) -> list[tuple[str, str]]:
    """What is done, and to whom: a mark that is set by its annotation, one that is taken away with a minus."""
    found = []
    for errand in errands:
        if isinstance(errand, Mark):
            key, value = errand.annotations[0]
            found.append((("" if value else "-") + key.partition("/")[2], errand.pod))
        else:
            found.append((type(errand).__name__, errand.warm_up.pod if isinstance(errand, Wake) else errand.pod))
    return found
