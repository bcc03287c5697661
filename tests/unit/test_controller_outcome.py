"""What the API server refused is in the status, once, and in an event when it is news."""

import msgspec
import pytest

from modelroute.api.status import BackendStatus, Condition, Status
from modelroute.controller import outcome
from modelroute.controller.kube.calls import ApiError, Call
from modelroute.controller.kube.kinds import DEPLOYMENT, SERVICE

NOW, LATER = "2026-05-01T08:00:00Z", "2026-05-01T09:00:00Z"
FORBIDDEN = ApiError(Call("patch", DEPLOYMENT, "a", "d"), 403, "no right to create")
INVALID = ApiError(Call("patch", SERVICE, "a", "s"), 422, "port taken")
GOOD = Status(
    observed_generation=4,
    conditions=(
        Condition("Accepted", "True", "Accepted", "", NOW, 4),
        Condition("Programmed", "True", "Programmed", "", NOW, 4),
    ),
)


def programmed(status: Status) -> Condition:
    [found] = [c for c in status.conditions if c.type == "Programmed"]
    return found


def test_without_a_refusal_nothing_changes() -> None:
    assert outcome.with_refusals(GOOD, [], None, LATER) is GOOD


def test_a_refusal_is_told_with_what_was_refused() -> None:
    told = programmed(outcome.with_refusals(GOOD, [FORBIDDEN], GOOD, LATER))
    assert (told.status, told.reason, told.observed_generation) == ("False", "Forbidden", 4)
    assert told.message == "cannot patch Deployment/d: no right to create"


def test_what_is_invalid_is_not_a_matter_of_rights() -> None:
    assert programmed(outcome.with_refusals(GOOD, [INVALID], None, NOW)).reason == "ApplyFailed"


def test_all_refusals_are_told_in_one_order() -> None:
    one = outcome.with_refusals(GOOD, [FORBIDDEN, INVALID], GOOD, NOW)
    assert one == outcome.with_refusals(GOOD, [INVALID, FORBIDDEN, INVALID], GOOD, NOW)
    assert "Deployment/d" in programmed(one).message
    assert "Service/s" in programmed(one).message


def test_the_time_of_change_is_kept_while_it_stays_false() -> None:
    before = outcome.with_refusals(GOOD, [FORBIDDEN], GOOD, NOW)
    after = outcome.with_refusals(GOOD, [INVALID], before, LATER)
    assert programmed(after).last_transition_time == NOW


def test_other_conditions_stay() -> None:
    assert outcome.with_refusals(GOOD, [INVALID], GOOD, NOW).conditions[0] == GOOD.conditions[0]


def test_news_is_an_event_once() -> None:
    told = outcome.with_refusals(GOOD, [INVALID], GOOD, NOW)
    [event] = outcome.refusal_events(told, [INVALID], GOOD)
    assert (event.type, event.reason, event.message) == ("Warning", "ApplyFailed", str(INVALID))
    assert outcome.refusal_events(told, [INVALID], told) == ()


def test_without_a_refusal_there_is_no_event() -> None:
    assert outcome.refusal_events(GOOD, [], None) == ()


def test_a_status_is_written_without_what_is_not_set() -> None:
    written = outcome.encoded(Status(backends=(BackendStatus("big", "External", 100),)))
    assert written["backends"] == [{"name": "big", "type": "External", "effectiveWeight": 100, "message": ""}]


def test_a_status_is_read_as_it_was_written() -> None:
    assert outcome.read(outcome.encoded(GOOD)) == GOOD


@pytest.mark.parametrize("stored", [None, {}, {"conditions": "x"}, {"observedGeneration": "4"}, 7])
def test_a_status_that_cannot_be_read_is_none(stored: object) -> None:
    assert outcome.read(stored) is None


@pytest.mark.parametrize(("status", "lasting"), [(0, False), (401, False), (403, True), (409, False), (422, True)])
def test_what_a_person_must_mend_is_told_from_what_passes(status: int, *, lasting: bool) -> None:
    assert ApiError(Call("get", SERVICE, "a", "s"), status, "").lasting is lasting


def test_the_end_of_a_namespace_is_nothing_to_mend() -> None:
    assert not ApiError(Call("get", SERVICE, "a", "s"), 403, "", ending=True).lasting


def test_what_a_newer_operator_wrote_is_passed_over() -> None:
    newer = msgspec.to_builtins(GOOD) | {"fromTheFuture": 1}
    assert outcome.read(newer) == GOOD
