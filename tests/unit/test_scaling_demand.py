"""What is remembered of samples: means, extremes over windows, quiet; and that a hole is not taken for quiet."""

import math
from typing import Any

from modelroute.api import types as t
from modelroute.planning.scaling.demand import Demand, Piece, Sample, after, relief

HOUR = t.Scaling(max_replicas=4, scale_down=t.ScaleDown(stabilization="1h"))
SHORT = t.Scaling(max_replicas=4, scale_down=t.ScaleDown(stabilization="0s"))


def fed(*samples: Sample, scaling: t.Scaling = SHORT, start: Demand | None = None) -> Demand:
    for sample in samples:
        start = after(start, sample, scaling)
    assert start is not None
    return start


def row(begin: float, end: float, step: float = 2.0, **sample: Any) -> list[Sample]:
    """Samples from ``begin`` to ``end``, both included."""
    return [Sample(begin + i * step, **sample) for i in range(round((end - begin) / step) + 1)]


class TestMeans:
    def test_those_in_flight_and_those_that_wait_count(self) -> None:
        assert fed(Sample(0, in_flight=3, waiting=2)).mean(60) == 5

    def test_a_window_is_open_at_its_begin(self) -> None:
        found = fed(*row(0, 6, in_flight=100), *row(8, 12, in_flight=1))
        assert (found.mean(6), found.mean(60)) == (1, (4 * 100 + 3) / 7)

    def test_what_is_older_than_a_minute_is_forgotten(self) -> None:
        found = fed(*row(0, 200, in_flight=1))
        assert (found.samples[0].at, found.samples[-1].at) == (142, 200)

    def test_a_row_goes_back_to_its_first_sample(self) -> None:
        found = fed(*row(0, 200))
        assert (found.seen(200), found.seen(201), Demand().seen(0)) == (True, False, False)

    def test_memory_is_bounded_however_often_samples_come(self) -> None:
        found = fed(*row(0, 30, 0.02, in_flight=1), scaling=HOUR)
        assert len(found.samples) <= 240
        assert len(found.highs) + len(found.lows) <= 4

    def test_an_hour_is_remembered_in_few_pieces(self) -> None:
        falling = [Sample(i, in_flight=8000 - i) for i in range(7200)]
        found = fed(*falling, scaling=HOUR)
        assert len(found.highs) <= 62
        an_hour_ago = 8000 - (7199 - 3600) + 29.5
        assert an_hour_ago <= found.peak <= an_hour_ago + 60


class TestWindows:
    def test_the_peak_of_the_window_stays_until_it_is_over(self) -> None:
        found = fed(*row(0, 60), Sample(62, in_flight=300), *row(64, 120))
        assert found.peak == 10
        moment = relief(found, SHORT)
        assert 180 <= moment <= 186
        found = fed(*row(122, moment - 2), start=found)
        assert found.peak == 10
        assert fed(*row(moment, moment + 2), start=found).peak < 10

    def test_a_window_is_whole_when_all_of_it_was_seen(self) -> None:
        found = fed(*row(0, 58))
        assert not found.whole(SHORT)
        assert fed(Sample(60), start=found).whole(SHORT)

    def test_a_longer_window_is_not_whole_by_what_was_kept_for_a_shorter_one(self) -> None:
        assert not fed(*row(0, 4000)).whole(HOUR)

    def test_the_least_of_a_window_upwards_counts(self) -> None:
        slow = t.Scaling(max_replicas=4, scale_up=t.ScaleUp(stabilization="30s"))
        found = fed(*row(0, 100), *row(102, 160, in_flight=60), scaling=slow)
        assert 0 < found.trough(slow) < found.mean(60) == 60
        assert found.trough(SHORT) == found.trough(slow)

    def test_without_a_window_upwards_it_is_the_mean_of_now(self) -> None:
        assert fed(*row(0, 100), *row(102, 130, in_flight=60)).trough(SHORT) == 30

    def test_a_window_upwards_that_was_not_all_seen_brings_nothing(self) -> None:
        slow = t.Scaling(max_replicas=4, scale_up=t.ScaleUp(stabilization="2m"))
        assert fed(*row(0, 118, in_flight=60), scaling=slow).trough(slow) == 0


class TestHoles:
    def test_a_gap_begins_a_new_row(self) -> None:
        found = fed(*row(0, 100, in_flight=9), Sample(116))
        assert (found.samples, found.began, found.peak) == ((Sample(116),), 116, 0)

    def test_a_pause_is_no_gap(self) -> None:
        assert fed(*row(0, 100), Sample(115)).began == 0

    def test_a_clock_that_is_turned_back_begins_a_new_row(self) -> None:
        assert fed(*row(1000, 1100), Sample(999)).began == 999

    def test_one_router_that_is_not_heard_once_breaks_nothing(self) -> None:
        found = fed(*row(0, 70), Sample(72, complete=False), Sample(74))
        assert (found.whole(SHORT), found.quiet) == (True, 0)

    def test_what_is_not_all_heard_is_never_whole(self) -> None:
        assert not fed(*row(0, 70), Sample(72, complete=False)).whole(SHORT)

    def test_a_router_that_is_not_heard_for_long_may_have_had_requests(self) -> None:
        found = fed(*row(0, 70), *row(72, 88, complete=False), Sample(90))
        assert (found.whole(SHORT), found.quiet) == (False, 90)

    def test_a_minute_unheard_leaves_nothing_of_what_was_known(self) -> None:
        found = fed(*row(0, 70), *row(72, 160, complete=False), Sample(162))
        assert (found.highs, found.quiet) == ((Piece(162, 0),), 162)

    def test_half_a_picture_lowers_no_peak(self) -> None:
        found = fed(*row(0, 60, in_flight=9), *row(62, 70, in_flight=1, complete=False), Sample(72, in_flight=9))
        assert found.peak == 9
        assert found.mean(6) < 9
        by_turns = [Sample(at, in_flight=9 * (at % 2), complete=bool(at % 2)) for at in range(201)]
        assert fed(*by_turns).peak == 9

    def test_news_is_fresh_for_a_quarter_of_a_minute_either_way(self) -> None:
        found = fed(Sample(100))
        assert [found.fresh(at) for at in (84, 85, 115, 116)] == [False, True, True, False]
        assert not Demand().fresh(0)

    def test_a_row_that_breaks_off_is_told_for_a_minute_and_one_that_begins_is_not(self) -> None:
        def blind(*samples: Sample, now: float) -> bool:
            return fed(*samples).blind(now)

        assert (Demand().blind(99), blind(Sample(0), now=15)) == (False, False)
        assert blind(Sample(0), now=16)
        assert blind(Sample(0), *row(16, 74), now=74)
        assert not blind(Sample(0), *row(16, 76), now=76)
        assert blind(Sample(0), Sample(16), Sample(2), now=2)
        assert not blind(Sample(16), Sample(2), now=2)


class TestQuiet:
    def test_it_begins_with_the_first_sample_without_a_request(self) -> None:
        found = fed(*row(0, 10, in_flight=1), *row(12, 40))
        assert (found.quiet, found.active) == (12, 10)

    def test_a_request_that_was_never_in_flight_at_a_look_ends_it(self) -> None:
        assert fed(*row(0, 40), Sample(42, requests=1)).quiet is None

    def test_a_request_that_met_no_replica_ends_it(self) -> None:
        assert fed(*row(0, 40), Sample(42, cold=1)).active == 42

    def test_half_a_picture_of_a_request_ends_it_too(self) -> None:
        assert fed(*row(0, 40), Sample(42, waiting=1, complete=False)).quiet is None

    def test_a_row_that_has_heard_of_no_request_says_so(self) -> None:
        found = fed(*row(0, 40))
        assert (found.quiet, found.active) == (0, -math.inf)

    def test_half_a_picture_begins_no_quiet(self) -> None:
        assert fed(Sample(0, in_flight=1), Sample(2, complete=False, quiet_for=99)).quiet is None

    def test_what_nobody_looked_at_is_told_by_the_routers(self) -> None:
        """Whether the row begins anew, or not all was heard in it for long."""
        assert fed(*row(0, 40), *row(1000, 1010, quiet_for=500)).quiet == 500
        assert fed(*row(0, 40), *row(42, 60, complete=False), Sample(62, quiet_for=30)).quiet == 32

    def test_a_router_that_was_started_while_all_was_seen_shortens_nothing(self) -> None:
        assert fed(*row(0, 40, quiet_for=500), Sample(42, quiet_for=1)).quiet == -500

    def test_who_was_seen_to_ask_is_not_argued_away(self) -> None:
        assert fed(Sample(0, queued=1), Sample(2, quiet_for=500)).quiet == 0


class TestPressed:
    def test_requests_that_queue_within_replicas_for_a_minute(self) -> None:
        found = fed(*row(0, 58, in_flight=4, queued=1))
        assert found.pressed == ""
        assert fed(Sample(60, queued=1), start=found).pressed == "requests queue within the replicas"

    def test_a_moment_without_a_queue_is_enough(self) -> None:
        assert fed(*row(0, 58, queued=1), Sample(60), Sample(62, queued=1)).pressed == ""

    def test_a_cache_that_is_full_for_a_minute(self) -> None:
        assert fed(*row(0, 60, cache=0.95)).pressed == "the cache of a replica is full"
        assert fed(*row(0, 60, cache=0.94)).pressed == ""

    def test_what_was_too_much_for_a_replica_is_remembered_for_an_hour(self) -> None:
        found = fed(*row(0, 60, in_flight=12, queued=1, ready=2))
        assert found.crowded == Piece(60, 6)
        found = fed(*row(62, 3660, in_flight=12, ready=3), start=found)
        assert found.crowded == Piece(60, 6)
        assert fed(Sample(3662, ready=3), start=found).crowded is None

    def test_it_is_learnt_of_a_steady_number_that_all_routers_tell_of(self) -> None:
        mixed = [*row(0, 40, in_flight=12, queued=1, ready=1), *row(42, 70, in_flight=12, queued=1, ready=2)]
        unheard = row(0, 60, in_flight=12, queued=1, ready=2, complete=False)
        assert (fed(*mixed).crowded, fed(*unheard).crowded) == (None, None)
