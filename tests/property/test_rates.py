"""What holds of a rate limit, whatever is asked of it and however its clock jumps."""

from itertools import accumulate, combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelroute.policy.rates import Bucket

limits = st.integers(1, 10_000)
seconds = st.floats(0, 200)
# Seconds since the one before, what is reserved, and which part of that it takes in the end.
schedules = st.lists(st.tuples(seconds, st.integers(1, 500), st.floats(0, 1)), min_size=1, max_size=40)


def take_if_there(bucket: Bucket, amount: float, now: float) -> float:
    if bucket.wait(amount, now) > 0:
        return 0.0
    bucket.take(amount, now)
    return amount


@given(limits, schedules)
def test_no_stretch_of_time_gets_more_than_its_limit_and_what_was_saved_up(
    limit: int, schedule: list[tuple[float, int, float]]
) -> None:
    bucket = Bucket(limit, 0.0)
    times = list(accumulate(step for step, *_ in schedule))
    taken = []
    unneeded = 0.0
    for now, (_, amount, part) in zip(times, schedule, strict=True):
        bucket.take(-unneeded, now)  # of the one before is given back when that is over
        got = take_if_there(bucket, min(amount, limit), now)
        unneeded = got * (1 - part)
        taken.append(got * part)
    for i, j in combinations(range(len(times) + 1), 2):
        assert sum(taken[i:j]) <= limit * (1 + (times[j - 1] - times[i]) / 60) * (1 + 1e-9)


@given(limits, st.integers(0, 100_000), st.integers(1, 20_000))
def test_who_waits_as_told_is_let_through(limit: int, used: int, amount: int) -> None:
    bucket = Bucket(limit, 0.0)
    bucket.take(used, 0.0)
    wait = bucket.wait(amount, 0.0)
    assert wait == 0 or bucket.wait(amount, wait * 0.99) > 0
    assert bucket.wait(amount, wait + 1e-6 * (1 + wait)) == 0


@given(limits, st.lists(st.tuples(st.floats(-4000, 4000), st.integers(1, 100)), max_size=30))
def test_a_clock_that_steps_back_gives_nothing(limit: int, steps: list[tuple[float, int]]) -> None:
    jumping, steady = Bucket(limit, 0.0), Bucket(limit, 0.0)
    now = latest = 0.0
    for step, amount in steps:
        now += step
        latest = max(latest, now)
        assert take_if_there(jumping, amount, now) == take_if_there(steady, amount, latest)


@given(limits, limits, st.floats(0, 1))
def test_another_limit_forgets_nothing_that_was_used(limit: int, other: int, part: float) -> None:
    bucket = Bucket(limit, 0.0)
    bucket.take(limit * part, 0.0)
    bucket.resize(other, 0.0)
    assert other - bucket.left(0.0) == pytest.approx(limit * part)
    assert bucket.left(1e6) == other
