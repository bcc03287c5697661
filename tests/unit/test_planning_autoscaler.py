"""The autoscalers that the operator makes: their bounds, what they count by, and what takes them away again."""

import re
from dataclasses import replace
from typing import Any

import pytest

from modelroute.api.status import condition_of
from modelroute.planning import names
from modelroute.planning.observed import KubeObject, Observed
from modelroute.planning.plan import Plan, plan
from tests.fakes import world
from tests.fakes.manifests import VLLM

URL = "http://prometheus.monitoring.svc:9090"


def planned(seen: Observed | None = None, url: str = URL, **scaling: Any) -> Plan:
    settings = replace(world.SETTINGS, prometheus_url=url)
    return plan(world.of_vllm(scaling=scaling), seen or Observed(), settings, world.moment(world.NOW))


def made(**scaling: Any) -> KubeObject:
    """The spec of the one autoscaler."""
    [found] = [o for o in planned(**scaling).objects if o["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")]
    assert found["metadata"]["name"] == "chat--small"
    spec = found["spec"]
    assert isinstance(spec, dict)
    return spec


def query(mode: str = "Gateway", **scaling: Any) -> str:
    """What KEDA asks Prometheus."""
    backend = VLLM | {"scaling": {"engine": "KEDA", "serverAddress": URL} | scaling}
    found = world.made(world.route(backends=[backend], router={"mode": mode}), "ScaledObject", "chat--small")
    asked: str = found["spec"]["triggers"][0]["metadata"]["query"]
    return asked


def kinds(found: Plan) -> set[str]:
    return {o["kind"] for o in found.objects} & {"HorizontalPodAutoscaler", "ScaledObject"}


@pytest.mark.parametrize(
    ("engine", "expected"),
    [("BuiltIn", set()), ("External", set()), ("HPA", {"HorizontalPodAutoscaler"}), ("KEDA", {"ScaledObject"})],
)
def test_each_engine_has_its_own(engine: str, expected: set[str]) -> None:
    assert kinds(planned(engine=engine)) == expected


class TestHPA:
    def test_it_keeps_the_floor_and_goes_no_further_than_the_most(self) -> None:
        spec = made(engine="HPA", minReplicas=2, maxReplicas=6)
        assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 6)

    def test_without_a_most_load_brings_none(self) -> None:
        assert made(engine="HPA", minReplicas=2)["maxReplicas"] == 2

    def test_it_scales_the_backends_deployment(self) -> None:
        assert made(engine="HPA")["scaleTargetRef"] == {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "name": "chat--small",
        }

    @pytest.mark.parametrize(("metric", "name"), [({}, "vllm_num_requests_running"), ({"metric": "queue"}, "queue")])
    def test_it_counts_by_a_metric_of_the_pods(self, metric: dict[str, str], name: str) -> None:
        [found] = made(engine="HPA", targetInFlight=16, **metric)["metrics"]
        target = {"type": "AverageValue", "averageValue": "16"}
        assert found == {"type": "Pods", "pods": {"metric": {"name": name}, "target": target}}

    def test_it_looks_back_as_long_as_was_said(self) -> None:
        behavior = made(engine="HPA", scaleUp={"stabilization": "1500ms"}, scaleDown={"stabilization": "1h"})[
            "behavior"
        ]
        assert (behavior["scaleUp"], behavior["scaleDown"]) == (
            {"stabilizationWindowSeconds": 2},
            {"stabilizationWindowSeconds": 3600},
        )


class TestKEDA:
    def test_it_goes_to_zero_where_that_is_asked_for(self) -> None:
        spec = made(engine="KEDA", minReplicas=0, maxReplicas=3, idle={"after": "10m"})
        assert (spec["minReplicaCount"], spec["maxReplicaCount"], spec["cooldownPeriod"]) == (0, 3, 600)

    @pytest.mark.parametrize("action", ["None", "Sleep"])
    def test_else_one_replica_stays(self, action: str) -> None:
        assert made(engine="KEDA", minReplicas=0, idle={"action": action})["minReplicaCount"] == 1

    def test_it_asks_what_the_routers_of_the_route_have_in_flight_and_waiting_and_what_met_no_replica(self) -> None:
        [trigger] = made(engine="KEDA", targetInFlight=4)["triggers"]
        assert (trigger["type"], trigger["metadata"]["threshold"]) == ("prometheus", "4")
        asked = re.findall(r"(modelroute_\w+)\{([^}]*)\}", trigger["metadata"]["query"])
        metrics = ("in_flight", "waiting", "cold_total")
        of = 'namespace="team-a",route="chat",backend="small"'
        assert asked == [(f"modelroute_requests_{metric}", of) for metric in metrics]

    def test_many_requests_that_met_no_replica_bring_one_and_no_more(self) -> None:
        *load, cold = query().split(" + ")
        assert not [term for term in load if "cold" in term]
        assert re.fullmatch(r"clamp_max\(sum\(increase\(\w+\{.*\}\[3m\]\)\) or vector\(0\), 0\.01\)", cold)

    @pytest.mark.parametrize("mode", ["Gateway", "Sidecar"])
    def test_where_no_router_was_ever_scraped_there_is_no_answer_and_that_is_an_error(self, mode: str) -> None:
        """A sum of nothing is nothing, and so is what it is added to: only what is added to it may be 0 instead."""
        assert made(engine="KEDA")["triggers"][0]["metadata"]["ignoreNullValues"] == "false"
        told, _, gone = query(mode).partition(" or 0 * sum(")
        *load, _ = told.split(" + ")
        assert "vector" not in "".join((*load, gone))

    def test_routers_within_other_pods_that_went_with_these_have_nothing(self) -> None:
        gone = query("Sidecar", idle={"after": "20m"}, scaleDown={"stabilization": "5m"}).partition(" or 0 * ")[2]
        known = r"last_over_time\(modelroute_requests_in_flight\{.*\}\[1800s\]\)"
        assert re.fullmatch(rf"sum\({known} unless on \(namespace, pod\) up == 0\)", gone)

    def test_routers_of_its_own_are_always_there_to_say_so(self) -> None:
        assert "last_over_time" not in query("Gateway")

    @pytest.mark.parametrize(("own", "address"), [({}, URL), ({"serverAddress": "http://own.svc"}, "http://own.svc")])
    def test_a_backends_own_prometheus_goes_before_the_installations(self, own: Any, address: str) -> None:
        assert made(engine="KEDA", **own)["triggers"][0]["metadata"]["serverAddress"] == address

    def test_without_a_prometheus_it_is_said_what_to_do_and_the_rest_goes_on(self) -> None:
        found = planned(url="", engine="KEDA")
        told = condition_of(found.status, "ResolvedRefs")
        assert told is not None
        assert (told.status, told.reason) == ("False", "PrometheusUnknown")
        assert told.message.startswith("spec.backends[0].scaling.serverAddress: KEDA counts by Prometheus")
        assert kinds(found) == set()
        assert [o["kind"] for o in found.objects if o["kind"] == "Deployment"] == ["Deployment"] * 2

    def test_a_backend_that_runs_still_answers_then(self) -> None:
        seen = Observed(slices=world.ready("10.0.0.1"))
        assert planned(seen, url="", engine="KEDA").snapshot.backends[0].endpoints == ("10.0.0.1:8000",)


def settled(engine: str) -> Observed:
    return Observed(children=tuple(world.live(o) for o in planned(engine=engine, maxReplicas=4).objects))


def orphans(found: Plan) -> list[str]:
    return [o["kind"] for o in found.orphans]


def noted(found: Plan) -> bool:
    [deployment] = [o for o in found.objects if o["metadata"]["name"] == "chat--small" and o["kind"] == "Deployment"]
    return names.SCALED_OBJECT_ANNOTATION in deployment["metadata"]["annotations"]


@pytest.mark.parametrize(("engine", "kind"), [("HPA", "HorizontalPodAutoscaler"), ("KEDA", "ScaledObject")])
def test_an_autoscaler_goes_with_its_engine(engine: str, kind: str) -> None:
    assert orphans(planned(settled(engine), engine="BuiltIn", maxReplicas=4)) == [kind]


def test_a_scaled_object_is_remembered_until_it_is_gone() -> None:
    seen = settled("KEDA")
    assert noted(planned(seen, engine="External"))
    gone = replace(seen, children=tuple(c for c in seen.children if c["kind"] != "ScaledObject"))
    assert not noted(planned(gone, engine="External"))
