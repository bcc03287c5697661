"""Any pool, any load, any draw: somebody is chosen, never too full a one, and few keys move when replicas do."""

import math

from hypothesis import given
from hypothesis import strategies as st

from modelroute.policy.balance import Balancer, Pool, balancer, hashed, least_in_flight
from modelroute.snapshot.types import Balancing
from tests.unit.test_policy_balance import Fake

DRAWS = st.floats(0, 1, exclude_max=True) | st.just(math.nextafter(1, 0))
SETTINGS = st.builds(
    Balancing,
    type=st.sampled_from(["LeastInFlight", "PrefixHash", "Session"]),
    bound_percent=st.integers(100, 300),
    slow_start=st.floats(0, 60),
)
LOADS = st.tuples(st.integers(0, 50), st.integers(0, 50), st.floats(0, 1), st.just(-math.inf) | st.floats(-100, 100))
REPLICAS = st.lists(LOADS, min_size=1, max_size=12).map(
    lambda loads: tuple(Fake(f"10.0.0.{i}:80", *load) for i, load in enumerate(loads))
)
NAMES = st.lists(st.integers(0, 10_000), min_size=2, max_size=12, unique=True)


@given(REPLICAS, SETTINGS, st.binary(max_size=9), DRAWS, st.floats(-200, 200), st.data())
def test_one_of_the_pool_is_chosen(
    replicas: tuple[Fake, ...], settings: Balancing, key: bytes, draw: float, now: float, data: st.DataObject
) -> None:
    avoided = data.draw(st.lists(st.sampled_from(replicas)))
    pool = Pool(replicas, settings).without(avoided)
    if pool is None:
        assert len(set(avoided)) == len(replicas)
    else:
        choose: Balancer[Fake] = balancer(settings)
        replica = choose(pool, key, draw, now)
        assert replica in replicas
        assert replica not in avoided


@given(REPLICAS, DRAWS)
def test_the_busiest_is_only_taken_when_it_is_not_alone(replicas: tuple[Fake, ...], draw: float) -> None:
    pool = Pool(replicas, Balancing())
    loads = [(r.in_flight + r.waiting + 1) * (2 if r.cache >= 0.95 else 1) for r in replicas]
    chosen = least_in_flight(pool, b"", draw, 1000.0)
    assert loads[replicas.index(chosen)] < max(loads) or loads.count(max(loads)) > 1 or len(replicas) == 1


@given(NAMES, st.integers(100, 300), st.lists(st.integers(0, 3), max_size=200))
def test_no_replica_takes_more_than_the_bound(names: list[int], percent: int, keys: list[int]) -> None:
    replicas = tuple(Fake(f"10.0.0.{i}:80") for i in names)
    pool = Pool(replicas, Balancing(type="PrefixHash", bound_percent=percent))
    for total, key in enumerate(keys, 1):
        chosen = hashed(pool, b"prefix %d" % key, 0.5, 0.0)
        chosen.in_flight += 1
        assert chosen.in_flight <= math.ceil(total * percent / len(replicas) / 100)


@given(NAMES)
def test_few_keys_move_when_a_replica_comes_or_goes(names: list[int]) -> None:
    replicas = tuple(Fake(f"10.0.0.{i}:80") for i in names)
    more, fewer = (Pool(some, Balancing(type="PrefixHash")) for some in (replicas, replicas[1:]))
    moved = 0
    for i in range(300):
        before, after = (hashed(pool, b"key %d" % i, 0.5, 0.0) for pool in (more, fewer))
        assert after is before or before is replicas[0]  # only the keys of the one that goes
        moved += before is replicas[0]
    assert moved < 300 * 2 / len(names)  # and those are its part, with what chance adds
