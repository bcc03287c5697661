"""The children that make the router, each setting by itself."""

from typing import Any

import pytest

from modelroute.planning.observed import KubeObject
from modelroute.planning.resources import router as maker
from modelroute.snapshot.codec import decode
from tests.fakes import world
from tests.fakes.manifests import HOSTED, VLLM

NAME = "chat-router"
CERTIFIED: Any = {"router": {"tls": {"secretRef": {"name": "cert"}}}}


def deployment(**spec: Any) -> KubeObject:
    return world.made(world.route(**spec), "Deployment", NAME)


def pod_of(**spec: Any) -> Any:
    return deployment(**spec)["spec"]["template"]["spec"]


def service(**asked: Any) -> Any:
    return world.made(world.route(router={"service": asked}), "Service", NAME)["spec"]


def secrets(**spec: Any) -> list[Any]:
    return [v["projected"]["sources"] for v in pod_of(**spec)["volumes"] if v["name"] == "secrets"]


class TestDeployment:
    def test_it_has_the_replicas_and_resources_of_the_spec(self) -> None:
        found = deployment(router={"replicas": 5, "resources": {"limits": {"memory": "1Gi"}}})
        assert (found["spec"]["replicas"], world.container(found)["resources"]) == (5, {"limits": {"memory": "1Gi"}})

    def test_its_image_is_the_installations(self) -> None:
        found = world.container(deployment())
        assert (found["image"], found["imagePullPolicy"]) == ("modelroute/router:v1", "IfNotPresent")

    def test_it_loses_no_pod_while_it_rolls(self) -> None:
        assert deployment()["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}

    def test_a_change_of_the_configuration_does_not_roll_it(self) -> None:
        changed = deployment(backends=[HOSTED | {"weight": 9}], models=["other"], rules=[])
        assert changed["spec"]["template"] == deployment()["spec"]["template"]

    def test_its_pods_are_spread_where_there_is_a_choice(self) -> None:
        [spread] = pod_of()["topologySpreadConstraints"]
        assert (spread["topologyKey"], spread["whenUnsatisfiable"]) == ("kubernetes.io/hostname", "ScheduleAnyway")

    def test_its_drain_ends_before_the_kill(self) -> None:
        grace = pod_of()["terminationGracePeriodSeconds"]
        assert (f"--drain={maker.DRAIN_SECONDS}" in world.container(deployment())["args"], grace) == (True, 120)

    def test_readiness_and_liveness_are_asked_on_the_admin_port(self) -> None:
        found = world.container(deployment())
        asked = [found[probe]["httpGet"] for probe in ("readinessProbe", "livenessProbe")]
        assert asked == [{"path": "/readyz", "port": "admin"}, {"path": "/healthz", "port": "admin"}]

    def test_its_pods_have_no_right_at_all(self) -> None:
        account = world.made(world.route(), "ServiceAccount", NAME)
        found = pod_of()
        assert account["automountServiceAccountToken"] is found["automountServiceAccountToken"] is False
        assert (found["serviceAccountName"], found["securityContext"]["runAsNonRoot"]) == (NAME, True)


class TestSecrets:
    def test_only_the_key_that_a_backend_names_is_mounted(self) -> None:
        [sources] = secrets(backends=[world.KEYED])
        item = {"key": "api-key", "path": "big/key"}
        assert sources == [{"secret": {"name": "openai", "optional": True, "items": [item]}}]

    def test_backends_may_share_a_secret(self) -> None:
        [sources] = secrets(backends=[world.KEYED, world.KEYED | {"name": "huge"}])
        assert [s["secret"]["items"][0]["path"] for s in sources] == ["big/key", "huge/key"]

    def test_clients_keys_and_their_pepper_lie_beside_them(self) -> None:
        [sources] = secrets(backends=[world.KEYED], router={"auth": {"apiKeysSecretRef": {"name": "chat-keys"}}})
        items = [{"key": "keys.yaml", "path": "auth/keys.yaml"}, {"key": "pepper", "path": "auth/pepper"}]
        assert sources[1] == {"secret": {"name": "chat-keys", "optional": True, "items": items}}
        assert len(sources) == 2

    def test_without_a_key_nothing_is_mounted(self) -> None:
        assert secrets(backends=[HOSTED]) == []


class TestTLS:
    def test_the_certificate_is_mounted_and_named(self) -> None:
        found = world.container(deployment(**CERTIFIED))
        [volume] = [v["secret"] for v in pod_of(**CERTIFIED)["volumes"] if v["name"] == "tls"]
        assert "--tls=/etc/modelroute/tls" in found["args"]
        assert {"name": "tls", "mountPath": "/etc/modelroute/tls", "readOnly": True} in found["volumeMounts"]
        assert (volume["secretName"], [i["path"] for i in volume["items"]]) == ("cert", ["tls.crt", "tls.key"])

    def test_a_pod_without_its_certificate_does_not_start(self) -> None:
        [volume] = [v["secret"] for v in pod_of(**CERTIFIED)["volumes"] if v["name"] == "tls"]
        assert "optional" not in volume

    def test_health_is_asked_without_it(self) -> None:
        assert world.container(deployment(**CERTIFIED))["readinessProbe"]["httpGet"]["port"] == "admin"

    def test_the_service_says_so(self) -> None:
        [port] = world.made(world.route(**CERTIFIED), "Service", NAME)["spec"]["ports"]
        assert port == {"name": "https", "port": 443, "targetPort": "http"}

    def test_without_it_there_is_no_trace_of_it(self) -> None:
        assert "tls" not in str(deployment())


class TestService:
    def test_it_is_inside_the_cluster_by_default(self) -> None:
        found = service()
        assert (found["type"], found["ports"]) == ("ClusterIP", [{"name": "http", "port": 80, "targetPort": "http"}])

    def test_a_node_port_is_asked_for(self) -> None:
        [port] = service(type="NodePort", port=8080, nodePort=30080)["ports"]
        assert (port["port"], port["nodePort"]) == (8080, 30080)

    def test_it_picks_the_routers_pods_and_no_backends(self) -> None:
        labels = deployment()["spec"]["template"]["metadata"]["labels"]
        other = world.made(world.route(), "Deployment", "chat--small")["spec"]["template"]["metadata"]["labels"]
        selector = service()["selector"]
        assert (selector.items() <= labels.items(), selector.items() <= other.items()) == (True, False)


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("name", [NAME, "chat--small"])
def test_a_node_can_be_drained_of_routers_and_of_replicas_one_at_a_time(name: str, replicas: int) -> None:
    asked = world.route(backends=[VLLM | {"scaling": {"minReplicas": replicas}}], router={"replicas": replicas})
    found = world.made(asked, "PodDisruptionBudget", name)["spec"]
    assert (found["maxUnavailable"], found["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
    assert found["selector"] == world.made(asked, "Deployment", name)["spec"]["selector"]


def test_the_snapshot_is_what_routers_read() -> None:
    plan = world.planned(world.route())
    found = world.made(world.route(), "ConfigMap", "chat-router-snapshot")
    assert decode(found["data"]["snapshot.json"].encode()) == plan.snapshot


def test_every_child_belongs_to_its_route() -> None:
    owner = {"apiVersion": "modelroute.dev/v1alpha1", "kind": "ModelRoute", "name": "chat", "uid": "uid-1"}
    metadata = [o["metadata"] for o in world.planned(world.route()).objects]
    assert [m["ownerReferences"] for m in metadata] == [[owner | {"controller": True}]] * len(metadata)
    assert {(m["namespace"], m["labels"]["modelroute.dev/route"]) for m in metadata} == {("team-a", "chat")}
