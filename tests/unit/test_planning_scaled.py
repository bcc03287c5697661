"""What scaling decides, as a plan carries it: the Deployment, endpoints without who rests, status, Events, errands."""

from dataclasses import replace
from typing import Any

import pytest

from modelroute.api import types as t
from modelroute.planning import names
from modelroute.planning.errands import Mark
from modelroute.planning.observed import Engine, KubeObject, Observed, Pod, Slice, Told
from modelroute.planning.plan import Plan
from modelroute.planning.scaling.demand import Sample, after
from modelroute.planning.status import report
from modelroute.planning.status.events import Event
from tests.fakes import world
from tests.fakes.scaled import NOW, demanded, pod

SCALING: dict[str, Any] = {"minReplicas": 1, "maxReplicas": 4}


def slices(*pods: Pod, named: bool = True) -> dict[str, tuple[Slice, ...]]:
    """EndpointSlices of the backend with these pods, all of them ready."""
    found = tuple((p.address, p.name if named else "") for p in pods)
    return {"chat--small": (world.pods()._replace(endpoints=found),)}


def seen(*pods: Pod, scaling: dict[str, Any] = SCALING, **more: Any) -> Observed:
    """A world in which a first plan was carried out and these replicas run."""
    return replace(world.settled(world.of_vllm(scaling=scaling)), pods=pods, slices=slices(*pods), **more)


def planned(observed: Observed, *, then: dict[str, Any] | None = None, **scaling: Any) -> Plan:
    """The plan for a route whose status is of a first one, in which all was calm."""
    asked = SCALING | scaling
    old = world.planned(world.of_vllm(scaling=asked), replace(observed, demand={}, pods=(), engines={})).status
    return world.planned(world.route(old=old, backends=[backend(then or asked)]), observed)


def backend(scaling: dict[str, Any]) -> dict[str, Any]:
    return {"name": "small", "vllm": {"model": "org/small"}, "scaling": scaling}


def deployment(found: Plan) -> KubeObject:
    [one] = [o for o in found.objects if o["metadata"]["name"] == "chat--small" and o["kind"] == "Deployment"]
    return one


def test_the_number_stands_in_the_deployment_twice() -> None:
    found = deployment(planned(seen(pod(1), demand=demanded(19, 80))))
    assert (found["spec"]["replicas"], found["metadata"]["annotations"][names.REPLICAS_ANNOTATION]) == (3, "3")


def test_a_number_changes_nothing_by_which_pods_are_started_anew() -> None:
    calm, busy = planned(seen(pod(1))), planned(seen(pod(1), demand=demanded(19, 80)))
    assert deployment(calm)["spec"]["template"] == deployment(busy)["spec"]["template"]


def test_it_is_told_in_status_and_event() -> None:
    found = planned(seen(pod(1), demand=demanded(19, 80)))
    [small] = found.status.backends
    assert small.scaling is not None
    assert (small.desired_replicas, small.scaling.floor, len(small.scaling.decisions)) == (3, 1, 1)
    reason = "19 requests in flight, target 8 a replica"
    assert Event("Normal", "Scaled", f"small 1 → 3: {reason}") in found.events


def test_of_another_engine_the_live_number_is_told() -> None:
    calm = seen(pod(1))
    live = calm.child("Deployment", "chat--small")
    assert live is not None
    live["spec"]["replicas"] = 7
    [small] = planned(calm, engine="HPA").status.backends
    assert (small.desired_replicas, small.sleeping_replicas) == (7, None)


@pytest.mark.parametrize("mark", ["draining", "sleeping"])
@pytest.mark.parametrize("named", [True, False])
def test_a_marked_replica_is_no_endpoint(mark: str, named: bool) -> None:
    marked: dict[str, Any] = {mark: NOW}
    pods = (pod(1), replace(pod(2), **marked))
    observed = replace(seen(*pods), slices=slices(*pods, named=named))
    [small] = planned(observed).snapshot.backends
    assert small.endpoints == ("10.0.0.1:8000",)


def test_one_that_sleeps_is_no_endpoint_though_its_mark_was_lost() -> None:
    [small] = planned(seen(pod(1), pod(2), engines={"small-2": Engine(sleeping=True)})).snapshot.backends
    assert small.endpoints == ("10.0.0.1:8000",)


@pytest.mark.parametrize("named", [True, False])
def test_another_pod_that_got_an_address_of_old_is_an_endpoint(named: bool) -> None:
    """A pod that ended may still be listed when its address is given to the next one."""
    ended = pod(2, draining=NOW, ending=True)
    fresh = replace(pod(3), address=ended.address)
    observed = replace(seen(fresh), pods=(ended, fresh), slices=slices(fresh, named=named))
    [small] = planned(observed).snapshot.backends
    assert small.endpoints == ("10.0.0.2:8000",)


def test_errands_and_the_next_look_are_handed_on() -> None:
    found = planned(seen(pod(1, draining=NOW - 60), demand=demanded(4)))
    assert [type(e) for e in found.errands] == [Mark]
    two = seen(pod(1), pod(2, draining=NOW - 60), scaling={"minReplicas": 2})
    found = planned(two, then={"minReplicas": 1}, minReplicas=2, maxReplicas=None)
    assert found.look_again == NOW + 240


def test_two_backends_look_again_at_the_sooner_moment() -> None:
    quiet = after(None, Sample(NOW - 20), t.Scaling())
    quiet = after(quiet, Sample(NOW - 10), t.Scaling())
    early = after(None, Sample(NOW - 14), t.Scaling())
    both = [{"name": n, "vllm": {"model": "org/m"}, "scaling": SCALING} for n in ("a", "b")]
    found = world.planned(world.route(backends=both), Observed(demand={"a": early, "b": quiet}))
    assert found.look_again == NOW + 40


def after_one_replica(facts: dict[str, Any], **scaling: Any) -> list[str]:
    """The reasons of the Events when the only replica, which is busy, comes to be so and is no endpoint any more."""
    before = seen(pod(1))
    old = world.planned(world.route(backends=[backend(SCALING)]), before).status
    then = replace(before, pods=(pod(1, **facts),), slices={}, engines={"small-1": Engine(running=1)})
    return [event.reason for event in world.planned(world.route(old=old, backends=[backend(scaling)]), then).events]


def test_a_replica_that_is_lost_is_told_of() -> None:
    assert "BackendNotReady" in after_one_replica({"ready": False}, minReplicas=1)


def test_one_that_was_sent_to_rest_is_not_lost() -> None:
    """It is left alone before the number is lowered."""
    assert "BackendNotReady" not in after_one_replica({"draining": NOW}, minReplicas=0)


def test_a_service_that_lost_its_pods_is_told_of() -> None:
    """Nobody here decides on its replicas, and so none of them was sent to rest."""
    asked: dict[str, Any] = {"backends": [world.BEHIND]}
    observed = Observed(slices={"legacy": (world.pods("10.0.0.1", name="web"),)}, services={"legacy": world.LEGACY})
    old = world.planned(world.route(**asked), observed).status
    lost = world.planned(world.route(old=old, **asked), replace(observed, slices={}))
    assert "BackendNotReady" in [event.reason for event in lost.events]


def test_a_snapshot_that_is_not_written_makes_no_router_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    marked = {"minReplicas": 1, "maxReplicas": None}
    calm = seen(pod(1), pod(2, draining=NOW - 9), scaling={"minReplicas": 2}, engines={"small-2": Engine()})
    then = world.route(backends=[backend(marked)])
    revision = world.planned(then, calm).revision
    live = calm.child("ConfigMap", "chat-router-snapshot")
    assert live is not None
    live["metadata"]["annotations"][names.REVISION_ANNOTATION] = revision
    router = Pod("router", "router", "", "10.1.0.1", NOW - 5000, ready=True)
    heard = replace(calm, pods=(*calm.pods, router), told={"router": Told(revision)})
    assert deployment(world.planned(then, heard))["spec"]["replicas"] == 1
    monkeypatch.setattr(report, "MAX_SNAPSHOT_BYTES", 10)
    assert deployment(world.planned(then, heard))["spec"]["replicas"] == 2


class TestMessage:
    def message(self, observed: Observed, **more: Any) -> str:
        return planned(observed, **more).status.backends[0].message

    def test_of_those_asleep(self) -> None:
        sleeps = {"minReplicas": 2, "idle": {"action": "Sleep"}}
        observed = seen(pod(1), pod(2, sleeping=NOW - 9), scaling=SCALING | sleeps)
        assert self.message(observed, **sleeps) == "1 of 2 replicas are ready, 1 asleep"

    def test_of_those_about_to_go(self) -> None:
        observed = seen(pod(1), pod(2, draining=NOW - 9), scaling={"minReplicas": 2})
        said = self.message(observed, then={"minReplicas": 1}, minReplicas=2, maxReplicas=None)
        assert said == "1 of 2 replicas are ready, 1 about to go"

    def test_of_a_backend_at_zero(self) -> None:
        rests = {"minReplicas": 0}
        assert self.message(seen(scaling=SCALING | rests), **rests) == (
            "scaling.minReplicas is 0: none is kept while nobody asks, and a request starts one"
        )

    @pytest.mark.parametrize(
        ("engine", "kind", "condition", "said"),
        [
            ("HPA", "HorizontalPodAutoscaler", ("ScalingActive", "False", "NoMetric"), ": NoMetric: why"),
            ("HPA", "HorizontalPodAutoscaler", ("ScalingActive", "True", "ValidMetricFound"), None),
            ("HPA", "HorizontalPodAutoscaler", ("ScalingLimited", "False", "DesiredWithinRange"), None),
            ("KEDA", "ScaledObject", ("Ready", "False", "CheckFailed"), ": CheckFailed: why"),
            ("KEDA", "ScaledObject", ("Ready", "False", "TriggerError"), ": why: does Prometheus scrape the routers?"),
            ("KEDA", "ScaledObject", ("Active", "False", "ScalerNotActive"), None),
            ("External", "HorizontalPodAutoscaler", ("ScalingActive", "False", "NoMetric"), None),
        ],
    )
    def test_of_an_autoscaler_that_does_nothing(
        self, engine: str, kind: str, condition: tuple[str, str, str], said: str | None
    ) -> None:
        told = dict(zip(("type", "status", "reason"), condition, strict=True), message="why")
        autoscaler = {"kind": kind, "metadata": {"name": "chat--small"}, "status": {"conditions": [told]}}
        observed = seen(pod(1))
        asked = {"engine": engine} | ({"serverAddress": "http://prometheus.svc"} if engine == "KEDA" else {})
        message = self.message(replace(observed, children=(*observed.children, autoscaler)), **asked)
        assert message.startswith("1 of 1 replicas are ready")
        assert message.endswith(said or "are ready")

    def test_of_replicas_without_a_gpu(self) -> None:
        why = "no node can take the pod: Insufficient nvidia.com/gpu"
        observed = seen(pod(1), demand=demanded(19, 80), troubles={"chat--small": why})
        assert self.message(observed) == f"1 of 3 replicas are ready: {why}"
