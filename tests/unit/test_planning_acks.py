"""What routers say that they run, and what Programmed, Ready and Events make of it."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from modelroute.api import types as t
from modelroute.api.status import Condition, Status
from modelroute.planning.observed import Observed, Pod, Told
from modelroute.planning.plan import Plan
from tests.fakes import world
from tests.fakes.manifests import HOSTED, VLLM

BACKENDS = [VLLM, HOSTED]
ROUTE = world.route(backends=BACKENDS)
WARM = world.settled(ROUTE, slices=world.ready("10.0.0.1"))
FIRST = world.planned(ROUTE, WARM)
NEWEST = Told(FIRST.revision, 3)
OLDER = Told("0ld", 2)
REFUSING = Told("0ld", 2, error="snapshot format 3 is not known to this router (it knows 2)")
DEAF = Told(error="no connection within 1 s", asked=False)


def condition(found: Plan, type_: str) -> Condition:
    return next(c for c in found.status.conditions if c.type == type_)


def programmed(*told: Told | None, old: Status | None = None) -> tuple[str, str, str]:
    """Status, reason and message where the first router says the first of ``told``, and so on."""
    asked = world.route(old=old, backends=BACKENDS)
    found = condition(world.planned(asked, world.with_routers(WARM, *told)), "Programmed")
    return found.status, found.reason, found.message


class TestProgrammed:
    def test_all_run_the_newest(self) -> None:
        assert programmed(NEWEST) == ("True", "RoutersUpToDate", "2 of 2 routers run generation 3")

    @pytest.mark.parametrize(
        ("told", "says"),
        [
            (OLDER, "chat-router-1 runs 2"),
            (Told(), "chat-router-1 runs nothing yet"),
            (Told("0ld", 3), "chat-router-1 runs an earlier state of it"),
            (None, "chat-router-1 has not told yet what it runs"),
        ],
    )
    def test_one_lags(self, told: Told | None, says: str) -> None:
        assert programmed(NEWEST, told) == ("False", "RoutersLagging", f"1 of 2 routers run generation 3; {says}")

    def test_one_refuses_and_is_named_with_its_error(self) -> None:
        says = f"chat-router-1 cannot take revision {FIRST.revision}: {REFUSING.error}"
        assert programmed(NEWEST, REFUSING) == (
            "False",
            "SnapshotRefused",
            f"1 of 2 routers run generation 3; {says}",
        )

    def test_one_that_refused_something_and_runs_the_newest_is_well(self) -> None:
        assert programmed(NEWEST, replace(NEWEST, error="gone"))[0] == "True"

    def test_one_cannot_be_asked_and_it_is_said_what_to_check(self) -> None:
        says = (
            "1 of 2 routers run generation 3; chat-router-1 cannot be asked (no connection within 1 s); "
            "the operator must reach port 8001 of router pods: check that NetworkPolicies let it"
        )
        assert programmed(NEWEST, DEAF) == ("False", "RoutersUnreachable", says)

    def test_a_refusal_comes_before_what_may_mend_itself(self) -> None:
        assert programmed(DEAF, REFUSING)[1] == "SnapshotRefused"

    def test_of_many_pods_three_are_named(self) -> None:
        asked = world.route(backends=BACKENDS, router={"replicas": 5})
        seen = world.with_routers(world.settled(asked, slices=world.ready("10.0.0.1")), OLDER, count=5)
        assert condition(world.planned(asked, seen), "Programmed").message.endswith("chat-router-2 runs 2; and 2 more")

    def test_a_router_that_is_not_ready_yet_does_not_count(self) -> None:
        routers = (world.router_pod(0), world.router_pod(1, ready=False))
        seen = replace(WARM, pods=routers, told={p.name: NEWEST for p in routers})
        assert condition(world.planned(ROUTE, seen), "Programmed").message == "1 of 2 routers run generation 3"

    def test_routers_within_other_pods_count_alike(self) -> None:
        sidecars = tuple(world.router_pod(n, component="sidecar") for n in range(2))
        seen = replace(WARM, pods=sidecars, told={p.name: NEWEST for p in sidecars})
        assert condition(world.planned(ROUTE, seen), "Programmed").status == "True"

    def test_the_status_counts_them(self) -> None:
        found = world.planned(ROUTE, world.with_routers(WARM, NEWEST, OLDER)).status.router
        assert (found.current_replicas, found.ready_replicas) == (1, 2)


class TestCalm:
    """No condition flaps for what is in order."""

    def test_an_operator_that_has_just_begun_keeps_the_picture(self) -> None:
        assert programmed(None, old=FIRST.status) == programmed(NEWEST)
        assert world.planned(
            world.route(old=FIRST.status, backends=BACKENDS), world.with_routers(WARM, None)
        ).status == (FIRST.status)

    def test_it_does_not_believe_in_a_snapshot_that_is_newer_than_the_status(self) -> None:
        older = msgspec.structs.replace(FIRST.status.router, revision="0ld")
        assert programmed(None, old=msgspec.structs.replace(FIRST.status, router=older))[0] == "False"

    def test_it_does_not_believe_in_routers_that_the_status_did_not_count(self) -> None:
        fewer = msgspec.structs.replace(FIRST.status.router, current_replicas=1)
        assert programmed(None, old=msgspec.structs.replace(FIRST.status, router=fewer))[0] == "False"

    def rewritten(self, seconds: float, *told: Told, generation: int = 3) -> Plan:
        """The plan so long after a replica came, with routers that say this of it."""
        seen = world.settled(ROUTE, slices=world.ready("10.0.0.1", "10.0.0.2"))
        for child in seen.children:
            child["metadata"]["managedFields"] = [{"time": world.NOW}]
        asked = world.route(old=FIRST.status, generation=generation, backends=BACKENDS)
        return world.planned_at(asked, world.with_routers(seen, *told), world.moment(world.NOW) + seconds)

    def test_a_snapshot_of_the_same_spec_is_on_its_way_for_a_moment(self) -> None:
        found = self.rewritten(9, NEWEST)
        assert condition(found, "Programmed").status == "True"
        assert found.look_again == world.moment(world.NOW) + 10

    def test_after_that_it_should_have_come(self) -> None:
        found = self.rewritten(10, NEWEST)
        message = "0 of 2 routers run generation 3; chat-router-0 runs an earlier state of it"
        assert condition(found, "Programmed").message.startswith(message)
        assert found.look_again is None

    def test_a_snapshot_of_another_spec_has_to_be_there(self) -> None:
        assert condition(self.rewritten(1, NEWEST, generation=4), "Programmed").reason == "RoutersLagging"

    def test_ready_stays_while_a_new_snapshot_is_on_its_way(self) -> None:
        assert condition(self.rewritten(1, NEWEST, generation=4), "Ready").status == "True"


class TestReady:
    def ready(self, *told: Told | None, old: Status | None = None) -> str:
        asked: t.ModelRoute = world.route(old=old, backends=BACKENDS)
        return condition(world.planned(asked, world.with_routers(WARM, *told)), "Ready").status

    @pytest.mark.parametrize("told", [None, OLDER, Told("0ld", 3), Told()])
    def test_a_fresh_route_is_not_ready_before_a_router_runs_the_newest_snapshot(self, told: Told | None) -> None:
        assert (self.ready(told), self.ready(told, NEWEST)) == ("False", "True")

    def test_it_waits_for_the_snapshot_with_the_first_replica(self) -> None:
        only = world.route(backends=[VLLM])
        cold = world.settled(only)
        before = world.planned(only, cold)
        assert (condition(before, "Programmed").status, condition(before, "Ready").status) == ("True", "False")
        warm = world.settled(only, slices=world.ready("10.0.0.1"))
        for child in warm.children:
            child["metadata"]["managedFields"] = [{"time": world.NOW}]
        asked = world.route(old=before.status, backends=[VLLM])
        found = world.planned(asked, replace(warm, told=cold.told))
        assert (condition(found, "Programmed").status, condition(found, "Ready").status) == ("True", "False")

    def test_routers_that_cannot_be_asked_do_not_keep_it_from_being_ready(self) -> None:
        assert (self.ready(DEAF), self.ready(DEAF, OLDER)) == ("True", "False")


class TestEvents:
    def told(self, before: Observed, after: Observed, generation: int = 3) -> list[str]:
        old = world.planned(ROUTE, before).status
        asked = world.route(old=old, generation=generation, backends=BACKENDS)
        return [event.reason for event in world.planned(asked, after, world.LATER).events]

    def test_a_refusal_is_told(self) -> None:
        assert self.told(WARM, world.with_routers(WARM, REFUSING)) == ["SnapshotRefused"]

    def test_a_second_router_that_refuses_is_no_news(self) -> None:
        assert self.told(world.with_routers(WARM, NEWEST, REFUSING), world.with_routers(WARM, REFUSING)) == []

    def test_the_refusal_of_another_spec_is(self) -> None:
        refusing = world.with_routers(WARM, REFUSING)
        assert self.told(refusing, refusing, generation=4) == ["SnapshotRefused"]

    @pytest.mark.parametrize("told", [OLDER, DEAF])
    def test_what_routers_may_mend_by_themselves_is_not(self, told: Told) -> None:
        assert self.told(WARM, world.with_routers(WARM, NEWEST, told)) == []

    def test_routers_that_caught_up_are_no_news(self) -> None:
        assert self.told(world.with_routers(WARM, NEWEST, OLDER), WARM) == []

    def test_routers_that_refuse_no_more_are(self) -> None:
        assert self.told(world.with_routers(WARM, NEWEST, REFUSING), WARM) == ["Programmed"]


def test_pods_that_end_are_not_asked() -> None:
    ending: Any = {"ending": True}
    pods: tuple[Pod, ...] = (world.router_pod(0, **ending), world.router_pod(1, address=""), world.router_pod(2))
    found = world.planned(ROUTE, replace(WARM, pods=pods)).asking
    assert found.routers == (("chat-router-2", "10.0.9.2:8001"),)
