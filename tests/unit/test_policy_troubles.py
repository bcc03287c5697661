"""What a decision makes of backends in trouble: who covers, who waits, who is refused, and what is never asked."""

from typing import Any

import pytest

from modelroute.api.types import FailureKind
from modelroute.policy.decide import Forward, Hold, Policy, Reject, decide, next_backend, next_peer
from modelroute.policy.facts import Facts, Moment, Trouble
from modelroute.snapshot.types import Backend, Canary, ColdStart, Fallback, Rule, When
from modelroute.snapshot.weights import shares
from tests.unit.test_policy import ASK, TIMEOUTS, TWO, backend, choice, policy


def held(decision: Forward | Hold | Reject) -> tuple[str, str]:
    assert isinstance(decision, Hold)
    return decision.backend.name, decision.kind


BIG_TAKES_OVER = (Fallback("big", ("ColdStart", "RateLimited", "Overloaded", "ServerError")),)


class TestTroubles:
    @pytest.mark.parametrize("kind", ["RateLimited", "Overloaded", "ServerError"])
    def test_the_fallback_that_is_declared_for_a_trouble_takes_over(self, kind: FailureKind) -> None:
        moment = Moment({"small": Trouble(kind, 9.0)})
        found = decide(policy(*TWO, fallbacks=BIG_TAKES_OVER), ASK, 0.0, moment)
        assert choice(found) == ("big", f"fallback {kind}")

    def test_a_fallback_in_trouble_is_passed_over(self) -> None:
        troubles = {"small": Trouble("ServerError"), "big": Trouble("RateLimited")}
        third = (*TWO, backend("third", 0))
        fallbacks = (*BIG_TAKES_OVER, Fallback("third", ("ServerError",)))
        assert choice(decide(policy(*third, fallbacks=fallbacks), ASK, 0.0, Moment(troubles)))[0] == "third"

    def test_a_failing_backend_without_fallback_leaves_its_share_to_the_others(self) -> None:
        assert choice(decide(policy(*TWO), ASK, 0.0, Moment({"small": Trouble("ServerError")}))) == ("big", "weight 10")

    def test_who_would_go_to_a_backend_at_its_limits_waits_for_it(self) -> None:
        assert held(decide(policy(*TWO), ASK, 0.0, Moment({"small": Trouble("Overloaded")}))) == ("small", "Overloaded")

    def test_when_all_are_rate_limited_the_client_is_told_how_long(self) -> None:
        troubles = {"small": Trouble("RateLimited", 30.0), "big": Trouble("RateLimited", 12.0)}
        found = decide(policy(*TWO), ASK, 0.0, Moment(troubles, now=10.0))
        assert isinstance(found, Reject)
        assert (found.status, found.wait, found.reason) == (429, 2.0, "rate_limited")

    def test_when_all_fail_the_client_is_told_that_none_can_answer(self) -> None:
        troubles = {"small": Trouble("RateLimited", 30.0), "big": Trouble("ServerError", 12.0)}
        found = decide(policy(*TWO), ASK, 0.0, Moment(troubles, now=10.0))
        assert isinstance(found, Reject)
        assert (found.status, found.wait, found.reason) == (503, 2.0, "no_ready_backend")


def cold(how: Any, wait: float = 20.0) -> Policy:
    """A route whose weighted backend is cold, and whose fallback is not."""
    small = Backend("small", 1, TIMEOUTS, cold_start=ColdStart(how, max_wait=wait))
    return policy(small, backend("big", 0), fallbacks=BIG_TAKES_OVER)


class TestColdStart:
    def test_hold_waits_however_long_it_takes(self) -> None:
        moment = Moment({"small": Trouble("ColdStart", 600.0)}, patience=1.0)
        assert held(decide(cold("Hold"), ASK, 0.0, moment)) == ("small", "ColdStart")

    def test_reject_refuses_though_a_fallback_is_there(self) -> None:
        assert isinstance(decide(cold("Reject"), ASK, 0.0), Reject)

    @pytest.mark.parametrize(
        ("rest", "patience", "wait", "waits"),
        [
            *[(5, 60, 20, True), (30, 60, 20, False), (5, 9, 20, False), (float("inf"), 60, 20, True)],
            *[(-15, 60, 20, True), (-30, 60, 20, False), (-5, 9, 20, False)],
        ],
    )
    def test_hold_then_fallback_waits_while_the_rest_of_the_start_is_of_use(
        self, rest: float, patience: float, wait: float, waits: bool
    ) -> None:
        moment = Moment({"small": Trouble("ColdStart", 100 + rest)}, 100, patience)
        found = decide(cold("HoldThenFallback", wait), ASK, 0.0, moment)
        assert isinstance(found, Hold if waits else Forward)

    def test_hold_then_fallback_waits_all_the_same_when_no_fallback_can_answer(self) -> None:
        moment = Moment({"small": Trouble("ColdStart", 600.0), "big": Trouble("RateLimited")})
        assert held(decide(cold("HoldThenFallback"), ASK, 0.0, moment)) == ("small", "ColdStart")

    @pytest.mark.parametrize(("until", "who"), [(600.0, "other"), (15.0, "other"), (5.0, "small")])
    def test_without_a_fallback_its_share_goes_to_the_others_where_it_is_not_worth_waiting(
        self, until: float, who: str
    ) -> None:
        small = Backend("small", 50, TIMEOUTS, cold_start=ColdStart("HoldThenFallback"))
        route = policy(small, backend("other", 50))
        found = decide(route, ASK, 0.0, Moment({"small": Trouble("ColdStart", until)}, patience=20.0))
        assert isinstance(found, Hold if who == "small" else Forward)
        assert found.backend.name == who

    def test_a_rule_prefers_one_that_is_not_worth_waiting_for(self) -> None:
        small = Backend("small", 0, TIMEOUTS, cold_start=ColdStart("HoldThenFallback"))
        always = (Rule("always", When(min_chars=0), prefer=("small",)),)
        moment = Moment({"small": Trouble("ColdStart", 600.0)})
        assert choice(decide(policy(small, backend("other", 1), rules=always), ASK, 0.0, moment))[0] == "other"
        assert held(decide(policy(small, Backend("other", 1, TIMEOUTS), rules=always), ASK, 0.0, moment))[0] == "small"

    @pytest.mark.parametrize(("until", "wait"), [(130.0, 30.0), (70.0, float("inf"))])
    def test_who_is_refused_is_told_how_long_a_start_takes_but_nothing_by_one_that_is_late(
        self, until: float, wait: float
    ) -> None:
        found = decide(cold("Reject"), ASK, 0.0, Moment({"small": Trouble("ColdStart", until)}, 100))
        assert isinstance(found, Reject)
        assert found.wait == wait


class TestDataPolicy:
    PRIVATE = Rule("private", When(headers={"x-data": "secret"}), fail_closed=True)
    SECRET = Facts("chat", headers={"x-data": "secret"})

    def route(self, *rules: Rule, **more: Any) -> Policy:
        outside = Backend("big", 10, TIMEOUTS, ("h:1",), data_policy="External")
        return policy(backend("small", 90), outside, rules=rules, **more)

    def test_a_closed_rule_keeps_a_request_inside_whatever_the_draw(self) -> None:
        assert {choice(decide(self.route(self.PRIVATE), self.SECRET, d / 10))[0] for d in range(10)} == {"small"}

    def test_a_header_that_came_twice_still_closes(self) -> None:
        twice = Facts("chat", headers={"x-data": "secret, other"})
        assert choice(decide(self.route(self.PRIVATE), twice, 0.99))[0] == "small"

    def test_it_is_not_overruled_by_an_earlier_rule_that_prefers(self) -> None:
        code = Rule("code", When(headers={"x-data": "secret"}), prefer=("big",))
        assert choice(decide(self.route(code, self.PRIVATE), self.SECRET, 0.99))[0] == "small"

    def test_nor_by_a_canary_or_a_fallback(self) -> None:
        route = self.route(self.PRIVATE, canary=Canary("big", 100), fallbacks=BIG_TAKES_OVER)
        found = decide(route, self.SECRET, 0.0)
        assert isinstance(found, Forward)
        assert found.backend.name == "small"
        assert next_backend(route, ("small",), "ServerError", bars=found.barred) is None

    def test_when_nobody_inside_can_answer_the_request_is_refused(self) -> None:
        moment = Moment({"small": Trouble("ServerError")})
        route = self.route(self.PRIVATE, fallbacks=BIG_TAKES_OVER)
        assert isinstance(decide(route, self.SECRET, 0.0, moment), Reject)

    def test_what_a_rule_excludes_is_left_out(self) -> None:
        without = Rule("no-small", When(min_chars=0), exclude=("small",))
        assert choice(decide(self.route(without), ASK, 0.0)) == ("big", "weight 10")

    WORDS = Rule("words", When(any_keyword=("SECRET",)), fail_closed=True)

    @pytest.mark.parametrize(
        ("facts", "inside"),
        [
            ({"everything": "a SECRET in a tool's answer"}, True),
            ({"text": "a SECRET that the body does not have"}, False),
            ({"unseen": True}, True),
            ({"everything": "nothing"}, False),
        ],
        ids=str,
    )
    def test_words_that_close_are_looked_for_in_all_that_there_is(self, facts: dict[str, Any], inside: bool) -> None:
        found = decide(self.route(self.WORDS), Facts("chat", **facts), 0.99)
        assert choice(found)[0] == ("small" if inside else "big")

    def test_what_cannot_be_seen_is_excluded_by_a_closed_rule_alone_and_only_where_the_rest_holds(self) -> None:
        unseen = Facts("chat", unseen=True)
        excluding = Rule("words", When(any_keyword=("SECRET",)), exclude=("big",))
        other = Rule("words", When(any_keyword=("SECRET",), tiers=("vip",)), fail_closed=True)
        assert choice(decide(self.route(excluding, other), unseen, 0.99))[0] == "big"

    def test_a_peer_is_never_one_that_is_barred_was_tried_or_cannot_answer(self) -> None:
        three = policy(*TWO, backend("third", 5))
        found = next_peer(three, ("small",), Moment(), frozenset({"big"}), 0.99)
        assert found == Forward(three.table.backends["third"], "weight 5", frozenset({"big"}))
        moment = Moment({"third": Trouble("ServerError")})
        assert next_peer(three, ("small",), moment, frozenset({"big"}), 0.0) is None

    def test_peers_carry_the_share_by_their_weights(self) -> None:
        four = policy(*TWO, backend("third", 30))
        found = [next_peer(four, ("small",), Moment(), frozenset(), draw / 40) for draw in range(40)]
        assert [f.backend.name for f in found if f] == ["big"] * 10 + ["third"] * 30

    def test_a_request_that_may_go_nowhere_says_so(self) -> None:
        nobody = Rule("none", When(min_chars=0), exclude=("small", "big"))
        found = decide(self.route(nobody), ASK, 0.0)
        assert isinstance(found, Reject)
        assert found.reason == "no_allowed_backend"


@pytest.mark.parametrize(("how", "who"), [("Hold", "small"), ("Reject", "small"), ("Fallback", "big")])
def test_the_status_gives_the_share_of_a_cold_backend_to_whom_the_router_gives_it(how: Any, who: str) -> None:
    snapshot = cold(how).snapshot
    assert [s.backend.name for s in shares(snapshot.backends, snapshot.fallbacks)] == [who]
