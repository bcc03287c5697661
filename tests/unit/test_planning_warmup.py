"""What is asked of replicas before clients ask them, and at slots; and what the status says of it."""

import pytest

from modelroute.api.status import WarmupStatus
from modelroute.planning.errands import CloseGate, WarmUp
from modelroute.planning.observed import Observed, Pod
from modelroute.planning.requests import first_request
from modelroute.planning.times.moments import rfc3339
from tests.fakes.manifests import VLLM
from tests.fakes.replicas import NOW, SLOT, SMALL, START, answered, asked, replica, warm, warm_up
from tests.fakes.world import of_vllm, planned, ready, route

GATE = warm_up(opens=START + 60)


class TestBeforeTraffic:
    """The readiness gate."""

    def test_a_replica_that_has_loaded_is_asked_for_its_first_answer(self) -> None:
        assert asked(replica()).errands == (GATE,)

    @pytest.mark.parametrize(
        "pod",
        [
            warm(),
            replica(gated=False),
            replica(loaded=None),
            replica(address=""),
            replica(ending=True),
            replica(sleeping=NOW),
            replica(backend="other"),
        ],
        ids=["open", "no gate", "loads", "no address", "goes", "sleeps", "of another backend"],
    )
    def test_no_other_is(self, pod: Pod) -> None:
        assert asked(pod).errands == ()

    def test_it_is_asked_as_the_manifest_says_by_the_name_that_it_serves(self) -> None:
        request = {"prompt": "Say hi", "maxTokens": 5, "timeout": "2m"}
        [errand] = asked(replica(), backend=VLLM | {"model": "org/one", "warmup": {"request": request}}).errands
        assert errand == warm_up(model="org/one", prompt="Say hi", max_tokens=5, timeout=120.0, opens=START + 60)

    def test_an_ipv6_address_is_bracketed(self) -> None:
        [errand] = asked(replica(address="fd00::1")).errands
        assert isinstance(errand, WarmUp)
        assert errand.address == "[fd00::1]:8000"

    def test_a_container_that_was_started_again_is_taken_out_first(self) -> None:
        assert asked(warm(started=START + 70)).errands == (CloseGate("small-1"),)

    def test_a_first_answer_is_asked_for_again_as_long_as_it_fails(self) -> None:
        assert asked(replica(), warm_ups={"small-1": answered(error="/health said 500")}).errands == (GATE,)

    def test_the_request_after_waking_opens_no_gate_and_is_of_no_slot(self) -> None:
        asks = route(backends=[SMALL])
        assert first_request(asks.spec.backends[0], warm()) == warm_up()

    def test_the_plan_has_it(self) -> None:
        assert planned(route(backends=[SMALL]), Observed(pods=(replica(),))).errands == (GATE,)


class TestFirstAnswers:
    """What the status says of them."""

    def test_the_newest_is_told(self) -> None:
        found = asked(warm(), warm("small-2"), warm_ups={"small-1": answered(NOW - 9, 0.5), "small-2": answered(NOW)})
        assert found.statuses == {"small": WarmupStatus(rfc3339(NOW), 310)}

    def test_a_failed_one_is_not(self) -> None:
        assert asked(replica(), warm_ups={"small-1": answered(error="no")}).statuses == {}

    def test_nothing_changes_while_there_is_none_newer(self) -> None:
        old = WarmupStatus(rfc3339(NOW), 7, 1, "morning: one failed", {"morning": SLOT})
        found = asked(warm(), backend=SMALL, warm_ups={"small-1": answered()}, old=old)
        assert found.statuses == {"small": old}

    def test_an_operator_that_has_just_begun_keeps_what_was_told(self) -> None:
        old = WarmupStatus(rfc3339(NOW), 7, 1, "morning: one failed", {"morning": SLOT})
        assert asked(warm(), backend=SMALL, old=old).statuses == {"small": old}

    def test_slots_are_kept(self) -> None:
        old = WarmupStatus(rfc3339(NOW - 50), slots={"morning": SLOT})
        found = asked(warm(), backend=SMALL, warm_ups={"small-1": answered()}, old=old)
        assert found.statuses["small"].slots == {"morning": SLOT}


class TestWhatIsStuck:
    """A replica that stays out of traffic is told of, with why."""

    WHY = "small-2 gets no requests before its first answer: /health said 500"

    def test_it_is_in_the_backends_message(self) -> None:
        seen = Observed(pods=(warm(), replica("small-2")), slices=ready("10.0.0.1"), stuck={"small-2": self.WHY})
        [backend] = planned(of_vllm(scaling={"minReplicas": 2}), seen).status.backends
        assert backend.message == f"1 of 2 replicas are ready: {self.WHY}"

    def test_of_many_some_are_told_and_the_others_counted(self) -> None:
        pods = tuple(replica(f"small-{n}") for n in range(5))
        seen = Observed(pods=pods, stuck={p.name: f"{p.name} fails" for p in pods} | {"gone": "gone fails"})
        [backend] = planned(of_vllm(), seen).status.backends
        assert backend.message.endswith(": small-0 fails; small-1 fails; small-2 fails; and 2 more")
