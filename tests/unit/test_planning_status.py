"""What a person reads with kubectl: conditions, columns, a sentence for each backend."""

import copy
from typing import Any

import msgspec
import pytest

from modelroute.api import types as t
from modelroute.api.status import BackendStatus, Condition, Status
from modelroute.planning.observed import Observed
from tests.fakes import world
from tests.fakes.manifests import HOSTED, VLLM

CERTIFIED = {"tls": {"secretRef": {"name": "cert"}}}
BOTH = [VLLM | {"weight": 90}, HOSTED | {"weight": 10}]
WARM = world.settled(world.route(backends=BOTH), slices=world.ready("10.0.0.1"))
COLD = world.settled(world.route(backends=BOTH))


def status(observed: Observed = WARM, **spec: Any) -> Status:
    return world.planned(world.route(**{"backends": BOTH} | spec), observed).status


def condition(found: Status, type_: str) -> Condition:
    return next(c for c in found.conditions if c.type == type_)


def said(observed: Observed, type_: str, **spec: Any) -> tuple[str, str, str]:
    """Status, reason and message of a condition."""
    found = condition(status(observed, **spec), type_)
    return found.status, found.reason, found.message


def backend(observed: Observed, name: str = "small", **spec: Any) -> BackendStatus:
    return next(b for b in status(observed, **spec).backends if b.name == name)


def failing(type_: str, status: str, reason: str) -> list[dict[str, str]]:
    return [{"type": type_, "status": status, "reason": reason, "message": "quota"}]


class TestReady:
    def test_all_is_well(self) -> None:
        assert said(WARM, "Ready") == ("True", "AllBackendsReady", "small 1/1 warm, big external")

    def test_clients_get_answers_while_others_stand_in(self) -> None:
        assert said(COLD, "Ready") == ("True", "SomeBackendsNotReady", "small 0/1 warm, big external")

    def test_nobody_can_answer(self) -> None:
        asked = world.of_vllm()
        found = condition(world.planned(asked, world.settled(asked)).status, "Ready")
        assert (found.status, found.reason, found.message) == ("False", "NoBackendReady", "small 0/1 warm")

    def test_a_hosted_api_without_its_key_cannot(self) -> None:
        found = said(world.settled(world.route(backends=[world.KEYED])), "Ready", backends=[world.KEYED])
        assert found == ("False", "NoBackendReady", "big external (no key)")

    def test_what_only_rules_reach_does_not_make_it_ready(self) -> None:
        spec = {"backends": [VLLM, HOSTED | {"weight": 0}]}
        assert said(COLD, "Ready", **spec)[:2] == ("False", "NoBackendReady")

    def test_nobody_is_let_in(self) -> None:
        router = {"auth": {"apiKeysSecretRef": {"name": "chat-keys"}}}
        message = (
            "routers know no keys but those they have read, and one that starts lets nobody in: "
            'Secret "chat-keys" is not in namespace team-a'
        )
        assert said(WARM, "Ready", router=router) == ("False", "ClientKeysMissing", message)

    def test_a_certificate_that_is_missing_stops_no_router_that_runs(self) -> None:
        assert said(WARM, "Ready", router=CERTIFIED)[0] == "True"

    def test_no_router_pod_is_ready(self) -> None:
        found = said(world.with_router(WARM, readyReplicas=0), "Ready")
        assert found == ("False", "RouterNotReady", "0 of 2 router pods are ready")

    def test_no_router_pod_is_asked_for(self) -> None:
        found = said(WARM, "Ready", router={"replicas": 0})
        assert found == ("False", "RouterNotReady", "spec.router.replicas is 0: no router pod is asked for")

    def test_a_backend_that_rests_is_not_missed(self) -> None:
        spec: dict[str, Any] = {"backends": [VLLM | {"scaling": {"minReplicas": 0}}, HOSTED]}
        assert said(world.settled(world.route(**spec)), "Ready", **spec)[:2] == ("True", "AllBackendsReady")


class TestProgrammed:
    def test_the_routers_are_up_to_date(self) -> None:
        assert said(WARM, "Programmed") == ("True", "RoutersUpToDate", "2 of 2 routers run generation 3")

    @pytest.mark.parametrize("seen", [Observed(), world.with_router(WARM, readyReplicas=0)])
    def test_routers_are_starting(self, seen: Observed) -> None:
        assert said(seen, "Programmed") == ("False", "RoutersNotReady", "0 of 2 router pods are ready")

    @pytest.mark.parametrize("counts", [{"updatedReplicas": 1}, {"replicas": 3}, {"observedGeneration": 1}])
    def test_routers_are_being_replaced(self, counts: dict[str, int]) -> None:
        found = said(world.with_router(WARM, **counts), "Programmed")
        message = "2 of 2 router pods are ready, but not all are of the last version yet"
        assert found == ("False", "RoutersNotReady", message)

    def test_routers_are_about_to_be_replaced(self) -> None:
        changed = {"router": {"resources": {"limits": {"memory": "2Gi"}}}}
        assert said(WARM, "Programmed", **changed)[:2] == ("False", "RoutersNotReady")

    def test_routers_were_made_this_moment(self) -> None:
        children = copy.deepcopy(WARM.children)
        for child in children:
            child.pop("status", None)
        assert said(Observed(children=children), "Programmed", router={"replicas": 0})[0] == "False"

    def test_a_router_that_cannot_start_says_why(self) -> None:
        seen = world.with_router(WARM, readyReplicas=0, conditions=failing("ReplicaFailure", "True", "FailedCreate"))
        assert said(seen, "Programmed")[2] == "0 of 2 router pods are ready: FailedCreate: quota"

    def test_a_name_that_is_taken_is_named(self) -> None:
        seen = Observed(foreign=("Deployment/chat-router",))
        message = "Deployment/chat-router: there already, and not of this ModelRoute; delete or rename it"
        assert said(seen, "Programmed") == ("False", "NameConflict", message)


class TestBackends:
    def test_numbers(self) -> None:
        found = backend(WARM)
        assert (found.type, found.ready_replicas, found.desired_replicas, found.effective_weight) == ("VLLM", 1, 1, 90)

    def test_a_hosted_api_has_no_replicas(self) -> None:
        found = backend(WARM, "big")
        assert (found.type, found.ready_replicas, found.desired_replicas) == ("External", None, None)
        assert found.message == "requests go to https://api.example.com/v1"

    @pytest.mark.parametrize(
        ("addresses", "says"), [((), "no ready endpoints"), (("a",), "1 ready endpoint"), (("a", "b"), "2 ready")]
    )
    def test_a_service_has_endpoints(self, addresses: tuple[str, ...], says: str) -> None:
        slices = {"legacy": (world.pods(*addresses, name="web"),)}
        found = backend(Observed(services={"legacy": world.LEGACY}, slices=slices), "old", backends=[world.BEHIND])
        assert (found.type, found.ready_replicas, says in found.message) == ("Service", len(addresses), True)

    def test_a_start_takes_time(self) -> None:
        assert backend(COLD).message == "0 of 1 replicas are ready; a start may take up to 20m"

    def test_no_replica_is_kept(self) -> None:
        found = backend(COLD, backends=[VLLM | {"scaling": {"minReplicas": 0}}])
        assert found.message == "scaling.minReplicas is 0: no replica is kept"

    def test_replicas_that_cannot_be_made_say_why(self) -> None:
        seen = world.with_backend(COLD, conditions=failing("ReplicaFailure", "True", "FailedCreate"))
        assert backend(seen).message == "0 of 1 replicas are ready: FailedCreate: quota"

    def test_replicas_that_do_not_start_say_where_to_look(self) -> None:
        seen = world.with_backend(COLD, conditions=failing("Progressing", "False", "ProgressDeadlineExceeded"))
        assert backend(seen).message.endswith("ProgressDeadlineExceeded: quota; see its pods for why")

    @pytest.mark.parametrize(
        "conditions",
        [failing("Progressing", "True", "NewReplicaSetAvailable"), failing("ReplicaFailure", "False", "Mended"), None],
    )
    def test_replicas_that_are_well_say_so(self, conditions: list[dict[str, str]] | None) -> None:
        assert backend(world.with_backend(WARM, conditions=conditions)).message == "1 of 1 replicas are ready"

    def test_the_share_of_a_cold_one_goes_to_its_fallback(self) -> None:
        fallbacks = [{"backend": "big"}]
        found = {b.name: b.effective_weight for b in status(COLD, fallbacks=fallbacks).backends}
        assert found == {"small": 0, "big": 100}

    @pytest.mark.parametrize(
        ("weights", "shown"), [((1, 1, 1), (34, 33, 33)), ((1, 1, 4), (17, 17, 66)), ((1, 0, 199), (1, 0, 99))]
    )
    def test_shares_are_whole_percent_and_a_hundred_in_all(
        self, weights: tuple[int, ...], shown: tuple[int, ...]
    ) -> None:
        backends = [HOSTED | {"name": f"b{i}", "weight": weight} for i, weight in enumerate(weights)]
        assert tuple(b.effective_weight for b in status(backends=backends).backends) == shown


class TestColumns:
    def test_ready_backends_of_all(self) -> None:
        assert (status(WARM).ready_backends, status(COLD).ready_backends) == ("2/2", "1/2")

    def test_the_canary_and_its_share(self) -> None:
        assert (status(canary={"backend": "big", "percent": 5}).canary, status().canary) == ("big 5%", "")

    @pytest.mark.parametrize(("port", "shown"), [(80, ""), (8080, ":8080")])
    def test_where_clients_reach_it(self, port: int, shown: str) -> None:
        url = status(router={"service": {"port": port}}).router.url
        assert url == f"http://chat-router.team-a.svc.cluster.local{shown}/v1"

    @pytest.mark.parametrize(("service", "shown"), [({}, ""), ({"port": 443}, ""), ({"port": 80}, ":80")])
    def test_where_clients_reach_it_by_tls(self, service: Any, shown: str) -> None:
        url = status(router=CERTIFIED | {"service": service}).router.url
        assert url == f"https://chat-router.team-a.svc.cluster.local{shown}/v1"

    def test_router_pods(self) -> None:
        found = status(world.with_router(WARM, readyReplicas=1), router={"replicas": 4}).router
        assert (found.ready_replicas, found.desired_replicas) == (1, 4)


class TestTimes:
    def again(self, observed: Observed, generation: int = 3) -> Status:
        asked: t.ModelRoute = world.route(old=status(WARM), generation=generation, backends=BOTH)
        return world.planned(asked, observed, world.LATER).status

    def test_a_condition_that_holds_on_keeps_its_time(self) -> None:
        times = {c.last_transition_time for c in self.again(WARM).conditions}
        assert times == {world.NOW}

    def test_a_condition_that_changes_takes_the_time(self) -> None:
        found = self.again(world.with_router(WARM, readyReplicas=0))
        assert {c.type for c in found.conditions if c.last_transition_time == world.LATER} == {"Programmed", "Ready"}

    def test_every_condition_is_about_the_generation_that_was_seen(self) -> None:
        found = self.again(WARM, generation=5)
        assert {found.observed_generation, *(c.observed_generation for c in found.conditions)} == {5}

    def test_a_status_that_was_read_back_is_the_same(self) -> None:
        stored = msgspec.convert(msgspec.to_builtins(status(WARM)), Status)
        assert world.planned(world.route(old=stored, backends=BOTH), WARM, world.LATER).status == stored
