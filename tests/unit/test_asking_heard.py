"""What is kept of what pods say, and which of it is news."""

from dataclasses import replace
from typing import Any, ClassVar

import pytest

from modelroute.api import types as t
from modelroute.controller.asking.client import UnansweredError
from modelroute.controller.asking.heard import PATIENCE, Heard
from modelroute.planning.asking import Asking, Replica, Sampled
from modelroute.planning.observed import Engine, Told, Traffic
from modelroute.planning.scaling.demand import Sample

FAILED = UnansweredError("no connection within 1 s")
SAMPLED = Sampled("small", t.Scaling(min_replicas=0, max_replicas=4, target_in_flight=8), ready=2)
ASKING = Asking(
    revision="new",
    routers=(("r0", "10.0.9.0:8001"), ("r1", "10.0.9.1:8001")),
    replicas=(Replica("p0", "small", "10.0.0.0:8000"), Replica("p1", "small", "10.0.0.1:8000")),
    sampled=(SAMPLED,),
)
COLD = replace(ASKING, sampled=(replace(SAMPLED, ready=0),), replicas=())


def router(
    in_flight: int = 0,
    waiting: int = 0,
    cold: int = 0,
    *,
    requests: int = 0,
    quiet: float = 0,
    revision: str = "new",
    **by_replica: int,
) -> Told:
    at = {"p0": "10.0.0.0:8000", "p1": "10.0.0.1:8000"}
    load = Traffic(in_flight, waiting, requests, cold, {at[pod]: count for pod, count in by_replica.items()}, quiet)
    return Told(revision, 3, backends={"small": load})


def noted(*looks: dict[str, Any], asking: Asking = ASKING, heard: Heard | None = None) -> Heard:
    """What is known after these looks, one a second from 100 s on."""
    heard = heard or Heard()
    for second, answers in enumerate(looks):
        heard.note(asking, answers, 100.0 + second)
    return heard


def samples(*looks: dict[str, Any], asking: Asking = ASKING) -> tuple[Sample, ...]:
    return noted(*looks, asking=asking).demand["small"].samples


class TestPatience:
    def test_a_router_that_fails_once_is_believed_to_go_on(self) -> None:
        heard = noted({"r0": router()}, *[{"r0": FAILED}] * (PATIENCE - 1))
        assert heard.told["r0"] == router()

    def test_one_that_goes_on_failing_cannot_be_asked(self) -> None:
        heard = noted({"r0": router()}, *[{"r0": FAILED}] * PATIENCE)
        assert heard.told["r0"] == Told(error="no connection within 1 s", asked=False)

    def test_an_answer_begins_the_count_anew(self) -> None:
        fails = [{"r0": FAILED}] * (PATIENCE - 1)
        assert noted(*fails, {"r0": router()}, *fails).told["r0"].asked

    def test_one_that_was_never_heard_is_not_told_of_too_soon(self) -> None:
        assert noted(*[{"r0": FAILED}] * (PATIENCE - 1)).told == {}

    def test_a_replica_that_goes_on_failing_says_nothing_any_more(self) -> None:
        looks: list[dict[str, Any]] = [{"p0": Engine(running=1)}, *[{"p0": FAILED}] * PATIENCE]
        assert (noted(*looks[:-1]).engines, noted(*looks).engines) == ({"p0": Engine(running=1)}, {})

    def test_pods_that_are_asked_no_more_are_forgotten(self) -> None:
        heard = noted({"r0": router(), "r1": router(), "p0": Engine()})
        rest = replace(ASKING, routers=ASKING.routers[:1], replicas=(), sampled=())
        heard.note(rest, {"r0": router(), "r1": router(), "p0": Engine()}, 200.0)
        assert (set(heard.told), heard.engines, heard.demand) == ({"r0"}, {}, {})


class TestSamples:
    def test_all_routers_and_replicas_in_one(self) -> None:
        looks = {"r0": router(3, 1), "r1": router(2), "p0": Engine(4, 5, 0.25), "p1": Engine(1, 1, 0.75)}
        assert samples(looks) == (Sample(100.0, in_flight=5, waiting=1, queued=6, cache=0.75, ready=2),)

    @pytest.mark.parametrize("lost", [{}, {"r1": FAILED}])
    def test_a_router_that_was_not_heard_makes_it_incomplete(self, lost: dict[str, Any]) -> None:
        assert samples({"r0": router(3)} | lost) == (Sample(100.0, in_flight=3, ready=2, complete=False),)

    def test_looks_that_follow_fast_are_one_sample(self) -> None:
        heard = Heard()
        for tenth in range(11):
            heard.note(ASKING, {"r0": router(cold=tenth), "r1": router()}, 100 + tenth / 10)
        assert [(s.at, s.cold) for s in heard.demand["small"].samples] == [(100.0, 0), (100.9, 9)]

    def test_a_clock_that_was_set_back_does_not_stop_them(self) -> None:
        heard = noted({"r0": router(), "r1": router()})
        heard.note(ASKING, {"r0": router(), "r1": router()}, 50.0)
        assert heard.demand["small"].samples[-1].at == 50.0

    def test_without_routers_replicas_say_what_they_have_to_do(self) -> None:
        alone = replace(ASKING, routers=())
        assert samples({"p0": Engine(4, 1), "p1": Engine(3)}, asking=alone)[0].in_flight == 7
        assert not samples({"p0": Engine(4, 1)}, asking=alone)[0].complete

    def test_what_was_cold_before_the_first_is_long_gone(self) -> None:
        assert [s.cold for s in samples({"r0": router(cold=9)}, {"r0": router(cold=11)})] == [0, 2]

    def test_a_router_that_was_started_again_counts_from_nothing(self) -> None:
        assert [s.cold for s in samples({"r0": router(cold=9)}, {"r0": router(cold=2)})] == [0, 2]

    def test_requests_that_came_and_went_between_two_looks_are_counted(self) -> None:
        looks: list[dict[str, Any]] = [
            {"r0": router(requests=50)},
            {"r0": router(requests=53), "r1": router(requests=1)},
        ]
        assert [s.requests for s in samples(*looks)] == [0, 4]

    def test_a_router_that_was_started_again_is_known_by_either_count(self) -> None:
        looks: list[dict[str, Any]] = [{"r0": router(cold=1, requests=9)}, {"r0": router(cold=1, requests=2)}]
        assert [(s.cold, s.requests) for s in samples(*looks)] == [(0, 0), (1, 2)]

    def test_all_that_a_new_router_met_is_news(self) -> None:
        assert [s.cold for s in samples({"r0": router()}, {"r0": router(), "r1": router(cold=2)})] == [0, 2]

    def test_a_router_that_was_not_ready_for_a_moment_goes_on_counting(self) -> None:
        """All that it ever met would be news, and start a replica."""
        heard = noted({"r0": router(cold=9), "r1": router()})
        heard.note(replace(ASKING, routers=ASKING.routers[1:]), {"r1": router()}, 101.0)
        heard.note(ASKING, {"r0": router(cold=9), "r1": router()}, 102.0)
        assert [s.cold for s in heard.demand["small"].samples] == [0, 0, 0]

    def test_what_was_cold_while_a_router_was_not_heard_is_not_lost(self) -> None:
        looks: list[dict[str, Any]] = [{"r0": router(cold=1)}, {"r0": FAILED}, {"r0": router(cold=4)}]
        assert [s.cold for s in samples(*looks)] == [0, 0, 3]

    @pytest.mark.parametrize(
        ("one", "other", "since"),
        [
            (router(requests=9, quiet=600), router(quiet=900), 600),
            (router(requests=9, quiet=600), router(quiet=20), 20),
            (router(requests=9, quiet=600), router(requests=9), 0),
            (router(requests=9, quiet=600), replace(router(), backends={}), 0),
        ],
        ids=["one knows of a request", "one was started since", "an older one says nothing", "one has yet to learn"],
    )
    def test_quiet_begins_with_what_all_routers_know(self, one: Told, other: Told, since: float) -> None:
        assert noted({"r0": one, "r1": other}).demand["small"].quiet == 100 - since


class TestNews:
    def changes(self, before: dict[str, Any], after: dict[str, Any], asking: Asking = ASKING) -> bool:
        heard = noted(before, asking=asking)
        first = heard.news(asking)
        heard.note(asking, before | after, 110.0)
        return heard.news(asking) != first

    REST: ClassVar[dict[str, Any]] = {"r0": router(), "r1": router(), "p0": Engine(), "p1": Engine()}

    @pytest.mark.parametrize(
        "after",
        [
            {"r0": replace(router(), revision="old")},
            {"r0": replace(router(), revision="old", error="no")},
            {"p0": Engine(sleeping=True)},
        ],
    )
    def test_what_a_plan_depends_on(self, after: dict[str, Any]) -> None:
        assert self.changes(self.REST, after)

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ({}, {}),
            ({"r0": router(2)}, {"r0": router(7)}),
            ({"r0": router(100)}, {"r0": router(900)}),
            ({}, {"p0": Engine(running=3, waiting=1, cache=0.5)}),
            ({"r0": router(cold=1)}, {"r0": router(cold=5)}),
        ],
    )
    def test_what_it_would_decide_alike(self, before: dict[str, Any], after: dict[str, Any]) -> None:
        assert not self.changes(self.REST | before, after)

    @pytest.mark.parametrize("after", [{"r0": router(waiting=1)}, {"r0": router(cold=1)}])
    def test_a_first_request_where_no_replica_is_ready(self, after: dict[str, Any]) -> None:
        assert self.changes(self.REST, after, COLD)

    def test_a_replica_that_is_to_go_and_has_nothing_to_do_any_more(self) -> None:
        marked = replace(ASKING, replicas=(replace(ASKING.replicas[0], marked=True), ASKING.replicas[1]))
        busy = self.REST | {"r0": router(1, p0=1), "p0": Engine(running=1)}
        assert not self.changes(busy, {"p0": Engine()}, marked)
        assert not self.changes(busy, {"r0": router(1, p1=1)}, marked)
        assert self.changes(busy, {"r0": router(1, p1=1), "p0": Engine()}, marked)

    def test_loads_are_news_of_another_kind(self) -> None:
        quiet, busy = noted(self.REST), noted(self.REST | {"p0": Engine(waiting=4)})
        assert quiet.news(ASKING) == busy.news(ASKING)
        assert quiet.loads() != busy.loads()


class TestLagging:
    @pytest.mark.parametrize(
        ("told", "lags"),
        [
            ({}, True),
            ({"r0": router(), "r1": router(revision="old")}, True),
            ({"r0": router(), "r1": router()}, False),
            ({"r0": router(), "r1": replace(router(revision="old"), error="no")}, False),
        ],
    )
    def test_until_all_have_told(self, told: dict[str, Any], lags: bool) -> None:
        assert noted(told).lagging(ASKING, refusals_count=True) == lags

    def test_a_refusal_may_be_of_an_earlier_one(self) -> None:
        heard = noted({"r0": router(), "r1": replace(router(revision="old"), error="no")})
        assert heard.lagging(ASKING, refusals_count=False)
