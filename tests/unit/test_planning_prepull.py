"""The pods that keep an image on its nodes: where they are, and that they are neither replicas nor a burden."""

from typing import Any

import pytest

from modelroute.controller.kube.kinds import POD
from modelroute.planning.names import COMPONENT_LABEL
from modelroute.planning.observed import KubeObject, Observed, Pod
from tests.fakes import world

NODES = {"gpu": "h100"}


def daemon_set(**vllm: Any) -> KubeObject:
    found = world.of_vllm(prePull=True, nodeSelector=NODES, **vllm)
    return world.made(found, "DaemonSet", "chat--small-pull")


def pod(**vllm: Any) -> KubeObject:
    found = daemon_set(**vllm)["spec"]["template"]["spec"]
    assert isinstance(found, dict)
    return found


def test_there_is_none_unless_it_is_asked_for() -> None:
    kinds = [o["kind"] for o in world.planned(world.of_vllm(nodeSelector=NODES)).objects]
    assert "DaemonSet" not in kinds


def test_it_runs_the_very_image_asleep_and_keeps_it_in_use() -> None:
    [container] = pod(image="vllm:v9")["containers"]
    assert (container["image"], container["command"]) == ("vllm:v9", ["sleep", "infinity"])


def test_it_is_on_the_nodes_that_may_run_a_replica() -> None:
    terms: dict[str, Any] = {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [{}]}]}
    }
    affinity = {"nodeAffinity": terms, "podAntiAffinity": {"x": [1]}}
    found = pod(
        tolerations=[{"key": "spot", "operator": "Exists"}],
        imagePullSecrets=[{"name": "registry"}],
        template={"spec": {"affinity": affinity}},
    )
    assert (found["nodeSelector"], found["imagePullSecrets"]) == (NODES, [{"name": "registry"}])
    assert [t["key"] for t in found["tolerations"]] == ["nvidia.com/gpu", "spot"]
    assert found["affinity"] == {"nodeAffinity": terms}


def test_it_gets_no_gpu_by_a_request_or_by_the_image() -> None:
    [container] = pod(gpus=4)["containers"]
    assert "nvidia.com/gpu" not in str(container["resources"])
    assert container["env"] == [{"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"}]


def test_it_is_restricted_and_has_no_token() -> None:
    found = pod()
    assert found["securityContext"]["runAsNonRoot"] is True
    assert found["containers"][0]["securityContext"]["allowPrivilegeEscalation"] is False
    assert found["automountServiceAccountToken"] is False


def test_it_is_no_replica_and_is_not_watched() -> None:
    labels = daemon_set()["spec"]["template"]["metadata"]["labels"]
    replicas = world.made(world.of_vllm(), "Service", "chat--small")["spec"]["selector"]
    assert not replicas.items() <= labels.items()
    present, _, other = POD.selector.partition(",")
    assert (present in labels, other) == (True, f"{COMPONENT_LABEL}!={labels[COMPONENT_LABEL]}")


@pytest.mark.parametrize("component", ["prepull", "web", ""])
def test_a_pod_that_only_carries_the_label_of_a_route_is_no_router(component: str) -> None:
    seen = Observed(pods=(Pod("stranger", component, "small", "10.0.0.9", 1.0, ready=True),))
    assert (seen.routers(), seen.replicas("small")) == ((), ())


@pytest.mark.parametrize(
    ("ready", "says"), [(1, "; the image is on 1 of 3 nodes (DaemonSet chat--small-pull)"), (3, "")]
)
def test_the_status_tells_on_how_many_nodes_the_image_is_not(ready: int, says: str) -> None:
    asked = world.of_vllm(prePull=True, nodeSelector=NODES)
    made = world.made(asked, "DaemonSet", "chat--small-pull") | {
        "status": {"desiredNumberScheduled": 3, "numberReady": ready}
    }
    [backend] = world.planned(asked, Observed(children=(made,))).status.backends
    assert backend.message == f"0 of 1 replicas are ready; a start may take up to 20m{says}"


def test_it_ends_at_once_and_all_change_at_once() -> None:
    found = daemon_set()["spec"]
    assert found["template"]["spec"]["terminationGracePeriodSeconds"] == 1
    assert found["updateStrategy"]["rollingUpdate"] == {"maxUnavailable": "100%"}
