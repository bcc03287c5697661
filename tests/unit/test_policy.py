"""What decides who answers: each behaviour of rules, weights, canary and fallback by itself."""

from typing import Any

import pytest

from modelroute.api.types import FailureKind
from modelroute.policy.decide import Forward, Hold, Policy, Reject, compile_policy, decide, next_backend
from modelroute.policy.facts import Facts
from modelroute.snapshot.types import Backend, Canary, Fallback, Rule, Snapshot, Timeouts, When
from modelroute.snapshot.weights import shares

TIMEOUTS = Timeouts(connect=1, first_token_streamed=60, first_token_whole=600, stream_idle=60)
ASK = Facts(model="chat")
PLAIN_RULES = (
    Rule("code", When(any_keyword=("def ", "class ", "import ", "{", "}")), ("big",)),
    Rule("long", When(min_chars=401), ("big",)),
)
ALWAYS: tuple[FailureKind, ...] = ("ColdStart", "ConnectFailure", "Timeout", "RateLimited", "ServerError")


def backend(name: str, weight: int = 1, *, ready: bool = True) -> Backend:
    return Backend(name, weight, TIMEOUTS, endpoints=("10.0.0.1:8000",) if ready else ())


def policy(*backends: Backend, **more: Any) -> Policy:
    return compile_policy(Snapshot("team-a", "chat", 1, ("chat",), backends, **more))


def choice(decision: Forward | Hold | Reject) -> tuple[str, str]:
    assert isinstance(decision, Forward)
    return decision.backend.name, decision.reason


TWO = (backend("small", 90), backend("big", 10))
COLD = (backend("small", 90, ready=False), backend("big", 10))


class TestRules:
    @pytest.mark.parametrize("text", ["def f(): pass", "class A", "import os", "a {", "}", "x" * 401])
    def test_the_plain_rule_sends_code_and_long_texts_to_the_strong_model(self, text: str) -> None:
        decision = decide(policy(*TWO, rules=PLAIN_RULES), Facts("chat", text=text), 0.0)
        assert choice(decision)[0] == "big"

    @pytest.mark.parametrize("text", ["definitely", "Class", "x" * 400, ""])
    def test_the_plain_rule_leaves_the_rest_to_the_weights(self, text: str) -> None:
        assert choice(decide(policy(*TWO, rules=PLAIN_RULES), Facts("chat", text=text), 0.0)) == ("small", "weight 90")

    def test_the_first_rule_that_holds_decides(self) -> None:
        rules = (Rule("a", When(min_chars=1), ("small",)), Rule("b", When(min_chars=1), ("big",)))
        assert choice(decide(policy(*TWO, rules=rules), Facts("chat", text="x"), 0.99)) == ("small", "rule a")

    def test_all_conditions_of_a_rule_must_hold(self) -> None:
        rules = (Rule("a", When(min_chars=1, tiers=("vip",)), ("big",)),)
        assert choice(decide(policy(*TWO, rules=rules), Facts("chat", text="x", tier="free"), 0.0))[0] == "small"

    def test_a_tier_is_preferred(self) -> None:
        rules = (Rule("vip", When(tiers=("vip", "staff")), ("big",)),)
        assert choice(decide(policy(*TWO, rules=rules), Facts("chat", tier="staff"), 0.0)) == ("big", "rule vip")

    @pytest.mark.parametrize(("value", "name"), [("secret", "big"), ("Secret", "small"), (None, "small")])
    def test_a_header_must_have_just_the_value(self, value: str | None, name: str) -> None:
        rules = (Rule("private", When(headers={"x-data": "secret"}), ("big",)),)
        facts = Facts("chat", headers={"x-data": value} if value else {})
        assert choice(decide(policy(*TWO, rules=rules), facts, 0.0))[0] == name

    def test_a_text_may_have_a_greatest_length(self) -> None:
        rules = (Rule("short", When(max_chars=3), ("big",)),)
        assert choice(decide(policy(*TWO, rules=rules), Facts("chat", text="four"), 0.0))[0] == "small"

    def test_the_greatest_length_is_within(self) -> None:
        rules = (Rule("short", When(max_chars=4), ("big",)),)
        assert choice(decide(policy(*TWO, rules=rules), Facts("chat", text="four"), 0.0))[0] == "big"

    def test_of_the_preferred_the_first_that_is_ready_answers(self) -> None:
        rules = (Rule("a", When(min_chars=0), ("small", "big")),)
        assert choice(decide(policy(*COLD, rules=rules), ASK, 0.0)) == ("big", "rule a")

    def test_a_preferred_backend_without_replica_is_stood_in_for(self) -> None:
        backends = (backend("small", 90), backend("big", 10, ready=False), backend("hosted", 0))
        found = policy(
            *backends, rules=(Rule("a", When(min_chars=0), ("big",)),), fallbacks=(Fallback("hosted", ALWAYS),)
        )
        assert choice(decide(found, ASK, 0.0)) == ("hosted", "fallback ColdStart")

    def test_a_canary_without_baseline_leaves_a_rules_stand_in_alone(self) -> None:
        backends = (backend("small", 90), backend("big", 10, ready=False), backend("hosted", 0), backend("next", 0))
        rules = (Rule("a", When(min_chars=0), ("big",)),)
        fallbacks = (Fallback("hosted", ALWAYS),)
        found = policy(*backends, rules=rules, fallbacks=fallbacks, canary=Canary("next", 100))
        assert choice(decide(found, Facts("chat", user="u"), 0.0))[0] == "hosted"

    def test_a_rule_that_nobody_can_serve_leaves_the_request_to_the_weights(self) -> None:
        found = policy(
            backend("small"), backend("big", 0, ready=False), rules=(Rule("a", When(min_chars=0), ("big",)),)
        )
        assert choice(decide(found, ASK, 0.0)) == ("small", "weight 1")


class TestWeights:
    @pytest.mark.parametrize(("draw", "name"), [(0.0, "small"), (0.899, "small"), (0.901, "big"), (0.999999, "big")])
    def test_the_draw_falls_by_weight(self, draw: float, name: str) -> None:
        assert choice(decide(policy(*TWO), ASK, draw))[0] == name

    def test_a_backend_without_weight_is_never_drawn(self) -> None:
        found = policy(backend("small", 0), backend("big", 1))
        assert {choice(decide(found, ASK, draw / 100))[0] for draw in range(100)} == {"big"}

    def test_the_share_of_a_cold_backend_goes_to_its_fallback(self) -> None:
        backends = (*COLD, backend("hosted", 0))
        found = policy(*backends, fallbacks=(Fallback("hosted", ("ColdStart",)),))
        assert choice(decide(found, ASK, 0.5)) == ("hosted", "fallback ColdStart")

    def test_a_fallback_for_other_failures_does_not_take_a_cold_share(self) -> None:
        backends = (*COLD, backend("hosted", 0))
        found = policy(*backends, fallbacks=(Fallback("hosted", ("Timeout",)),))
        assert choice(decide(found, ASK, 0.5)) == ("big", "weight 10")

    def test_without_any_ready_backend_the_request_is_refused(self) -> None:
        found = decide(policy(backend("small", ready=False)), ASK, 0.5)
        assert isinstance(found, Reject)
        assert found.reason == "no_ready_backend"
        assert "small" in found.message

    def test_shares_tell_what_each_backend_gets(self) -> None:
        found = [(s.backend.name, round(s.share, 3)) for s in shares((*TWO, backend("third", 100, ready=False)), ())]
        assert found == [("small", 0.9), ("big", 0.1)]


class TestCanary:
    def test_an_allowed_user_is_in_at_zero_percent(self) -> None:
        found = policy(*TWO, canary=Canary("big", 0, allow=("u-17",)))
        assert choice(decide(found, Facts("chat", user="u-17"), 0.0)) == ("big", "canary allow list")

    def test_nobody_else_is_in_at_zero_percent(self) -> None:
        found = policy(*TWO, canary=Canary("big", 0))
        assert {choice(decide(found, Facts("chat", user=f"u-{i}"), 0.0))[0] for i in range(200)} == {"small"}

    def test_everybody_is_in_at_a_hundred_percent(self) -> None:
        found = policy(*TWO, canary=Canary("big", 100))
        assert {choice(decide(found, Facts("chat", user=f"u-{i}"), 0.0))[0] for i in range(200)} == {"big"}

    def test_only_the_baselines_requests_are_moved(self) -> None:
        found = policy(*TWO, backend("next", 0), canary=Canary("next", 100, baseline="small"))
        assert choice(decide(found, Facts("chat", user="u"), 0.95))[0] == "big"

    def test_a_rule_that_chose_the_baseline_is_moved_too(self) -> None:
        rules = (Rule("vip", When(tiers=("vip",)), ("small",)),)
        found = policy(*TWO, backend("next", 0), rules=rules, canary=Canary("next", 100, baseline="small"))
        assert choice(decide(found, Facts("chat", user="u", tier="vip"), 0.0)) == ("next", "canary")

    def test_without_a_baseline_a_rule_stands(self) -> None:
        rules = (Rule("vip", When(tiers=("vip",)), ("small",)),)
        found = policy(*TWO, backend("next", 0), rules=rules, canary=Canary("next", 100))
        assert choice(decide(found, Facts("chat", user="u", tier="vip"), 0.0)) == ("small", "rule vip")

    def test_a_cold_canary_gets_nothing(self) -> None:
        found = policy(*TWO, backend("next", 0, ready=False), canary=Canary("next", 100))
        assert choice(decide(found, Facts("chat", user="u"), 0.0))[0] == "small"

    def test_requests_without_a_user_are_drawn(self) -> None:
        found = policy(*TWO, backend("next", 0), canary=Canary("next", 100))
        assert choice(decide(found, ASK, 0.0)) == ("next", "canary by chance")


class TestFallback:
    def test_it_takes_over_on_what_it_is_declared_for(self) -> None:
        found = next_backend(policy(*TWO, fallbacks=(Fallback("big", ("Timeout",)),)), ("small",), "Timeout")
        assert found
        assert choice(found) == ("big", "fallback Timeout")

    def test_it_leaves_other_failures_alone(self) -> None:
        assert next_backend(policy(*TWO, fallbacks=(Fallback("big", ("Timeout",)),)), ("small",), "ServerError") is None

    def test_none_is_asked_twice(self) -> None:
        assert next_backend(policy(*TWO, fallbacks=(Fallback("big", ALWAYS),)), ("small", "big"), "Timeout") is None

    def test_one_without_replica_is_passed_over(self) -> None:
        backends = (*TWO, backend("cold", 0, ready=False))
        found = next_backend(
            policy(*backends, fallbacks=(Fallback("cold", ALWAYS), Fallback("big", ALWAYS))), ("small",), "Timeout"
        )
        assert found
        assert found.backend.name == "big"


class TestFactsAskedFor:
    @pytest.mark.parametrize(
        ("when", "asked"),
        [
            (When(any_keyword=("x",)), (False, True)),
            (When(min_chars=1), (True, False)),
            (When(max_chars=1), (True, False)),
            (When(tiers=("vip",)), (False, False)),
        ],
    )
    def test_texts_are_gathered_for_rules_that_read_them(self, when: When, asked: tuple[bool, bool]) -> None:
        found = policy(*TWO, rules=(Rule("a", when, ("big",)),))
        assert (found.counts_chars, found.has_keywords, found.keeps_away) == (*asked, False)

    def test_all_texts_are_gathered_for_a_rule_with_words_that_keeps_away(self) -> None:
        assert policy(*TWO, rules=(Rule("a", When(any_keyword=("x",)), (), ("big",)),)).keeps_away

    @pytest.mark.parametrize("keyword", ['say "x"', "a\\b", "and/or", "two\nlines", "\ud83d"])
    def test_words_that_json_may_write_in_two_ways_are_not_looked_for_in_bytes(self, keyword: str) -> None:
        assert policy(*TWO, rules=(Rule("a", When(any_keyword=("x", keyword)), ("big",)),)).keywords is None
        assert policy(*TWO, rules=(Rule("a", When(any_keyword=("x", "é")), ("big",)),)).keywords == frozenset(
            (b"x", "é".encode())
        )

    def test_headers_of_rules_and_identity_are_named(self) -> None:
        rules = (Rule("a", When(headers={"x-task": "code"}), ("big",)),)
        found = policy(*TWO, rules=rules, user_header="x-user", tier_header="x-tier")
        assert found.header_names == {"x-task", "x-user", "x-tier"}
