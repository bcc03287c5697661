"""When a cron expression comes: over a clock that is set forward and back, in Berlin, told in UTC."""

import datetime as dt

import pytest

from modelroute.planning.times import recurring
from tests.fakes.world import moment

BERLIN = "Europe/Berlin"
JUMP = "2026-03-29T01:00:00Z"  # from 2:00 to 3:00
BACK = "2026-10-25T01:00:00Z"  # from 3:00 to 2:00


def newest(cron: str, now: str) -> str:
    found = recurring.newest(cron, BERLIN, moment(now))
    assert found is not None
    return utc(found.at)


def following(cron: str, now: str) -> str:
    found = recurring.following(cron, BERLIN, moment(now))
    assert found is not None
    return utc(found)


def utc(at: float) -> str:
    return dt.datetime.fromtimestamp(at, dt.UTC).strftime("%m-%dT%H:%M")


@pytest.mark.parametrize(
    ("now", "found"), [("05:44:59", "05-03T05:45"), ("05:45:00", "05-04T05:45"), ("05:45:59", "05-04T05:45")]
)
def test_the_newest_is_at_or_before_now(now: str, found: str) -> None:
    assert newest("45 7 * * *", f"2026-05-04T{now}Z") == found


def test_the_next_is_after_now() -> None:
    assert following("45 7 * * *", "2026-05-04T05:44:59Z") == "05-04T05:45"
    assert following("45 7 * * *", "2026-05-04T05:45:00Z") == "05-05T05:45"


def test_o22_what_is_jumped_over_comes_with_the_jump() -> None:
    assert following("30 2 * * *", "2026-03-29T00:59:00Z") == "03-29T01:00"
    assert newest("30 2 * * *", JUMP) == "03-29T01:00"
    assert following("30 2 * * *", JUMP) == "03-30T00:30"


def test_all_that_the_jump_brings_is_one() -> None:
    found = recurring.newest("*/30 2,3 * * *", BERLIN, moment(JUMP))
    assert found is not None
    assert [wall.strftime("%H:%M") for wall in found.walls] == ["03:00", "02:30", "02:00"]


def test_the_last_to_close_counts_of_those_that_the_jump_brings() -> None:
    found = recurring.newest("0,30 2 * * *", BERLIN, moment(JUMP))
    assert found is not None
    assert utc(recurring.closing(found, dt.timedelta(minutes=45), BERLIN)) == "03-29T01:45"


def test_o22_what_is_shown_twice_comes_the_first_time() -> None:
    assert following("30 2 * * *", "2026-10-24T12:00:00Z") == "10-25T00:30"
    assert following("30 2 * * *", "2026-10-25T00:30:00Z") == "10-26T01:30"


def test_within_the_repeated_hour_all_of_it_has_been() -> None:
    assert newest("30 2 * * *", "2026-10-25T01:15:00Z") == "10-25T00:30"
    assert following("30 2 * * *", "2026-10-25T01:15:00Z") == "10-26T01:30"


def test_within_the_repeated_hour_what_follows_it_has_not_been() -> None:
    assert newest("10 3 * * *", "2026-10-25T01:30:00Z") == "10-24T01:10"


def test_hourly_is_no_exception() -> None:
    assert following("0 * * * *", BACK.replace("T01", "T00")) == "10-25T02:00"


def test_the_twenty_ninth_of_february_is_found_years_away() -> None:
    assert newest("0 0 29 2 *", "2027-01-01T00:00:00Z") == "02-28T23:00"
    assert following("0 0 29 2 *", "2097-01-01T00:00:00Z") == "02-28T23:00"
