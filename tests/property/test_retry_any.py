"""Any schedule of requests and retries: the budget holds at each retry, and no time is handed out twice."""

from hypothesis import given
from hypothesis import strategies as st

from modelroute.policy import retry
from modelroute.policy.retry import Budget
from modelroute.snapshot.types import Retry

RETRIES = st.builds(
    Retry,
    attempts=st.integers(1, 10),
    min_wait=st.floats(0, 10),
    max_wait=st.floats(0, 100),
    budget_percent=st.integers(0, 100),
    budget_floor=st.integers(0, 5),
)
EVENTS = st.lists(st.sampled_from(["began", "ended", "take", "give_back"]), max_size=200)
DRAWS = st.floats(0, 1, exclude_max=True)


@given(EVENTS, RETRIES)
def test_a_retry_is_within_the_budget(events: list[str], settings: Retry) -> None:
    budget, live, retrying = Budget(), 0, 0
    for event in events:
        if event == "began":
            budget.began()
            live += 1
        elif event == "take":
            taken = budget.take(settings)
            assert taken == (retrying < settings.budget_floor or retrying < live * settings.budget_percent / 100)
            retrying += taken
        elif event == "ended":
            budget.ended()
            live = max(0, live - 1)
        else:
            budget.give_back()
            retrying = max(0, retrying - 1)
        assert (budget.live, budget.retrying) == (live, retrying)


@given(RETRIES, st.integers(-5, 5000), DRAWS)
def test_a_wait_is_bounded(settings: Retry, number: int, draw: float) -> None:
    assert 0 <= retry.backoff(settings, number, draw) <= settings.max_wait


@given(RETRIES, st.integers(0, 20))
def test_there_is_always_a_try_and_never_one_too_many(settings: Retry, sdk_retries: int) -> None:
    assert 1 <= retry.tries(settings, sdk_retries) <= settings.attempts


@given(st.floats(0.001, 100), st.floats(0.001, 1000), st.integers(1, 5), st.booleans())
def test_tries_that_all_time_out_fit_in_the_deadline(limit: float, total: float, count: int, streamed: bool) -> None:
    now, deadline = 0.0, total
    for number in range(1, count + 1):
        left = deadline - now
        took = retry.first_token_limit(limit, left, last=number == count, streamed=streamed)
        assert took > 0 or not streamed
        now += took
    assert now <= total * (1 + 1e-9)


@given(st.binary(max_size=40) | st.from_regex(rb"[0-9]{1,20}", fullmatch=True), st.floats(0, 4e9))
def test_any_header_is_a_bounded_time_or_nothing(header: bytes, now: float) -> None:
    seconds = retry.retry_after(header, now)
    assert seconds is None or 0 <= seconds <= retry.MAX_RETRY_AFTER
