"""Whom the operator asks, and how often; and of what it need not ask at all."""

from dataclasses import replace
from typing import Any

import pytest

from modelroute.planning.asking import COLD_SECONDS, RESTING_SECONDS, SAMPLED_SECONDS, Asking
from modelroute.planning.observed import Observed, Pod
from tests.fakes import world
from tests.fakes.manifests import HOSTED, VLLM

SCALING: dict[str, Any] = {"minReplicas": 1, "maxReplicas": 4}


def replica(name: str, **fields: Any) -> Pod:
    return replace(Pod(name, "backend", "small", "10.0.0.1", 0.0, ready=True), **fields)


def asked(*pods: Pod, warm: bool = True, scaling: dict[str, Any] | None = None, **spec: Any) -> Asking:
    route = world.route(backends=[VLLM | {"scaling": scaling or {}}, HOSTED], **spec)
    slices = world.ready("10.0.0.1") if warm else {}
    return world.planned(route, replace(world.settled(route, slices=slices), pods=pods)).asking


ROUTERS = (world.router_pod(0), world.router_pod(1))


class TestWhom:
    def test_routers_at_their_admin_port(self) -> None:
        assert asked(*ROUTERS).routers == (("chat-router-0", "10.0.9.0:8001"), ("chat-router-1", "10.0.9.1:8001"))

    def test_routers_within_other_pods_at_the_port_of_the_route(self) -> None:
        pod = world.router_pod(0, component="sidecar", address="fd00::9")
        found = asked(pod, router={"mode": "Sidecar", "sidecar": {"adminPort": 14501}})
        assert found.routers == (("chat-router-0", "[fd00::9]:14501"),)

    def test_replicas_whose_number_load_decides(self) -> None:
        [found] = asked(replica("a"), scaling=SCALING).replicas
        assert (found.pod, found.backend, found.address, found.marked) == ("a", "small", "10.0.0.1:8000", False)

    def test_replicas_among_which_routers_have_a_choice(self) -> None:
        assert [r.pod for r in asked(replica("a"), replica("b")).replicas] == ["a", "b"]
        assert asked(replica("a")).replicas == ()

    def test_a_last_replica_that_is_to_go_is_asked_whether_it_has_anything_left(self) -> None:
        [found] = asked(replica("a", draining=1.0)).replicas
        assert found.marked

    @pytest.mark.parametrize("mark", ["draining", "sleeping"])
    def test_a_replica_that_is_to_go_is_asked_though_it_is_not_ready(self, mark: str) -> None:
        [found] = asked(replica("a", ready=False, **{mark: 1.0}), scaling=SCALING).replicas
        assert found.marked

    @pytest.mark.parametrize("gone", [{"ready": False}, {"ending": True}, {"address": ""}])
    def test_nobody_else(self, gone: dict[str, Any]) -> None:
        assert not asked(replica("a", **gone), world.router_pod(0, **gone), scaling=SCALING)

    def test_nobody_of_a_route_without_routers_and_without_anything_to_scale(self) -> None:
        route = world.route(backends=[world.BEHIND], router={"mode": "None"})
        assert not world.planned(route, Observed()).asking


class TestHowOften:
    @pytest.mark.parametrize(
        ("scaling", "interval"),
        [
            ({}, RESTING_SECONDS),
            ({"minReplicas": 2, "maxReplicas": 2}, RESTING_SECONDS),
            (SCALING, SAMPLED_SECONDS),
            ({"minReplicas": 0, "maxReplicas": 1}, SAMPLED_SECONDS),
            (SCALING | {"engine": "External"}, RESTING_SECONDS),
        ],
    )
    def test_where_load_decides_often(self, scaling: dict[str, Any], interval: float) -> None:
        assert asked(*ROUTERS, scaling=scaling).interval == interval

    def test_where_a_schedule_does_too(self) -> None:
        window = {"name": "day", "start": "07:00", "end": "19:00", "minReplicas": {"small": 2}}
        assert asked(*ROUTERS, schedules=[window]).interval == SAMPLED_SECONDS

    def test_where_a_first_replica_is_waited_for_most_often(self) -> None:
        assert asked(*ROUTERS, scaling={"minReplicas": 0, "maxReplicas": 1}, warm=False).interval == COLD_SECONDS
