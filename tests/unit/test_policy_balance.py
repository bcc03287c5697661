"""Which replica takes a request: two choices, affinity with bounded loads, slow start, what vLLM's metrics say."""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest

from modelroute.policy.balance import Balancer, Pool, balancer, hashed, least_in_flight
from modelroute.snapshot.types import Balancing

NEVER = -math.inf
HASHING = Balancing(type="PrefixHash", bound_percent=125, slow_start=30.0)
DRAWS = [(i + 0.5) / 1000 for i in range(1000)]


@dataclass(eq=False)
class Fake:
    name: str
    in_flight: int = 0
    waiting: int = 0
    cache: float = 0.0
    since: float = NEVER
    pace: float = 0.0
    asked: float = 0.0


def pool(*replicas: Fake, settings: Balancing | None = None, **more: Any) -> Pool[Fake]:
    return Pool(replicas, settings or Balancing(**more))


def fakes(count: int, **more: Any) -> tuple[Fake, ...]:
    return tuple(Fake(f"10.0.0.{i}:8000", **more) for i in range(count))


def chosen(of: Pool[Fake], now: float = 0.0) -> Counter[str]:
    """How often each replica is taken over a thousand even draws, when none of the requests stays."""
    return Counter(least_in_flight(of, b"", draw, now).name for draw in DRAWS)


def owners(of: Pool[Fake], count: int = 500, now: float = 0.0) -> list[Fake]:
    """Whom the first keys belong to."""
    return [hashed(of, b"key %d" % i, 0.5, now) for i in range(count)]


def full(replica: Fake) -> None:
    replica.in_flight = 1000


class TestLeastInFlight:
    def test_one_replica_is_the_choice(self) -> None:
        one = Fake("one", in_flight=9, since=0.0)
        assert least_in_flight(pool(one), b"", 0.999, 0.0) is one

    @pytest.mark.parametrize(
        "worse", [{"in_flight": 3}, {"in_flight": 2, "waiting": 1}, {"in_flight": 1, "cache": 0.95}], ids=str
    )
    def test_of_two_the_freer_one_is_taken_whatever_the_draw(self, worse: dict[str, Any]) -> None:
        assert chosen(pool(Fake("a", in_flight=2), Fake("b", **worse))) == {"a": 1000}

    def test_a_full_cache_counts_twice_and_no_more(self) -> None:
        assert chosen(pool(Fake("a", in_flight=4), Fake("b", in_flight=1, cache=1.0))) == {"b": 1000}

    def test_a_cache_that_is_not_full_says_nothing(self) -> None:
        assert set(chosen(pool(Fake("a"), Fake("b", cache=0.94)))) == {"a", "b"}

    @pytest.mark.parametrize("count", [2, 3, 10])
    def test_equal_ones_are_taken_equally(self, count: int) -> None:
        counted = chosen(pool(*fakes(count, in_flight=5)))
        assert len(counted) == count
        assert all(abs(n - 1000 / count) <= 2 for n in counted.values())

    def test_each_pair_is_compared(self) -> None:
        a, b, c = Fake("a", in_flight=0), Fake("b", in_flight=1), Fake("c", in_flight=2)
        counted = chosen(pool(a, b, c))
        assert counted["c"] == 0
        assert abs(counted["a"] - 667) <= 2

    def test_a_slow_replica_gets_less(self) -> None:
        replicas = fakes(3)
        of = pool(*replicas)
        taken: Counter[str] = Counter()
        running: list[tuple[int, Fake]] = []
        for tick in range(3000):
            running, over = [r for r in running if r[0] > tick], [r for r in running if r[0] <= tick]
            for _, replica in over:
                replica.in_flight -= 1
            replica = least_in_flight(of, b"", tick * 0.6180339887 % 1.0, 0.0)
            replica.in_flight += 1
            taken[replica.name] += 1
            running.append((tick + (100 if replica is replicas[0] else 10), replica))
        assert taken[replicas[0].name] < 3000 * 0.15

    def test_one_that_is_known_to_be_slow_is_left_alone_until_the_others_are_that_much_fuller(self) -> None:
        slow, quick = Fake("slow", pace=1.0), Fake("quick", in_flight=8, pace=0.1)
        assert chosen(pool(slow, quick)) == {"quick": 1000}
        quick.in_flight = 10
        assert chosen(pool(slow, quick)) == {"slow": 1000}

    @pytest.mark.parametrize(
        ("slow", "quick"), [({"pace": 0.2}, {"pace": 0.1}), ({"pace": 9.0}, {}), ({}, {"pace": 9.0})], ids=str
    )
    def test_answers_differ_and_what_is_not_known_is_not_slow(self, slow: Any, quick: Any) -> None:
        assert set(chosen(pool(Fake("a", **slow), Fake("b", **quick)))) == {"a", "b"}

    def test_a_slow_one_that_was_left_alone_is_tried_again(self) -> None:
        slow, quick = Fake("slow", pace=1.0, asked=100.0), Fake("quick", pace=0.1, asked=110.0)
        assert chosen(pool(slow, quick), now=109.9) == {"quick": 1000}
        assert set(chosen(pool(slow, quick), now=110.0)) == {"slow", "quick"}


class TestSlowStart:
    @pytest.mark.parametrize(("age", "part"), [(0.0, 0.1), (2.9, 0.1), (15.0, 0.5), (29.0, 29 / 30), (30.0, 1.0)])
    def test_an_idle_new_replica_gets_its_growing_share(self, age: float, part: float) -> None:
        counted = chosen(pool(Fake("old"), Fake("new", since=100.0), slow_start=30.0), now=100.0 + age)
        assert abs(counted["new"] - 1000 * part / (1 + part)) <= 5

    def test_load_counts_too(self) -> None:
        of = pool(Fake("old", in_flight=9), Fake("new", since=0.0), slow_start=30.0)
        assert abs(chosen(of)["new"] - 500) <= 5  # a tenth of the share, a tenth of the load

    def test_a_full_cache_counts_too(self) -> None:
        of = pool(Fake("old"), Fake("new", cache=0.95, since=0.0), slow_start=30.0)
        assert abs(chosen(of, now=15.0)["new"] - 200) <= 5  # half the share, twice the cost

    def test_it_begins_without_a_jump_and_ends_without_one(self) -> None:
        of = pool(*fakes(4), Fake("new", since=0.0), slow_start=30.0)
        counted = [chosen(of, now)["new"] for now in (0.0, 10.0, 20.0, 29.9, 30.0)]
        assert counted == sorted(counted)
        assert counted[-1] - counted[-2] <= 5

    def test_all_new_are_equal(self) -> None:
        assert chosen(pool(*fakes(2, since=0.0), slow_start=30.0)) == {"10.0.0.0:8000": 500, "10.0.0.1:8000": 500}

    def test_it_can_be_off(self) -> None:
        assert abs(chosen(pool(Fake("old"), Fake("new", since=5.0), slow_start=0.0), now=5.0)["new"] - 500) <= 1

    def test_keys_move_to_a_new_replica_one_by_one_and_once(self) -> None:
        of = pool(*fakes(3), Fake("new", since=0.0), settings=HASHING)
        before = owners(pool(*of.replicas[:3], settings=HASHING))
        moved: set[int] = set()
        for now in (0.0, 5.0, 10.0, 20.0, 29.0, 30.0):
            after = owners(of, now=now)
            new = {i for i, owner in enumerate(after) if owner.name == "new"}
            assert moved <= new
            assert all(after[i] is before[i] for i in range(500) if i not in new)
            moved = new
        start = sum(owner.name == "new" for owner in owners(of, now=0.0))
        assert 0 < start < 0.2 * len(moved)
        assert 60 < len(moved) < 200


class TestHashed:
    def test_a_key_stays_with_its_replica(self) -> None:
        of = pool(*fakes(5), settings=HASHING)
        assert len({hashed(of, b"key", draw, 0.0).name for draw in DRAWS}) == 1

    def test_keys_are_spread(self) -> None:
        counted = Counter(owner.name for owner in owners(pool(*fakes(5), settings=HASHING), 2000))
        assert len(counted) == 5
        assert min(counted.values()) > 0.6 * 400
        assert max(counted.values()) < 1.5 * 400

    def test_every_router_has_the_same_ring_whatever_the_order(self) -> None:
        replicas = fakes(5)
        assert owners(pool(*replicas, settings=HASHING)) == owners(pool(*reversed(replicas), settings=HASHING))

    def test_a_full_one_hands_over_to_the_same_next_one(self) -> None:
        of = pool(*fakes(5), settings=HASHING)
        first = hashed(of, b"key", 0.5, 0.0)
        full(first)
        following = {hashed(of, b"key", draw, 0.0) for draw in DRAWS}
        assert len(following) == 1
        assert first not in following

    @pytest.mark.parametrize(("load", "stays"), [(4, True), (5, False)])
    @pytest.mark.parametrize("what", ["in_flight", "waiting"])
    def test_the_bound_is_of_the_mean_with_this_request(self, what: str, load: int, stays: bool) -> None:
        replicas = fakes(2)
        of = pool(*replicas, settings=HASHING)  # 4 + 3 + 1 = 8, of two, with a quarter: 5
        first = hashed(of, b"key", 0.5, 0.0)
        (other,) = {*replicas} - {first}
        setattr(first, what, load)
        setattr(other, what, 7 - load)
        assert (hashed(of, b"key", 0.5, 0.0) is first) == stays

    def test_without_a_key_the_freer_one_is_taken(self) -> None:
        busy, free = Fake("busy", in_flight=3), Fake("free")
        assert {hashed(pool(busy, free, settings=HASHING), b"", draw, 0.0) for draw in DRAWS} == {free}

    def test_a_bound_that_nobody_meets_does_not_leave_a_request_alone(self) -> None:
        busy, free = Fake("busy", in_flight=9), Fake("free", in_flight=8)
        of = pool(busy, free, settings=Balancing(type="Session", bound_percent=50))
        assert hashed(of, b"key", 0.5, 0.0) is free


class TestWithout:
    @pytest.mark.parametrize("settings", [Balancing(), HASHING])
    def test_who_is_avoided_is_not_chosen(self, settings: Balancing) -> None:
        of = pool(*fakes(3), settings=settings)
        choose: Balancer[Fake] = balancer(settings)
        avoided = of.replicas[:2]
        rest = of.without(avoided[:1])
        rest = rest and rest.without(avoided[1:])
        assert rest
        assert rest.replicas == of.replicas[2:]
        assert {choose(rest, b"key %d" % i, 0.1, 0.0) for i in range(50)} == {of.replicas[2]}
        assert len(of.replicas) == 3

    def test_the_keys_of_others_stay_where_they_are(self) -> None:
        of = pool(*fakes(5), settings=HASHING)
        avoided = of.replicas[0]
        rest = of.without([avoided])
        assert rest
        pairs = list(zip(owners(of), owners(rest), strict=True))
        assert all(before is after for before, after in pairs if before is not avoided)
        assert avoided not in {after for _, after in pairs}

    def test_nobody_is_left(self) -> None:
        of = pool(*fakes(2))
        assert of.without(of.replicas) is None


@pytest.mark.parametrize(
    ("kind", "function"), [("LeastInFlight", least_in_flight), ("PrefixHash", hashed), ("Session", hashed)]
)
def test_each_type_has_its_balancer(kind: Any, function: Any) -> None:
    assert balancer(Balancing(type=kind)) is function
