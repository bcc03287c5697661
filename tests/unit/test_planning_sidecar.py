"""A pod that asks for a router, with it: what is put in, what is left as it was, and what cannot be."""

import copy
from typing import Any

import pytest

from modelroute.errors import InvalidManifestError
from modelroute.planning.admission import sidecar
from modelroute.planning.names import SIDECAR
from modelroute.planning.observed import KubeObject
from tests.fakes import world

ASKED = {"mode": "Sidecar"}
URL = {"name": "OPENAI_BASE_URL", "value": "http://127.0.0.1:14000/v1"}
KEY = {"name": "OPENAI_API_KEY", "value": sidecar.NO_KEY}


def pod(*containers: dict[str, Any], **spec: Any) -> KubeObject:
    listed = [{"name": f"c{i}", "image": "shop:1"} | c for i, c in enumerate(containers or ({},))]
    meta = {"name": "shop", "labels": {"app": "shop", "modelroute.dev/sidecar": "chat"}}
    return {"metadata": meta, "spec": {"containers": listed} | spec}


def injected(given: KubeObject, router: dict[str, Any] | None = None, **spec: Any) -> Any:
    return sidecar.injected(given, world.route(router=ASKED | (router or {}), **spec), world.SETTINGS)


def router_in(given: KubeObject, router: dict[str, Any] | None = None, **spec: Any) -> Any:
    [found] = [c for c in injected(given, router, **spec)["spec"]["initContainers"] if c["name"] == SIDECAR]
    return found


def environment(container: dict[str, Any], router: dict[str, Any] | None = None) -> Any:
    return injected(pod(container), router)["spec"]["containers"][0].get("env", [])


class TestRouter:
    def test_it_starts_before_the_others_and_ends_after_them(self) -> None:
        found = injected(pod(initContainers=[{"name": "first"}]))["spec"]["initContainers"]
        assert [(c["name"], c.get("restartPolicy")) for c in found] == [(SIDECAR, "Always"), ("first", None)]

    def test_clients_reach_it_on_loopback_alone(self) -> None:
        args = router_in(pod(), {"sidecar": {"port": 9000, "adminPort": 9001}})["args"]
        assert {"--host=127.0.0.1", "--port=9000", "--admin-host=0.0.0.0", "--admin-port=9001"} <= set(args)

    @pytest.mark.parametrize(
        ("probe", "path"), [("startupProbe", "/healthz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/healthz")]
    )
    def test_the_kubelet_asks_its_admin_port(self, probe: str, path: str) -> None:
        assert router_in(pod())[probe]["httpGet"] == {"path": path, "port": 14001}

    def test_it_is_safe_whatever_the_pod_says(self) -> None:
        found = router_in(pod(securityContext={"runAsUser": 0}))["securityContext"]
        assert (found["runAsNonRoot"], found["runAsUser"] > 10000) == (True, True)
        assert found["seccompProfile"] == {"type": "RuntimeDefault"}
        assert (found["allowPrivilegeEscalation"], found["readOnlyRootFilesystem"]) == (False, True)
        assert found["capabilities"] == {"drop": ["ALL"]}

    def test_its_resources_and_image_are_those_of_a_gateway(self) -> None:
        found = router_in(pod(), {"resources": {"limits": {"memory": "1Gi"}}})
        assert found["resources"]["limits"] == {"memory": "1Gi"}
        assert (found["image"], found["imagePullPolicy"]) == ("modelroute/router:v1", "IfNotPresent")

    def test_a_token_has_no_place_in_it(self) -> None:
        mounts = {m["mountPath"]: m["name"] for m in router_in(pod())["volumeMounts"]}
        volumes = {v["name"]: v for v in injected(pod())["spec"]["volumes"]}
        assert "emptyDir" in volumes[mounts["/var/run/secrets/kubernetes.io/serviceaccount"]]

    def test_it_reads_the_snapshot_of_the_route(self) -> None:
        volumes = injected(pod())["spec"]["volumes"]
        assert {"name": "chat-router-snapshot"} in [v.get("configMap") for v in volumes]

    def test_keys_are_mounted_as_for_a_gateway(self) -> None:
        found = injected(pod(), backends=[world.KEYED])["spec"]["volumes"]
        gateway = world.made(world.route(backends=[world.KEYED]), "Deployment", "chat-router")
        expected = [v["projected"] for v in gateway["spec"]["template"]["spec"]["volumes"] if "projected" in v]
        assert [v["projected"] for v in found if "projected" in v] == expected != []

    def test_without_keys_no_secret_is_mounted(self) -> None:
        assert [v for v in injected(pod())["spec"]["volumes"] if "projected" in v] == []

    def test_the_operator_sees_the_pod(self) -> None:
        assert injected(pod())["metadata"]["labels"]["modelroute.dev/route"] == "chat"


class TestOthers:
    def test_they_are_told_where_it_is(self) -> None:
        assert environment({}) == [URL, KEY]

    def test_init_containers_too(self) -> None:
        found = injected(pod(initContainers=[{"name": "first"}]))["spec"]["initContainers"][1]
        assert URL in found["env"]

    def test_what_they_set_themselves_stays(self) -> None:
        own = [{"name": "OPENAI_BASE_URL", "value": "http://other"}, {"name": "OPENAI_API_KEY", "value": "k"}]
        assert environment({"env": own}) == own

    def test_where_clients_need_a_key_none_is_made_up(self) -> None:
        assert environment({}, {"auth": {"apiKeysSecretRef": {"name": "keys"}}}) == [URL]

    def test_a_key_that_may_come_from_elsewhere_is_not_hidden(self) -> None:
        assert environment({"envFrom": [{"secretRef": {"name": "app"}}]}) == [URL]

    def test_nothing_is_taken_away(self) -> None:
        given = pod({"env": [{"name": "A", "value": "1"}]}, volumes=[{"name": "v", "emptyDir": {}}], nodeName="n")
        found = injected(given)
        assert (found["spec"]["nodeName"], found["spec"]["volumes"][0]["name"]) == ("n", "v")
        assert found["spec"]["containers"][0]["env"][0] == {"name": "A", "value": "1"}
        assert found["metadata"]["labels"]["app"] == "shop"

    def test_what_was_given_is_not_changed(self) -> None:
        given = pod(initContainers=[{"name": "first"}])
        before = copy.deepcopy(given)
        injected(given)
        assert given == before


class TestAgain:
    def test_a_second_time_changes_nothing(self) -> None:
        once = injected(pod({}, initContainers=[{"name": "first"}]), backends=[world.KEYED])
        assert sidecar.patch(once, injected(once, backends=[world.KEYED])) == []

    def test_a_container_that_came_later_is_told(self) -> None:
        once = injected(pod())
        once["spec"]["containers"].append({"name": "later"})
        assert [c["path"] for c in sidecar.patch(once, injected(once))] == ["/spec/containers"]

    def test_the_patch_leads_from_one_to_the_other(self) -> None:
        before = pod()
        after = injected(before)
        found = {change["path"]: change["value"] for change in sidecar.patch(before, after)}
        assert found == {
            "/metadata/labels": after["metadata"]["labels"],
            "/spec/initContainers": after["spec"]["initContainers"],
            "/spec/containers": after["spec"]["containers"],
            "/spec/volumes": after["spec"]["volumes"],
        }


@pytest.mark.parametrize(
    ("given", "router", "path", "says"),
    [
        (pod(), {"mode": "Gateway"}, "metadata.labels.modelroute.dev/sidecar", '"chat" has router.mode Gateway'),
        (pod(hostNetwork=True), {}, "spec.hostNetwork", "the node's own loopback"),
        (
            pod({}, {"ports": [{"containerPort": 80}, {"containerPort": 14001}]}),
            {},
            "spec.containers[1].ports[1].containerPort",
            "14001 is the router's in this pod",
        ),
    ],
    ids=["another mode", "the node's network", "a port that is taken"],
)
def test_what_cannot_be_is_refused_by_its_path(given: Any, router: Any, path: str, says: str) -> None:
    with pytest.raises(InvalidManifestError) as refused:
        injected(given, router)
    assert refused.value.path == path
    assert says in refused.value.problem
