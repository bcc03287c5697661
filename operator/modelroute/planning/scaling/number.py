"""How many replicas of a backend should be awake, and why: the rules.

Called by ``scale``. Numbers in, a number and a sentence out: never looks at a pod, and never says which replica goes.

Peers do the same in parts: Knative's autoscaler the mean over a stable and a panic window, never down in a panic
(knative/serving, ``pkg/autoscaler/scaling/autoscaler.go``); Kubernetes' HorizontalPodAutoscaler the tolerance and the
stabilisation windows, the lowest number wanted in one on the way up and the highest on the way down ("Horizontal Pod
Autoscaling", Algorithm details; KEP-853); KEDA the step from and to zero after ``cooldownPeriod`` ("Scaling
Deployments"). None of them knows an engine's own queue, or has a replica drain first.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from modelroute.api import types as t
from modelroute.api.scalars import seconds
from modelroute.planning.scaling.demand import BURST_SECONDS, STABLE_SECONDS, Demand, down_window
from modelroute.planning.times.schedule import Floor

_CROWD = 0.9
"""Of the load with which replicas proved to be full, what one is given: less, or one that came would go at once."""


class Number(NamedTuple):
    """So many replicas, and why; no reason: because there are so many."""

    replicas: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """What there is: replicas that are asked for and not asleep, and those of them that take requests.

    Moments in Unix seconds; infinity: never yet.
    """

    awake: int
    ready: int
    able: float = math.inf  # since when the backend answers, or must be taken for one that never will
    newest: float = math.inf  # when the last replica became ready
    changed: float = -math.inf  # when the number last changed


def wanted(asked: t.Scaling, floor: Floor, standing: Standing, demand: Demand | None, now: float) -> Number:
    """The number of awake replicas; ``demand`` None: nothing is known of it, which lowers nothing."""
    lowest, highest = floor.replicas, max(floor.replicas, asked.most)
    if asked.max_replicas is None:
        return Number(lowest, floor_reason(floor))
    fresh = demand is not None and demand.fresh(now)
    found = _by_load(asked, floor, standing, demand, now) if demand and fresh else Number(standing.awake)
    if found.replicas > highest:
        limit = f"maxReplicas is {asked.max_replicas}" if asked.max_replicas == highest else floor_reason(floor)
        return Number(highest, f"{found.reason}; {limit}" if found.reason else limit)
    if found.replicas < lowest:
        return Number(lowest, found.reason if lowest < standing.awake else floor_reason(floor))
    return found


def _by_load(asked: t.Scaling, floor: Floor, standing: Standing, demand: Demand, now: float) -> Number:
    """What demand asks for, with no regard to floor and most."""
    more = max(_more(asked, standing, demand, now), key=lambda number: number.replicas, default=Number(0))
    return more if more.replicas > standing.awake else _fewer(asked, floor, standing, demand, now)


def floor_reason(floor: Floor) -> str:
    """Who asks for the floor."""
    if not floor.schedules:
        return f"minReplicas is {floor.replicas}"
    several = len(floor.schedules) > 1
    who = f"schedules {' and '.join(floor.schedules)} ask" if several else f"schedule {floor.schedules[0]} asks"
    return f"{who} for {floor.replicas}"


def _more(asked: t.Scaling, standing: Standing, demand: Demand, now: float) -> Iterator[Number]:
    """What each rule that brings replicas asks for."""
    target = asked.target_in_flight
    if standing.awake == 0 and now - demand.active < STABLE_SECONDS:
        yield Number(1, "requests came, and no replica is awake")
    load = demand.trough(asked) if demand.seen(STABLE_SECONDS) else 0.0
    if load > standing.awake * target * (1 + asked.tolerance_percent / 100):
        yield Number(math.ceil(load / target), f"{_requests(load)}, target {target} a replica")
    if demand.pressed and standing.ready and now - standing.newest >= STABLE_SECONDS:
        load = demand.mean(STABLE_SECONDS)
        why = f"{demand.pressed} with {_requests(load)}: target {target} is too high for them"
        yield Number(standing.ready + 1, why)
    if demand.seen(BURST_SECONDS) and now - standing.changed >= BURST_SECONDS:
        burst = demand.mean(BURST_SECONDS)
        if burst >= _panic(asked, standing):
            yield Number(math.ceil(burst / target), f"a burst of {_requests(burst)}, target {target} a replica")


def _fewer(asked: t.Scaling, floor: Floor, standing: Standing, demand: Demand, now: float) -> Number:
    """What is left of those that are awake, where nobody asked for long, or fewer were enough all the time."""
    stays = Number(standing.awake)
    if not demand.samples[-1].complete or now - standing.changed < STABLE_SECONDS or demand.pressed:
        return stays
    if standing.awake > floor.replicas and now >= idle_at(asked, standing, demand):
        return Number(floor.replicas, f"no request for {asked.idle.after}")
    if not demand.whole(asked):
        return stays
    target = min(asked.target_in_flight, demand.crowded.load * _CROWD if demand.crowded else math.inf)
    # The tolerance is on both sides of the target, or a load near it would have a replica come and go.
    share = target * (1 - asked.tolerance_percent / 100)
    enough = max(1, math.ceil(demand.peak / share)) if share else standing.awake
    span = down_window(asked)
    for_ = asked.scale_down.stabilization if span == seconds(asked.scale_down.stabilization) else f"{span:.0f}s"
    reason = f"at most {_requests(demand.peak)} for {for_}, target {asked.target_in_flight} a replica"
    goes = enough < standing.awake and demand.highest_burst < _panic(asked, standing)
    return Number(enough, reason) if goes else stays


def _panic(asked: t.Scaling, standing: Standing) -> float:
    """The load from which it is a burst."""
    return max(standing.ready, 1) * asked.target_in_flight * asked.panic_percent / 100


def idle_at(asked: t.Scaling, standing: Standing, demand: Demand | None) -> float:
    """When a backend has been without a request for long enough; infinity: that means nothing, or somebody asks.

    Not before a minute of that was seen: a router that was not ready for a moment knows more. And not in the minute
    after a change.
    """
    if asked.idle.action == "None" or demand is None or demand.quiet is None:
        return math.inf
    after = max(seconds(asked.idle.after), STABLE_SECONDS)
    return max(max(demand.quiet, standing.able) + after, max(demand.began, standing.changed) + STABLE_SECONDS)


def _requests(load: float) -> str:
    """A load, as a person counts: whole requests."""
    number = math.ceil(load)
    return f"{number} request in flight" if number == 1 else f"{number} requests in flight"
