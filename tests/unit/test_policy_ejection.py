"""When a replica is taken out, how long, what brings it back, and how many stay in the choice."""

from typing import Any

import pytest

from modelroute.policy.ejection import Vitals, chosen_from
from modelroute.snapshot.types import Health

PLAIN: dict[str, Any] = {
    "consecutive_failures": 3, "success_percent": 50, "window": 30.0, "window_requests": 10, "ejection": 5.0,
    "max_ejection": 40.0, "interval": 10.0, "path": "/health",
}  # fmt: skip


def vitals(**more: Any) -> Vitals:
    """A replica that has just shown that it is well, at 0."""
    made = Vitals(Health(**PLAIN | more))
    made.succeeded(0.0)
    return made


def out(now: float = 0.0, **more: Any) -> Vitals:
    """One that is ejected, for the first time."""
    made = vitals(**more)
    fail(made, now, 3)
    assert made.ejected
    return made


def fail(of: Vitals, now: float, times: int) -> list[bool]:
    return [of.failed(now) for _ in range(times)]


class TestTakenOut:
    def test_failures_in_a_row_take_it_out(self) -> None:
        made = vitals()
        assert fail(made, 1.0, 3) == [False, False, True]
        assert (made.ejected, made.ejected_until, made.times) == (True, 6.0, 1)

    def test_a_success_between_them_keeps_it_in(self) -> None:
        made = vitals()
        for _ in range(3):
            fail(made, 1.0, 2)
            made.succeeded(1.0)
        assert not made.ejected

    def test_a_fatal_failure_takes_it_out_at_once(self) -> None:
        made = vitals()
        assert made.failed(1.0, fatal=True)
        assert made.ejected

    def test_failures_of_requests_that_were_on_their_way_add_nothing(self) -> None:
        made = out(1.0)
        assert fail(made, 2.0, 5) == [False] * 5
        assert (made.ejected_until, made.times) == (6.0, 1)


class TestSuccessRate:
    def play(self, made: Vitals, start: float, pattern: str) -> bool:
        """A request each 10 ms: ``+`` succeeds, ``-`` fails."""
        for i, one in enumerate(pattern):
            now = start + i / 100
            made.succeeded(now) if one == "+" else made.failed(now)
        return made.ejected

    @pytest.mark.parametrize(
        ("pattern", "taken_out"),
        [("-+-" * 3, False), ("-+-" * 4, True), ("+-" * 30, False), ("++-" * 30, False), ("+" * 10 + "--+" * 8, False)],
    )
    def test_a_low_rate_over_enough_requests_takes_it_out(self, pattern: str, taken_out: bool) -> None:
        assert self.play(Vitals(Health(**PLAIN)), 1.0, pattern) == taken_out

    @pytest.mark.parametrize(("later", "taken_out"), [(14.0, True), (28.0, True), (31.0, False), (500.0, False)])
    def test_it_is_of_a_sliding_window(self, later: float, taken_out: bool) -> None:
        made = Vitals(Health(**PLAIN))
        assert not self.play(made, 1.0, "--+" * 3)
        assert self.play(made, 1.0 + later, "--+") == taken_out

    def test_what_was_before_an_ejection_does_not_count_after_it(self) -> None:
        made = Vitals(Health(**PLAIN))
        self.play(made, 1.0, "-+-" * 4)
        made.probed(made.ejected_until, ok=True)
        assert not self.play(made, made.ejected_until, "+--+")


class TestComingBack:
    def test_a_probe_is_due_when_its_time_is_over_and_only_once(self) -> None:
        made = out()
        assert not made.probe_due(4.9)
        assert made.probe_due(5.0)
        assert not made.probe_due(5.0)
        assert made.probe_due(15.0)  # the first was lost

    def test_a_probe_brings_it_back(self) -> None:
        made = out()
        assert made.probed(5.0, ok=True)
        assert not made.ejected
        assert [made.probe_due(14.9), made.probe_due(15.0)] == [False, True]

    def test_time_alone_and_a_trial_do_not_where_there_are_probes(self) -> None:
        made = out()
        assert not made.trial(1000.0)
        made.succeeded(1000.0)
        assert made.ejected

    def test_a_probe_from_before_the_ejection_says_nothing(self) -> None:
        made = out()
        assert not made.probed(4.9, ok=True)
        assert not made.probed(4.9, ok=False)
        assert (made.ejected, made.ejected_until) == (True, 5.0)

    def test_each_time_in_a_row_is_twice_as_long_up_to_the_longest(self) -> None:
        made, lengths = out(), [5.0]
        for _ in range(4):
            now = made.ejected_until
            assert not made.probed(now, ok=False)
            lengths.append(made.ejected_until - now)
        assert lengths == [5.0, 10.0, 20.0, 40.0, 40.0]
        assert made.times == 5

    def test_it_is_on_trial_until_its_first_success(self) -> None:
        made = out()
        made.probed(5.0, ok=True)
        assert made.failed(5.1)
        assert made.ejected_until == 15.1

    def test_a_success_ends_that_trial(self) -> None:
        made = out()
        made.probed(5.0, ok=True)
        made.succeeded(5.1)
        assert fail(made, 5.2, 2) == [False, False]

    @pytest.mark.parametrize(("healthy", "times"), [(4.9, 3), (5.0, 2), (9.9, 2), (10.0, 1), (5000.0, 1)])
    def test_time_spent_healthy_is_credited(self, healthy: float, times: int) -> None:
        made = out()
        made.probed(5.0, ok=False)
        assert (made.times, made.ejected_until) == (2, 15.0)
        made.probed(15.0, ok=True)
        made.succeeded(15.1)
        fail(made, 15.0 + healthy, 3)
        assert made.times == times

    def test_credit_is_given_once(self) -> None:
        made = out(window=2.0)
        for now in (5.0, 15.0, 35.0):
            made.probed(now, ok=False)
        made.probed(75.0, ok=True)
        for tick in range(12):
            made.succeeded(75.0 + tick)
        assert made.times == 2

    def test_as_many_successes_in_a_row_as_it_took_failures_bring_it_back(self) -> None:
        made = out()
        made.succeeded(1.0)
        made.succeeded(1.0)
        made.failed(1.0)
        assert [made.succeeded(2.0) for _ in range(3)] == [False, False, True]

    @pytest.mark.parametrize("fatal_first", [True, False])
    def test_streams_that_end_well_do_not_bring_back_one_that_drains(self, fatal_first: bool) -> None:
        made = vitals()
        fail(made, 1.0, 0 if fatal_first else 3)
        made.failed(1.0, fatal=True)
        assert not any(made.succeeded(2.0) for _ in range(10))
        assert made.probed(made.ejected_until, ok=True)


class TestWithoutProbes:
    def test_one_request_is_tried_when_its_time_is_over(self) -> None:
        made = out(path="")
        assert not made.probe_due(100.0)
        assert not made.trial(4.9)
        assert [made.trial(5.0), made.trial(5.0)] == [True, False]

    def test_its_success_brings_it_back(self) -> None:
        made = out(path="")
        made.trial(5.0)
        assert made.succeeded(5.5)
        assert not made.ejected
        assert not made.trial(100.0)

    def test_its_failure_makes_it_longer(self) -> None:
        made = out(path="")
        made.trial(5.0)
        assert not made.failed(5.5)
        assert (made.ejected_until, made.times) == (15.5, 2)
        made.succeeded(6.0)  # another one, older
        assert made.ejected

    def test_a_trial_that_never_ended_is_followed_by_another(self) -> None:
        made = out(path="", interval=0.0)
        made.trial(5.0)
        assert not made.trial(9.9)
        assert made.trial(10.0)

    def test_time_alone_brings_back_one_that_no_request_reaches(self) -> None:
        made = out(path="")
        assert [made.released(4.9), made.released(5.0), made.released(5.0)] == [False, True, False]
        assert made.failed(5.1)  # on trial: once is enough
        assert made.ejected_until == 15.1

    def test_time_alone_does_not_where_there_are_probes(self) -> None:
        assert not out().released(1000.0)

    def test_one_that_is_well_needs_no_trial(self) -> None:
        assert not vitals(path="").trial(1000.0)


class TestIdleProbes:
    def test_a_replica_without_success_is_probed_at_intervals(self) -> None:
        made = vitals()
        assert not made.probe_due(9.9)
        assert made.probe_due(10.0)
        made.probed(10.5, ok=True)
        assert not made.probe_due(20.4)
        assert made.probe_due(20.5)

    def test_requests_that_succeed_make_probes_needless(self) -> None:
        made = vitals()
        made.succeeded(9.0)
        assert not made.probe_due(18.9)

    def test_a_dead_one_that_nobody_asks_is_out_after_one_more_interval(self) -> None:
        made, now = vitals(), 0.0
        while not made.ejected:
            now += 0.5
            if made.probe_due(now):
                made.probed(now, ok=False)
        assert 10.0 < now <= 20.0

    def test_a_good_probe_does_not_excuse_requests_that_fail(self) -> None:
        made = vitals()
        fail(made, 1.0, 2)
        made.probed(10.0, ok=True)
        assert made.failed(11.0)

    def test_without_an_interval_only_an_ejected_one_is_probed(self) -> None:
        made = vitals(interval=0.0)
        assert not made.probe_due(1000.0)
        fail(made, 1000.0, 3)
        assert made.probe_due(1005.0)

    def test_new_settings_hold_from_now_on(self) -> None:
        made = vitals()
        made.settings = Health(**PLAIN | {"consecutive_failures": 1, "ejection": 7.0})
        made.failed(1.0)
        assert made.ejected_until == 8.0


class TestChoice:
    def choice(self, states: list[float | None], percent: int = 50) -> tuple[tuple[int, ...], bool]:
        """Of replicas that are well (None) or out until a moment."""
        many = [Vitals(Health()) for _ in states]
        for one, until in zip(many, states, strict=True):
            if until is not None:
                one.ejected, one.ejected_until = True, until
        return chosen_from(many, Health(max_ejected_percent=percent))

    @pytest.mark.parametrize(
        ("states", "chosen", "down"),
        [
            ([], (), False),
            ([None, None], (0, 1), False),
            ([None, 5.0], (0,), False),
            ([5.0], (0,), True),
            ([9.0, 5.0], (1,), True),
            ([9.0, 5.0, None], (1, 2), False),
            ([9.0, 5.0, 7.0], (1, 2), True),
            ([9.0, None, 5.0, 7.0], (1, 2), False),
        ],
    )
    def test_the_last_half_stays_and_those_whose_time_is_over_first(
        self, states: list[float | None], chosen: tuple[int, ...], down: bool
    ) -> None:
        assert self.choice(states) == (chosen, down)

    @pytest.mark.parametrize(("percent", "chosen"), [(0, (0, 1, 2, 3)), (25, (0, 1, 2)), (99, (0,)), (100, (0,))])
    def test_the_part_can_be_set_and_one_always_stays(self, percent: int, chosen: tuple[int, ...]) -> None:
        assert self.choice([1.0, 2.0, 3.0, 4.0], percent) == (chosen, True)
