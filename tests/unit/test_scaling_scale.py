"""One backend's replicas: the number that is there, and what the status tells of its changes."""

from typing import Any

import msgspec
import pytest

from modelroute.api import types as t
from modelroute.api.status import Decision, ScalingStatus, Status
from modelroute.planning import names
from modelroute.planning.observed import Observed
from modelroute.planning.scaling.demand import Sample, after
from modelroute.planning.scaling.scale import due
from modelroute.planning.times.moments import rfc3339
from tests.fakes import world
from tests.fakes.fleet import deployment
from tests.fakes.scaled import ANY, NOW, decided, demanded, pod, said, seen, told

BLIND = "load is not heeded: looks at the pods are more than 15 s apart"


class TestTheNumberThatIsThere:
    def test_a_new_backend_begins_with_its_floor(self) -> None:
        assert decided(Observed(), minReplicas=2).replicas == 2

    def test_it_is_the_one_that_was_decided(self) -> None:
        assert decided(seen(number=3)).replicas == 3

    def test_what_somebody_else_made_of_it_is_not(self) -> None:
        assert decided(Observed(children=(deployment(3, 9),))).replicas == 3

    def test_of_an_older_operator_it_is_the_one_that_is_there(self) -> None:
        assert decided(Observed(children=(deployment(None, 4),))).replicas == 4

    @pytest.mark.parametrize("noted", ["x", "-1", "9" * 5000, ""])
    def test_one_that_is_no_number_is_passed_over(self, noted: str) -> None:
        live = deployment(3)
        live["metadata"]["annotations"] = {names.REPLICAS_ANNOTATION: noted}
        assert decided(Observed(children=(live,))).replicas == 3

    def test_a_deployment_that_was_deleted_comes_back_as_it_was(self) -> None:
        assert decided(Observed(), old=said(4)).replicas == 4

    @pytest.mark.parametrize("engine", ["HPA", "KEDA", "External"])
    def test_another_engine_decides_itself(self, engine: str) -> None:
        found = decided(Observed(children=(deployment(3, 5),)), engine=engine, minReplicas=1)
        assert (found.replicas, found.desired, found.errands) == (None, 5, ())


class TestAnotherEngine:
    """What we marked before it took over is left to nobody."""

    @pytest.mark.parametrize("engine", ["HPA", "KEDA", "External"])
    def test_all_answer_again(self, engine: str) -> None:
        pods = (pod(1, draining=NOW - 9), pod(2, sleeping=NOW - 9), pod(3), pod(4))
        found = decided(seen(*pods, number=4, asleep=(2, 4)), engine=engine, minReplicas=1)
        assert told(found.errands) == [("-draining", "small-1"), ("Wake", "small-2"), ("Wake", "small-4")]
        assert (found.replicas, found.sleeping, found.draining) == (None, 2, 0)

    def test_those_that_are_about_to_end_stay_marked(self) -> None:
        """The number was lowered just before: whoever is unmarked may be asked, and ends."""
        found = decided(seen(pod(1), pod(2, draining=NOW - 9), number=1), engine="External")
        assert (found.errands, found.draining) == ((), 1)


class TestAClockThatWasAhead:
    def changed(self, at: float) -> Decision:
        return Decision(rfc3339(at), 1, 4, "x")

    def test_its_decisions_keep_nothing_back(self) -> None:
        found = decided(seen(pod(1), number=4, demand=demanded(4)), old=said(4, self.changed(NOW + 3600)))
        assert found.replicas == 1

    @pytest.mark.parametrize("at", [NOW - 59, NOW + 60])
    def test_a_little_of_that_is_no_matter(self, at: float) -> None:
        found = decided(seen(pod(1), number=4, demand=demanded(4)), old=said(4, self.changed(at)))
        assert found.replicas == 4


class TestTold:
    def test_a_change_is_told_until_the_status_has_it(self) -> None:
        """The plan is made again after the number was written, and before the status is."""
        busy = demanded(19, 80)
        first = decided(seen(pod(1), number=1, demand=busy), old=said(1))
        again = decided(seen(pod(1), number=3, demand=busy), old=said(1))
        reason = "19 requests in flight, target 8 a replica"
        assert first.status is not None
        assert first.status.decisions == (Decision(world.NOW, 1, 3, reason),)
        assert (again.replicas, again.status) == (3, first.status)

    def test_a_change_before_an_interruption_is_told_after_it(self) -> None:
        found = decided(seen(pod(1), number=3), old=said(1))
        assert found.status is not None
        assert (found.replicas, found.status.decisions[0].after) == (3, 3)
        assert found.status.decisions[0].reason == "decided before the operator was interrupted"

    def test_a_burst_whose_replicas_were_just_asked_for_does_not_let_them_go(self) -> None:
        burst = demanded(1, 400)["small"]
        for at in (1, 2, 3, 4, 5, 6):
            burst = after(burst, Sample(NOW + at, in_flight=30), t.Scaling(max_replicas=6))
        found = decided(seen(pod(1), number=4, demand={"small": burst}), old=said(1), now=NOW + 6)
        assert (found.replicas, found.errands) == (4, ())

    def test_the_newest_five_are_kept(self) -> None:
        before = tuple(Decision(rfc3339(NOW - 900 - n), n, n + 1, "x") for n in range(5))
        found = decided(seen(pod(1), number=1, demand=demanded(19, 80)), old=said(1, *before))
        assert found.status is not None
        assert [d.reason for d in found.status.decisions] == ["19 requests in flight, target 8 a replica", *"xxxx"]

    def test_a_first_status_tells_of_no_change(self) -> None:
        found = decided(Observed(), minReplicas=2)
        assert found.status == ScalingStatus(floor=2)

    def test_quiet_is_told_after_a_minute_where_it_matters(self) -> None:
        def since(quiet: float, **more: Any) -> str | None:
            world_ = seen(pod(1), number=1, demand=demanded(0, quiet=quiet))
            found = decided(world_, old=said(1), **more)
            assert found.status is not None
            return found.status.idle_since

        assert (since(NOW - 59), since(NOW - 60)) == (None, rfc3339(NOW - 60))
        assert since(NOW - 60, idle={"action": "None"}) is None
        assert since(NOW - 60, minReplicas=1, maxReplicas=None) is None

    @pytest.mark.parametrize(("knows", "told"), [(None, 1700), (1698, 1700), (1600, 1600), (1800, 1800), (5, None)])
    def test_after_a_restart_quiet_is_what_routers_know(self, knows: float | None, told: float | None) -> None:
        """What was told stays where they say nothing, or nearly the same: a restart writes nothing."""
        fresh = {} if knows is None else {"small": after(None, Sample(NOW, quiet_for=knows), t.Scaling())}
        found = decided(seen(pod(1), number=1, demand=fresh), old=said(1, idle_since=rfc3339(NOW - 1700)))
        assert found.status is not None
        assert found.status.idle_since == (told and rfc3339(NOW - told))

    @pytest.mark.parametrize(("most", "message"), [(6, BLIND), (None, "")])
    def test_looks_that_are_too_far_apart_are_told_where_load_matters(self, most: int | None, message: str) -> None:
        demand = {"small": after(after(None, Sample(NOW - 20), t.Scaling()), Sample(NOW), t.Scaling())}
        found = decided(seen(pod(1), number=1, demand=demand), old=said(1), maxReplicas=most, minReplicas=1)
        assert found.status.message == message

    def test_quiet_ends_with_a_request(self) -> None:
        asked = {"small": after(None, Sample(NOW, requests=1), t.Scaling())}
        found = decided(seen(pod(1), number=1, demand=asked), old=said(1, idle_since=rfc3339(NOW - 1700)))
        assert found.status == ScalingStatus()

    def test_after_a_request_the_old_quiet_does_not_come_back(self) -> None:
        demand = after(after(None, Sample(NOW - 2, requests=1), t.Scaling()), Sample(NOW), t.Scaling())
        old = said(1, idle_since=rfc3339(NOW - 1700))
        found = decided(seen(pod(1), number=1, demand={"small": demand}), old=old)
        assert found.status == ScalingStatus()


class TestMoments:
    def test_the_end_of_quiet(self) -> None:
        quiet = demanded(0, quiet=NOW - 100)
        found = decided(seen(pod(1, loaded=NOW - 5000, created=NOW - 9000), number=1, demand=quiet), old=said(1))
        assert found.look_again == NOW + 1700

    def test_quiet_that_is_to_be_told(self) -> None:
        found = decided(seen(pod(1), number=1, demand=demanded(0, quiet=NOW - 10)), old=said(1))
        assert found.look_again == NOW + 50

    def test_the_end_of_a_window(self) -> None:
        found = decided(seen(pod(1), number=2, demand=demanded(12, 100)), old=said(2))
        assert found.look_again is not None
        assert NOW + 295 <= found.look_again <= NOW + 305

    def test_after_a_restart_the_end_of_the_first_minute(self) -> None:
        fresh = {"small": after(None, Sample(NOW - 10, quiet_for=1890), t.Scaling())}
        ready = pod(1, loaded=NOW - 5000, created=NOW - 9000)
        old = said(1, idle_since=rfc3339(NOW - 1900))
        assert decided(seen(ready, number=1, demand=fresh), old=old).look_again == NOW + 50

    def test_none_where_only_the_spec_decides(self) -> None:
        assert decided(seen(pod(1), number=1), old=said(1), minReplicas=1, maxReplicas=None).look_again is None


class TestDue:
    def asked(self, observed: Observed, old: Status | None) -> bool:
        return due(msgspec.structs.replace(world.of_vllm(scaling=ANY), status=old), observed, NOW)

    def test_nothing_is_at_rest(self) -> None:
        assert not self.asked(seen(pod(1), number=1, demand=demanded(4, 80)), said(1))

    def test_load_that_changes_the_number_is(self) -> None:
        assert self.asked(seen(pod(1), number=1, demand=demanded(19, 80)), said(1))

    def test_an_errand_is(self) -> None:
        assert self.asked(seen(pod(1, sleeping=NOW), number=1, demand=demanded(4, 80)), said(1))

    def test_a_backend_that_the_status_does_not_know_is(self) -> None:
        assert self.asked(seen(pod(1), number=1), None)
