"""Router modes: what is made in each, what is taken away, what Programmed and Ready say."""

from dataclasses import replace
from typing import Any

import pytest

from modelroute.planning import pods
from modelroute.planning.names import SIDECAR
from modelroute.planning.observed import KubeObject, Observed, Told
from modelroute.planning.plan import Plan, plan
from tests.fakes import world
from tests.fakes.manifests import HOSTED

GATEWAY = {"Deployment", "Service", "ServiceAccount", "PodDisruptionBudget"}
LABELS = {"modelroute.dev/sidecar": "chat", "modelroute.dev/route": "chat"}


def route(mode: str, **spec: Any) -> Any:
    return world.route(**{"backends": [HOSTED], "router": {"mode": mode}} | spec)


def kinds(objects: tuple[KubeObject, ...]) -> set[str]:
    return {o["kind"] for o in objects}


def settled(mode: str, *seen: KubeObject, **spec: Any) -> Plan:
    """The plan where all is written, these pods are there, and their routers say that they run it."""
    asked = route(mode, **spec)
    written = world.settled(asked)
    there = tuple(pods.facts(p) for p in seen)
    told = {p.name: Told(world.planned(asked, written).revision, asked.metadata.generation) for p in there}
    return world.planned(asked, replace(written, pods=there, told=told))


def said(found: Plan, kind: str) -> tuple[str, str, str]:
    [condition] = [c for c in found.status.conditions if c.type == kind]
    return condition.status, condition.reason, condition.message


def pod(name: str = "shop", *, ready: bool = True, meta: Any = None, labels: Any = None, **status: Any) -> KubeObject:
    router = {"name": SIDECAR, "image": "r", "ready": ready, "state": {"running": {}}}
    return {
        "metadata": {"name": name, "labels": LABELS | (labels or {}), **(meta or {})},
        "status": {"phase": "Running", "podIP": "10.0.9.1", "initContainerStatuses": [router], **status},
    }


class TestObjects:
    def test_a_gateway_is_a_deployment_and_what_it_needs(self) -> None:
        assert kinds(world.planned(route("Gateway")).objects) == GATEWAY | {"ConfigMap"}

    @pytest.mark.parametrize("mode", ["Sidecar", "None"])
    def test_otherwise_there_is_the_configuration_alone(self, mode: str) -> None:
        assert kinds(world.planned(route(mode)).objects) == {"ConfigMap"}

    @pytest.mark.parametrize("mode", ["Sidecar", "None"])
    def test_a_change_of_mode_takes_the_gateway_away(self, mode: str) -> None:
        found = world.planned(route(mode), world.settled(route("Gateway")))
        assert kinds(found.orphans) == GATEWAY

    def test_a_change_back_takes_nothing_away(self) -> None:
        assert world.planned(route("Gateway"), world.settled(route("None"))).orphans == ()


class TestNone:
    def test_it_is_programmed_when_the_configuration_is_written(self) -> None:
        found = settled("None")
        message = f"the configuration is written, revision {found.revision}; no router is run"
        assert said(found, "Programmed") == ("True", "SnapshotWritten", message)

    def test_it_is_not_before_that(self) -> None:
        assert said(world.planned(route("None")), "Programmed")[:2] == ("False", "SnapshotNotWritten")

    def test_it_is_not_while_an_older_one_is_written(self) -> None:
        found = world.planned(route("None", models=["other"]), world.settled(route("None")))
        assert said(found, "Programmed")[:2] == ("False", "SnapshotNotWritten")

    def test_it_is_ready_when_some_backend_can_answer(self) -> None:
        assert said(settled("None"), "Ready") == ("True", "AllBackendsReady", "big external")

    def test_it_is_not_when_none_can(self) -> None:
        assert said(settled("None", backends=[world.KEYED]), "Ready")[:2] == ("False", "NoBackendReady")

    def test_it_has_no_address(self) -> None:
        router = settled("None").status.router
        assert (router.url, router.desired_replicas) == ("", 0)

    def test_a_pod_that_asks_for_a_router_counts_for_nothing(self) -> None:
        assert said(settled("None", pod(ready=False)), "Programmed")[0] == "True"

    def test_who_is_let_in_is_a_matter_of_who_runs_it(self) -> None:
        router = {"mode": "None", "auth": {"apiKeysSecretRef": {"name": "keys"}}}
        assert said(settled("None", router=router), "Ready")[0] == "True"


class TestSidecar:
    def test_without_any_pod_it_says_so(self) -> None:
        found = settled("Sidecar")
        status, reason, message = said(found, "Programmed")
        assert (status, reason) == ("True", "NoSidecars")
        assert message.startswith("no pod carries the label modelroute.dev/sidecar: chat yet")
        assert said(found, "Ready")[0] == "True"

    def test_without_webhooks_it_says_that_no_pod_will_ever_get_one(self) -> None:
        asked, alone = route("Sidecar"), replace(world.SETTINGS, injection=False)
        found = plan(asked, world.settled(asked), alone, world.moment(world.NOW))
        status, reason, message = said(found, "Programmed")
        assert (status, reason) == ("False", "NoInjection")
        assert message.startswith("this operator serves no webhooks, so pods get no router")

    def test_it_is_programmed_when_every_router_is_ready(self) -> None:
        found = settled("Sidecar", pod("a"), pod("b"))
        assert said(found, "Programmed") == ("True", "RoutersUpToDate", "2 of 2 routers run generation 3")

    def test_it_is_not_while_one_is_not(self) -> None:
        found = settled("Sidecar", pod("a"), pod("b", ready=False))
        message = "1 of 2 pods with a router in them are ready"
        assert said(found, "Programmed") == ("False", "RoutersNotReady", message)
        assert said(found, "Ready")[0] == "True"

    def test_it_is_not_ready_when_no_router_is(self) -> None:
        found = said(settled("Sidecar", pod(ready=False)), "Ready")
        assert found == ("False", "RouterNotReady", "0 of 1 pods with a router in them are ready")

    def test_a_router_that_cannot_start_says_why(self) -> None:
        waiting = {"waiting": {"reason": "ImagePullBackOff"}}
        broken = {"name": SIDECAR, "image": "none:1", "ready": False, "state": waiting}
        found = settled("Sidecar", pod(initContainerStatuses=[broken]))
        assert said(found, "Programmed")[1] == "RoutersFailing"
        assert 'image "none:1" cannot be pulled' in said(found, "Programmed")[2]

    def test_what_is_wrong_with_the_pods_own_containers_is_not_the_routers(self) -> None:
        crashes = {"name": "shop", "image": "s", "ready": False, "state": {"waiting": {"reason": "ErrImagePull"}}}
        unready = [{"type": "Ready", "status": "False"}]
        found = settled("Sidecar", pod(containerStatuses=[crashes], conditions=unready))
        assert said(found, "Programmed")[:2] == ("True", "RoutersUpToDate")

    @pytest.mark.parametrize("over", [{"phase": "Succeeded"}, {"phase": "Failed"}])
    def test_a_pod_that_has_ended_is_not_waited_for(self, over: dict[str, str]) -> None:
        assert said(settled("Sidecar", pod(ready=False, **over)), "Programmed")[1] == "NoSidecars"

    def test_a_pod_that_ends_is_not_waited_for(self) -> None:
        going = pod(ready=False, meta={"deletionTimestamp": world.NOW})
        assert said(settled("Sidecar", going), "Programmed")[1] == "NoSidecars"

    def test_the_pods_of_a_gateway_that_go_are_not_counted(self) -> None:
        old = {"metadata": {"name": "r", "labels": {"app.kubernetes.io/component": "router"}}, "status": {}}
        assert said(settled("Sidecar", old), "Programmed")[1] == "NoSidecars"

    def test_its_address_is_on_the_pods_loopback(self) -> None:
        asked = {"mode": "Sidecar", "sidecar": {"port": 9000}}
        assert settled("Sidecar", router=asked).status.router.url == "http://127.0.0.1:9000/v1"

    def test_without_the_clients_keys_nobody_is_let_in(self) -> None:
        asked = {"mode": "Sidecar", "auth": {"apiKeysSecretRef": {"name": "keys"}}}
        assert said(settled("Sidecar", router=asked), "Ready")[:2] == ("False", "ClientKeysMissing")

    def test_a_name_that_is_taken_is_named(self) -> None:
        found = world.planned(route("Sidecar"), Observed(foreign=("ConfigMap/chat-router-snapshot",)))
        assert said(found, "Programmed")[:2] == ("False", "NameConflict")


class TestPods:
    """A pod with a router in it is someone else's, whatever its other labels say."""

    CLAIMS = ("router", "backend")

    @pytest.mark.parametrize("component", CLAIMS)
    def test_it_is_no_pod_of_a_deployment_of_ours(self, component: str) -> None:
        labels = {"app.kubernetes.io/component": component, "modelroute.dev/backend": "small"}
        assert pods.deployment_of(pod(labels=labels)) == ""

    @pytest.mark.parametrize("component", CLAIMS)
    def test_it_is_a_sidecar(self, component: str) -> None:
        labels = {"app.kubernetes.io/component": component, "modelroute.dev/backend": "small"}
        found = pods.facts(pod(labels=labels))
        assert (found.component, found.backend, found.ready) == ("sidecar", "", True)

    def test_one_without_the_router_is_not_ready(self) -> None:
        found = pod(initContainerStatuses=[], conditions=[{"type": "Ready", "status": "True"}])
        assert pods.facts(found).ready is False
