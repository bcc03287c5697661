"""How long is waited before something is tried again."""

from modelroute.controller.backoff import FIRST_RETRY, LAST_RETRY, backoff, jittered


def test_waits_are_doubled_up_to_a_bound() -> None:
    assert [backoff(n) for n in (1, 2, 3)] == [FIRST_RETRY, 2 * FIRST_RETRY, 4 * FIRST_RETRY]
    assert backoff(10_000) == LAST_RETRY


def test_chance_takes_off_half_at_most() -> None:
    assert all(5 <= jittered(10) <= 10 for _ in range(1000))
