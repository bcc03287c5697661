"""How often a request is tried, how long between two tries, and how its time is shared out among them."""

import math

import pytest

from modelroute.policy import retry
from modelroute.policy.retry import Budget
from modelroute.snapshot.types import Retry

RETRY = Retry(attempts=3, min_wait=1.0, max_wait=8.0, budget_percent=20, budget_floor=3)


class TestBackoff:
    @pytest.mark.parametrize(("number", "bound"), [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 8.0), (10_000, 8.0)])
    def test_the_bound_doubles_up_to_the_longest_wait(self, number: int, bound: float) -> None:
        assert retry.backoff(RETRY, number, 0.5) == bound / 2

    def test_the_jitter_is_full(self) -> None:
        assert retry.backoff(RETRY, 3, 0.0) == 0.0

    def test_a_longest_wait_below_the_shortest_holds(self) -> None:
        assert retry.backoff(Retry(min_wait=5.0, max_wait=2.0), 1, 0.5) == 1.0


class TestBudget:
    def test_a_quiet_route_has_the_floor(self) -> None:
        budget = Budget()
        assert [budget.take(RETRY) for _ in range(4)] == [True, True, True, False]
        assert budget.retrying == 3

    def test_a_busy_one_has_its_share(self) -> None:
        budget = Budget()
        for _ in range(50):
            budget.began()
        assert sum(budget.take(RETRY) for _ in range(50)) == 10

    def test_the_share_falls_with_what_is_live(self) -> None:
        budget = Budget()
        for _ in range(20):
            budget.began()
        assert all(budget.take(RETRY) for _ in range(4))
        budget.give_back()
        budget.ended()
        budget.ended()
        assert budget.live == 18
        assert budget.take(RETRY)  # 3 are fewer than 3.6
        assert not budget.may(RETRY)

    def test_to_ask_takes_nothing(self) -> None:
        budget = Budget()
        assert budget.may(RETRY)
        assert budget.retrying == 0

    def test_what_is_given_back_can_be_taken_again(self) -> None:
        budget = Budget()
        one = Retry(budget_floor=1)
        assert budget.take(one)
        assert not budget.take(one)
        budget.give_back()
        assert budget.take(one)

    def test_no_budget_is_no_retry(self) -> None:
        budget = Budget()
        budget.began()
        assert not budget.take(Retry(budget_percent=0, budget_floor=0))


@pytest.mark.parametrize(("sdk_retries", "expected"), [(0, 3), (1, 2), (2, 1), (9, 1), (-1, 3)])
def test_an_sdk_that_retries_is_given_fewer_tries(sdk_retries: int, expected: int) -> None:
    assert retry.tries(RETRY, sdk_retries) == expected


class TestDeadlines:
    @pytest.mark.parametrize(
        ("remaining", "last", "streamed", "limit"),
        [
            (8.0, False, True, 4.0),  # another try can follow, and has as long
            (8.0, True, True, 8.0),
            (8.0, False, False, 8.0),  # a whole answer is not thrown away at half of its time
            (60.0, False, True, 10.0),
            (math.inf, False, True, 10.0),
        ],
    )
    def test_the_first_token_leaves_time_for_another_try(
        self, remaining: float, last: bool, streamed: bool, limit: float
    ) -> None:
        assert retry.first_token_limit(10.0, remaining, last=last, streamed=streamed) == limit


NOW = 784111777.0  # Sun, 06 Nov 1994 08:49:37 GMT, the date of RFC 9110


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("header", "seconds"),
        [
            (b"0", 0.0),
            (b"7", 7.0),
            (b" 7\t", 7.0),
            (b"1.5", 1.5),
            (b"60", 60.0),
            (b"61", 60.0),
            (b"9" * 5000, 60.0),
            (b"Sun, 06 Nov 1994 08:49:42 GMT", 5.0),
            (b"Sunday, 06-Nov-94 08:49:42 GMT", 5.0),
            (b"Sun Nov  6 08:49:42 1994", 5.0),
            (b"Sun, 06 Nov 1994 08:49:30 GMT", 0.0),
            (b"Mon, 07 Nov 2094 08:49:37 GMT", 60.0),
        ],
    )
    def test_both_forms_are_understood_and_bounded(self, header: bytes, seconds: float) -> None:
        assert retry.retry_after(header, NOW) == seconds

    @pytest.mark.parametrize(
        "header",
        [
            b"", b"soon", b"-1", b"+1", b"1e3", b"nan", b"inf", b"1_0", b"7 s", b"7, 8", b"0x10", b"\xd9\xa7", b"\xff",
            b"Sun, 31 Feb 1994 08:49:37 GMT", b"Sun, 06 Nov 1994 08:49:37 CET",
        ],
    )  # fmt: skip
    def test_what_makes_no_sense_is_passed_over(self, header: bytes) -> None:
        assert retry.retry_after(header, NOW) is None
