"""Any load, any look at it, any interruption: the number stays within its bounds, and goes down by knowledge alone."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from modelroute.api import types as t
from modelroute.planning.scaling.demand import STABLE_SECONDS, Demand, Sample, after, down_window
from modelroute.planning.scaling.number import Standing, wanted
from modelroute.planning.times.schedule import Floor
from tests.fakes import world
from tests.fakes.fleet import BEGIN, TICK, Fleet

SCALINGS = st.builds(
    t.Scaling,
    min_replicas=st.just(0),
    max_replicas=st.integers(1, 9),
    target_in_flight=st.sampled_from([1, 8, 100]),
    tolerance_percent=st.sampled_from([0, 10, 100]),
    panic_percent=st.sampled_from([110, 200]),
    scale_up=st.builds(t.ScaleUp, stabilization=st.sampled_from(["0s", "30s", "2m"])),
    scale_down=st.builds(t.ScaleDown, stabilization=st.sampled_from(["0s", "2m", "5m"])),
    idle=st.builds(
        t.Idle, after=st.sampled_from(["0s", "2m", "30m"]), action=st.sampled_from(["None", "Sleep", "ScaleToZero"])
    ),
)
FLOORS = st.builds(Floor, st.integers(0, 12))
SAMPLES = st.builds(
    Sample,
    at=st.sampled_from([0.5, 1.0, 2.0, 14.0, 16.0, 600.0, -30.0]),  # since the last one
    in_flight=st.sampled_from([0, 0, 1, 9, 90]),
    waiting=st.sampled_from([0, 0, 5]),
    cold=st.sampled_from([0, 0, 3]),
    requests=st.sampled_from([0, 0, 2]),
    queued=st.sampled_from([0, 1]),
    cache=st.sampled_from([0.1, 0.99]),
    ready=st.integers(0, 3),
    complete=st.booleans(),
    quiet_for=st.sampled_from([0.0, 9000.0]),
)
STANDINGS = st.builds(
    Standing,
    awake=st.integers(0, 15),
    ready=st.integers(0, 15),
    able=st.sampled_from([0.0, float("inf")]),
    newest=st.sampled_from([0.0, float("inf")]),
)


def fed(samples: list[Sample], scaling: t.Scaling) -> tuple[Demand | None, float]:
    """What is known after these samples, whose times are steps, and when the last of them came."""
    demand, now = None, 10_000.0
    for sample in samples:
        now += sample.at
        demand = after(demand, replace(sample, at=now), scaling)
    return demand, now


@given(SCALINGS, FLOORS, STANDINGS, st.lists(SAMPLES, max_size=40))
def test_the_number_is_within_floor_and_most(
    scaling: t.Scaling, floor: Floor, standing: Standing, samples: list[Sample]
) -> None:
    demand, now = fed(samples, scaling)
    found = wanted(scaling, floor, standing, demand, now)
    assert floor.replicas <= found.replicas <= max(floor.replicas, scaling.most)
    assert found.reason or found.replicas == standing.awake


@given(SCALINGS, STANDINGS, st.lists(SAMPLES, max_size=40), st.integers(0, 90))
def test_half_a_picture_lowers_nothing(
    scaling: t.Scaling, standing: Standing, samples: list[Sample], load: int
) -> None:
    samples = [*samples, Sample(1.0, in_flight=load, complete=False)]
    demand, now = fed(samples, scaling)
    awake = min(standing.awake, scaling.most)
    assert wanted(scaling, Floor(0), replace(standing, awake=awake), demand, now).replicas >= awake


@given(SCALINGS, STANDINGS, st.lists(SAMPLES, max_size=40))
def test_nothing_is_lowered_before_a_whole_window_was_seen_or_a_minute_of_long_quiet(
    scaling: t.Scaling, standing: Standing, samples: list[Sample]
) -> None:
    demand, now = fed(samples, scaling)
    awake = min(standing.awake, scaling.most)
    found = wanted(scaling, Floor(0), replace(standing, awake=awake), demand, now)
    window = STABLE_SECONDS if found.reason.startswith("no request") else down_window(scaling)
    assert found.replicas >= awake or now - (demand.began if demand else now) >= window


@given(SCALINGS, st.lists(SAMPLES, max_size=200))
def test_memory_is_bounded(scaling: t.Scaling, samples: list[Sample]) -> None:
    demand, _ = fed(samples, scaling)
    assert demand is None or max(len(demand.samples), len(demand.highs), len(demand.lows)) <= 240


LOADS = st.sampled_from([0.0, 0.1, 0.7, 1.6, 3.3])
FLEETS: dict[str, Any] = {"scaleDown": {"stabilization": "2m"}}


def steady(rate: float) -> Callable[[float], float]:
    return lambda _: rate


def fleet(rate: float, least: int = 0, most: int = 5, **more: Any) -> Fleet:
    """A backend under a load that stays."""
    scaling = FLEETS | {"minReplicas": least, "maxReplicas": most} | more
    return Fleet(world.of_vllm(scaling=scaling), steady(rate))


@settings(max_examples=8, deadline=None)
@given(LOADS, st.integers(0, 2), st.integers(0, 5))
def test_a_load_that_stays_comes_to_one_number_and_keeps_it(rate: float, least: int, begin: int) -> None:
    one = fleet(rate, least)
    one.number = begin
    one.run(900)
    settled = one.number
    assert settled is not None
    assert set(one.run(600).numbers[-300:]) == {settled}
    wants = -(-int(rate * one.lasting) // 8)
    assert max(least, min(wants, 5), 1 if rate else 0) <= settled <= max(least, min(wants + 1, 5), 1)
    assert one.lost == 0


@settings(max_examples=10, deadline=None)
@given(LOADS, LOADS, st.integers(0, 400))
def test_an_operator_that_begins_anew_lowers_nothing_at_first(before: float, then: float, at: int) -> None:
    """What is remembered of demand is gone; status and Deployment are not."""
    one = Fleet(
        world.of_vllm(scaling=FLEETS | {"minReplicas": 0, "maxReplicas": 5}), lambda s: before if s < 300 else then
    )
    one.run(300 + at)
    number = one.number
    one.demand = None
    lowered = [n for n in one.run(110).numbers[-55:] if n < (number or 0)]
    assert lowered == []


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 200), st.integers(0, 200))
def test_who_asked_while_no_operator_looked_is_counted_from(busy: int, quiet: int) -> None:
    """It goes when nobody has asked for long enough, by what the router knows, and a minute of that was seen."""
    one = fleet(0.3, most=1, idle={"after": "3m"}).run(300)
    one.away, one.demand = True, None
    one.run(busy * TICK)
    one.rate = steady(0.0)
    one.run(quiet * TICK)
    one.away, back = False, one.now
    while one.number and one.now < back + 400:
        one.tick()
    assert -TICK <= one.now - max(one.asked + 180, back + 60) <= 2 * TICK


@settings(max_examples=6, deadline=None)
@given(LOADS, st.integers(0, 150))
def test_an_operator_that_ends_between_number_and_status_goes_on_where_it_was(rate: float, at: int) -> None:
    one = fleet(rate)
    for tick in range(200):
        one.tick()
        if tick == at:
            one.carry_out(one.scaled(), tells=False)
            one.demand = None
    other = fleet(rate).run(400)
    assert one.run(600).number == other.run(600).number
    assert one.status is not None
    assert one.status.desired_replicas == one.number
    steps = [(d.before, d.after) for d in one.decisions]
    assert all(a[1] == b[0] for a, b in itertools.pairwise(steps))


@settings(max_examples=50)
@given(st.integers(0, 6), st.integers(0, 6), st.data())
def test_marks_and_number_come_to_rest(there: int, least: int, data: st.DataObject) -> None:
    """Whatever marks are found, in a few steps there are as many replicas as wanted, and none of them is marked."""
    scaling = {"minReplicas": least, "idle": {"action": data.draw(st.sampled_from(["Sleep", "ScaleToZero"]))}}
    one = Fleet(world.of_vllm(scaling=scaling), lambda _: 0.0, start=0.0)
    one.number = there
    one._obey()
    for replica in one.replicas:
        marks: dict[str, Any] = {key: data.draw(st.sampled_from([None, BEGIN])) for key in ("draining", "sleeping")}
        replica.pod = replace(replica.pod, ready=True, started=BEGIN, loaded=BEGIN, **marks)
        replica.asleep = data.draw(st.booleans())
    one.run(20)
    assert (one.number, len(one.replicas)) == (least, least)
    assert [r.pod for r in one.replicas if r.asleep or r.pod.sleeping or r.pod.draining] == []
    assert one.scaled().errands == ()
