"""Any history of requests and probes: nobody stays out for ever, or too long, and the choice is never too small."""

from hypothesis import given
from hypothesis import strategies as st

from modelroute.policy.ejection import Vitals, chosen_from
from modelroute.snapshot.types import Health

HEALTH = st.builds(
    Health,
    consecutive_failures=st.integers(1, 5),
    success_percent=st.integers(0, 100),
    window=st.floats(0, 60),
    window_requests=st.integers(1, 10),
    ejection=st.floats(0, 30),
    max_ejection=st.floats(0, 300),
    max_ejected_percent=st.integers(0, 100),
    interval=st.floats(0, 30),
    path=st.sampled_from(["", "/health"]),
)
EVENTS = st.lists(
    st.tuples(st.floats(0, 20), st.sampled_from(["good", "bad", "bad", "fatal", "probe good", "probe bad", "trial"])),
    max_size=80,
)


def play(vitals: Vitals, now: float, event: str) -> bool:
    """One event, as a router would have it: a probe or a trial only where one is due."""
    if event == "good":
        return vitals.succeeded(now)
    if event in ("bad", "fatal"):
        return vitals.failed(now, fatal=event == "fatal")
    if event == "trial":
        vitals.trial(now)
        return False
    return vitals.probe_due(now) and vitals.probed(now, ok=event == "probe good")


@given(HEALTH, EVENTS)
def test_every_change_is_told_and_none_is_for_ever(settings: Health, events: list[tuple[float, str]]) -> None:
    vitals, now = Vitals(settings), 0.0
    for passed, event in events:
        now += passed
        before, times = vitals.ejected, vitals.times
        assert play(vitals, now, event) == (vitals.ejected != before)
        assert 0 <= vitals.times <= times + 1
        if vitals.ejected and not before:
            assert event in ("bad", "fatal", "probe bad")
            assert vitals.times >= 1
        if vitals.ejected:
            assert vitals.ejected_until <= now + settings.max_ejection
    while vitals.ejected:
        now = max(now, vitals.ejected_until) + settings.interval + settings.ejection
        assert play(vitals, now, "probe good") or (vitals.trial(now) and vitals.succeeded(now))


@given(HEALTH, st.lists(st.none() | st.floats(0, 100), max_size=12))
def test_the_choice_keeps_all_that_are_well_and_enough_of_the_rest(
    settings: Health, states: list[float | None]
) -> None:
    many = [Vitals(settings) for _ in states]
    for one, until in zip(many, states, strict=True):
        if until is not None:
            one.ejected, one.ejected_until = True, until
    chosen, down = chosen_from(many, settings)
    assert {i for i, until in enumerate(states) if until is None} <= set(chosen)
    assert len(chosen) >= min(1, len(states))
    assert (len(states) - len(chosen)) * 100 <= len(states) * settings.max_ejected_percent
    assert down == (bool(states) and None not in states)
    left_out = [one.ejected_until for i, one in enumerate(many) if i not in chosen]
    given_another = [many[i].ejected_until for i in chosen if many[i].ejected]
    assert not left_out or not given_another or max(given_another) <= min(left_out)
    # Nobody who is out is given another chance while more could be left out.
    assert (
        not given_another or (len(left_out) + 1) * 100 > len(states) * settings.max_ejected_percent or len(chosen) == 1
    )


@given(st.lists(st.booleans(), min_size=1, max_size=200), st.floats(0.01, 3))
def test_the_rate_is_that_of_the_last_half_to_whole_window(answers: list[bool], step: float) -> None:
    settings = Health(consecutive_failures=10_000, success_percent=50, window=10.0, window_requests=5)
    vitals, history = Vitals(settings), list[tuple[float, bool]]()
    for number, good in enumerate(answers):
        now = number * step
        vitals.succeeded(now) if good else vitals.failed(now)
        history.append((now, good))
        if vitals.ejected:
            recent = [
                [ok for at, ok in history if at >= since]
                for since in {now - 5, now - 10} | {at for at, _ in history if now - 10 <= at <= now - 5}
            ]
            assert any(len(some) >= 5 and sum(some) * 2 < len(some) for some in recent)
            return
        last_half = [ok for at, ok in history if at > now - 5 + 1e-9]
        whole = [ok for at, ok in history if at > now - 10 - 1e-9]
        if not good:
            assert len(last_half) < 5 or any(sum(whole[i:]) * 2 >= len(whole[i:]) for i in range(len(whole)))
