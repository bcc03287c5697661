"""The children of a vLLM backend: each setting that a real vLLM or a strict cluster asks for, by itself."""

from typing import Any

import pytest

from modelroute.planning.observed import KubeObject, Observed
from tests.fakes import world
from tests.fakes.manifests import VLLM

NEW_FIRST, OLD_FIRST = {"maxSurge": 1, "maxUnavailable": 0}, {"maxSurge": 0, "maxUnavailable": 1}
LIVE: KubeObject = {
    "accessModes": ["ReadWriteOnce"],
    "storageClassName": "slow",
    "resources": {"requests": {"storage": "10Gi"}},
}


def deployment(*, scaling: dict[str, Any] | None = None, **vllm: Any) -> KubeObject:
    return world.made(world.of_vllm(scaling=scaling, **vllm), "Deployment", "chat--small")


def pod_of(**vllm: Any) -> KubeObject:
    found = deployment(**vllm)["spec"]["template"]["spec"]
    assert isinstance(found, dict)
    return found


def container(**vllm: Any) -> KubeObject:
    return world.container(deployment(**vllm))


def volume(name: str, **vllm: Any) -> KubeObject:
    [found] = [v for v in pod_of(**vllm)["volumes"] if v["name"] == name]
    assert isinstance(found, dict)
    return found


class TestCommandLine:
    def test_the_model_comes_first_and_is_served_under_the_backends_name(self) -> None:
        args = container()["args"]
        assert (args[0], "--served-model-name=small" in args) == ("org/small", True)

    def test_the_name_that_requests_carry_is_the_name_it_is_served_under(self) -> None:
        asked = world.route(backends=[VLLM | {"model": "qwen"}])
        args = world.container(world.made(asked, "Deployment", "chat--small"))["args"]
        assert "--served-model-name=qwen" in args

    def test_the_users_arguments_come_last_so_that_they_win(self) -> None:
        assert container(args=["--max-model-len=8192", "--x"])["args"][-2:] == ["--max-model-len=8192", "--x"]

    @pytest.mark.parametrize(("gpus", "there"), [(0, False), (1, False), (2, True)])
    def test_several_gpus_share_the_model(self, gpus: int, there: bool) -> None:
        assert (f"--tensor-parallel-size={gpus}" in container(gpus=gpus)["args"]) is there

    def test_a_drain_is_whole_seconds_and_never_too_short(self) -> None:
        assert "--shutdown-timeout=2" in container(drainTimeout="1500ms")["args"]


class TestEnd:
    def test_addresses_go_before_the_process_is_told_to_end(self) -> None:
        assert container()["lifecycle"] == {"preStop": {"sleep": {"seconds": 5}}}

    def test_the_kill_comes_after_the_drain(self) -> None:
        assert pod_of(drainTimeout="5m")["terminationGracePeriodSeconds"] == 5 + 300 + 15


class TestProbes:
    @pytest.mark.parametrize(("timeout", "tries"), [("20m", 600), ("3s", 2), ("0s", 1)])
    def test_a_start_may_take_as_long_as_was_said(self, timeout: str, tries: int) -> None:
        probe = container(startupTimeout=timeout)["startupProbe"]
        assert (probe["failureThreshold"], probe["periodSeconds"]) == (tries, 2)

    def test_a_busy_engine_is_not_restarted_within_a_minute(self) -> None:
        probe = container()["livenessProbe"]
        assert probe["failureThreshold"] * probe["periodSeconds"] >= 60

    def test_a_deployment_is_given_longer_than_one_start(self) -> None:
        assert deployment(startupTimeout="1h")["spec"]["progressDeadlineSeconds"] > 3600 + 80

    def test_the_longest_start_fits_the_api(self) -> None:
        spec = deployment(startupTimeout="99999h99999h99999h99999h", drainTimeout="99999h99999h99999h99999h")["spec"]
        assert spec["progressDeadlineSeconds"] == 2**31 - 1


class TestGPUs:
    def test_they_are_asked_for_beside_what_the_user_sets(self) -> None:
        limits = container(gpus=4, resources={"limits": {"memory": "8Gi"}})["resources"]["limits"]
        assert limits == {"memory": "8Gi", "nvidia.com/gpu": "4"}

    def test_nodes_kept_for_gpus_are_open_to_what_needs_them(self) -> None:
        assert pod_of(gpus=1)["tolerations"] == [
            {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
        ]

    def test_a_backend_without_gpus_asks_for_nothing_of_it(self) -> None:
        assert ("tolerations" in pod_of(gpus=0), "resources" in container(gpus=0)) == (False, False)


class TestVolumes:
    def test_weights_are_kept_with_the_pod_unless_said_otherwise(self) -> None:
        assert volume("cache") == {"name": "cache", "emptyDir": {}}

    def test_weights_are_kept_in_a_claim_that_is_there(self) -> None:
        found = volume("cache", modelCache={"claimName": "models"})
        assert found["persistentVolumeClaim"] == {"claimName": "models"}

    def test_weights_are_kept_in_a_claim_that_is_made(self) -> None:
        found = volume("cache", modelCache={"size": "10Gi"})
        assert found["persistentVolumeClaim"] == {"claimName": "chat--small-cache"}

    def test_workers_talk_through_memory(self) -> None:
        assert volume("shm", sharedMemory="8Gi")["emptyDir"] == {"medium": "Memory", "sizeLimit": "8Gi"}

    def test_every_place_that_is_written_to_is_a_volume(self) -> None:
        mounts = tuple(m["mountPath"] for m in container()["volumeMounts"])
        written = [e["value"] for e in container()["env"] if e["value"].startswith("/")]
        assert [place for place in written if not place.startswith(mounts)] == []


class TestRollout:
    """Which goes first: the old replica, or the new one."""

    def rolling(self, replicas: int, **vllm: Any) -> object:
        found = deployment(scaling={"minReplicas": replicas}, **vllm)
        return found["spec"]["strategy"]["rollingUpdate"]

    def test_a_single_replica_serves_until_the_new_one_does(self) -> None:
        assert self.rolling(1) == NEW_FIRST

    def test_of_several_one_makes_room_on_its_gpus(self) -> None:
        assert self.rolling(2) == OLD_FIRST

    def test_without_gpus_there_is_room(self) -> None:
        assert self.rolling(2, gpus=0) == NEW_FIRST

    def test_a_volume_of_one_node_is_let_go_first(self) -> None:
        assert self.rolling(1, modelCache={"size": "1Gi"}) == OLD_FIRST

    def test_a_volume_of_many_nodes_is_shared(self) -> None:
        assert self.rolling(1, modelCache={"size": "1Gi", "accessMode": "ReadWriteMany"}) == NEW_FIRST


class TestPod:
    def test_it_is_restricted(self) -> None:
        security = pod_of()["securityContext"]
        assert (security["runAsNonRoot"], security["runAsUser"]) == (True, 65532)

    def test_its_container_may_do_nothing_more(self) -> None:
        assert container()["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }

    def test_it_has_no_token(self) -> None:
        assert pod_of()["automountServiceAccountToken"] is False

    def test_a_service_named_vllm_does_not_set_its_port(self) -> None:
        assert pod_of()["enableServiceLinks"] is False

    def test_there_are_as_many_as_are_kept_warm(self) -> None:
        assert deployment(scaling={"minReplicas": 0})["spec"]["replicas"] == 0

    def test_it_is_what_the_deployment_and_the_service_pick(self) -> None:
        labels = deployment()["spec"]["template"]["metadata"]["labels"]
        service = world.made(world.of_vllm(), "Service", "chat--small")
        picked = deployment()["spec"]["selector"]["matchLabels"], service["spec"]["selector"]
        assert all(selector.items() <= labels.items() for selector in picked)


class TestClaim:
    def claim(self, live: dict[str, Any] | None = None, **cache: str) -> Any:
        children = ({"kind": "PersistentVolumeClaim", "metadata": {"name": "chat--small-cache"}, "spec": live},)
        asked = world.of_vllm(modelCache=cache)
        seen = Observed(children=children if live else ())
        return world.made(asked, "PersistentVolumeClaim", "chat--small-cache", seen)["spec"]

    def test_it_is_as_asked_for(self) -> None:
        assert self.claim(size="10Gi", storageClassName="slow") == LIVE

    def test_the_clusters_class_is_taken_where_none_is_named(self) -> None:
        assert "storageClassName" not in self.claim(size="10Gi")

    @pytest.mark.parametrize(("size", "kept"), [("1Ti", "1Ti"), ("1Gi", "10Gi"), ("10240Mi", "10240Mi")])
    def test_it_grows_and_never_shrinks(self, size: str, kept: str) -> None:
        assert self.claim(LIVE, size=size)["resources"]["requests"]["storage"] == kept

    def test_what_cannot_change_stays(self) -> None:
        changed = self.claim(LIVE, size="10Gi", storageClassName="fast", accessMode="ReadWriteMany")
        assert changed == LIVE
