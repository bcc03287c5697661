"""What holds of every decision, whatever the snapshot."""

import random
from collections import Counter
from typing import Any

import msgspec
from hypothesis import assume, given
from hypothesis import strategies as st

from modelroute.policy.cohort import place
from modelroute.policy.decide import Forward, Policy, Reject, compile_policy, decide, next_backend
from modelroute.policy.facts import Facts
from modelroute.snapshot.types import Backend, Canary, Fallback, Rule, Snapshot, Timeouts, When
from modelroute.snapshot.weights import shares

TIMEOUTS = Timeouts(connect=1, first_token_streamed=60, first_token_whole=600, stream_idle=60)
NAMES = ("a", "b", "c", "d")
names = st.sampled_from(NAMES)
NOBODY = Facts("m")
draws = st.floats(0, 1, exclude_max=True)
facts = st.builds(
    Facts,
    model=st.just("m"),
    text=st.text(max_size=20),
    user=st.none() | st.text(max_size=5),
    tier=st.none() | st.just("vip"),
)
backends = st.tuples(
    *(
        st.builds(Backend, st.just(n), st.integers(0, 100), st.just(TIMEOUTS), st.sampled_from(((), ("h:1",))))
        for n in NAMES
    )
)
whens = st.builds(When, any_keyword=st.just(()) | st.just(("x", "0")), tiers=st.just(()) | st.just(("vip",)))
fallbacks = st.lists(
    st.builds(Fallback, names, st.sets(st.sampled_from(("ColdStart", "Timeout"))).map(tuple)), max_size=3
).map(tuple)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    candidates = draw(backends)
    assume(sum(b.weight for b in candidates))
    rules = draw(st.lists(st.builds(Rule, st.just("r"), whens, st.lists(names, min_size=1).map(tuple)), max_size=3))
    canary = draw(st.none() | st.builds(Canary, names, st.integers(0, 100), st.none() | names))
    return compile_policy(Snapshot("n", "r", 1, ("m",), candidates, tuple(rules), canary, draw(fallbacks)))


@given(policies(), facts, draws)
def test_who_is_chosen_can_answer(policy: Policy, ask: Facts, draw: float) -> None:
    decision = decide(policy, ask, draw)
    assert not isinstance(decision, Forward) or decision.backend.endpoints


@given(policies(), facts, draws)
def test_a_request_is_refused_only_when_no_weighted_backend_and_no_stand_in_can_answer(
    policy: Policy, ask: Facts, draw: float
) -> None:
    if shares(policy.snapshot.backends, policy.snapshot.fallbacks):
        assert isinstance(decide(policy, ask, draw), Forward)


@given(policies(), facts, draws)
def test_a_decision_depends_on_nothing_but_its_arguments(policy: Policy, ask: Facts, draw: float) -> None:
    assert decide(policy, ask, draw) == decide(policy, ask, draw)


@given(policies())
def test_shares_are_of_one_whole(policy: Policy) -> None:
    found = shares(policy.snapshot.backends, policy.snapshot.fallbacks)
    assert not found or abs(sum(s.share for s in found) - 1) < 1e-9


@given(policies(), st.sampled_from(("ColdStart", "Timeout")))
def test_a_chain_of_failures_ends(policy: Policy, failure: str) -> None:
    tried: list[str] = []
    while found := next_backend(policy, tried, failure):  # type: ignore[arg-type]
        assert found.backend.name not in tried
        tried.append(found.backend.name)


@given(policies())
def test_the_shares_in_a_status_are_those_of_the_draws(policy: Policy) -> None:
    plain = compile_policy(msgspec.structs.replace(policy.snapshot, rules=(), canary=None))
    told: dict[str, float] = dict.fromkeys(NAMES, 0.0)
    for share in shares(plain.snapshot.backends, plain.snapshot.fallbacks):
        told[share.backend.name] += share.share
    chance = random.Random(11)
    drawn = Counter(
        d.backend.name for _ in range(2000) if isinstance(d := decide(plain, NOBODY, chance.random()), Forward)
    )
    assert all(abs(drawn[name] / 2000 - told[name]) < 0.06 for name in NAMES)


outside = st.sets(names, max_size=3)


@given(policies(), outside, facts, draws, st.sampled_from(("ColdStart", "Timeout")))
def test_a_request_under_a_closed_rule_never_leaves(
    policy: Policy, outside: set[str], ask: Facts, draw: float, failure: Any
) -> None:
    kinds = {True: "External", False: "Internal"}
    marked = tuple(msgspec.structs.replace(b, data_policy=kinds[b.name in outside]) for b in policy.snapshot.backends)
    closed = Rule("private", When(), fail_closed=True)
    private = compile_policy(
        msgspec.structs.replace(policy.snapshot, backends=marked, rules=(*policy.snapshot.rules, closed))
    )
    decision = decide(private, ask, draw)
    if isinstance(decision, Reject):
        return
    assert decision.backend.name not in outside
    tried = [decision.backend.name]
    while found := next_backend(private, tried, failure, bars=decision.barred):
        assert found.backend.name not in outside
        tried.append(found.backend.name)


@given(st.text(max_size=30), st.integers(0, 100), st.integers(0, 100))
def test_a_user_who_is_in_a_canary_stays_in_as_it_grows(user: str, low: int, high: int) -> None:
    def chosen(percent: int) -> str:
        pair = (Backend("old", 1, TIMEOUTS, ("h:1",)), Backend("new", 0, TIMEOUTS, ("h:2",)))
        found = decide(
            compile_policy(Snapshot("n", "r", 1, ("m",), pair, canary=Canary("new", percent))), Facts("m", user=user), 0
        )
        assert isinstance(found, Forward)
        return found.backend.name

    if chosen(min(low, high)) == "new":
        assert chosen(max(low, high)) == "new"


def test_a_canarys_percentage_is_its_share_of_users() -> None:
    inside = sum(place("team-a/chat", f"user-{i}") < 5 for i in range(20_000))
    assert 0.045 < inside / 20_000 < 0.055


def test_two_routes_do_not_try_their_canaries_on_the_same_users() -> None:
    both = sum(place("a/x", f"user-{i}") < 10 and place("a/y", f"user-{i}") < 10 for i in range(20_000))
    assert 0.005 < both / 20_000 < 0.015


def test_weights_and_an_anonymous_canary_do_not_lean_on_each_other() -> None:
    trio = (
        Backend("a", 50, TIMEOUTS, ("h:1",)),
        Backend("b", 50, TIMEOUTS, ("h:2",)),
        Backend("c", 0, TIMEOUTS, ("h:3",)),
    )
    policy = compile_policy(Snapshot("n", "r", 1, ("m",), trio, canary=Canary("c", 20, baseline="a")))
    chance = random.Random(7)
    count = Counter(
        d.backend.name for _ in range(20_000) if isinstance(d := decide(policy, Facts("m"), chance.random()), Forward)
    )
    assert 0.48 < count["b"] / 20_000 < 0.52
    assert 0.09 < count["c"] / 20_000 < 0.11
