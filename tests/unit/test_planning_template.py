"""A user's pod template over ours: what it names is merged or replaced, the rest stays, and all is restricted."""

from typing import Any

from modelroute.planning.observed import KubeObject
from modelroute.planning.resources.template import laid_over
from tests.fakes import world

RESTRICTED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


def pod(**spec: Any) -> KubeObject:
    """The pod of a backend whose template has this spec."""
    return template(spec=spec)["spec"]  # type: ignore[no-any-return]


def template(**given: Any) -> KubeObject:
    found = world.made(world.of_vllm(template=given), "Deployment", "chat--small")["spec"]["template"]
    assert isinstance(found, dict)
    return found


def main(**fields: Any) -> KubeObject:
    """Our container, with what a template says of it."""
    found = pod(containers=[{"name": "vllm", **fields}])["containers"][0]
    assert isinstance(found, dict)
    return found


def named(entries: list[KubeObject], name: str) -> KubeObject:
    [found] = [entry for entry in entries if entry["name"] == name]
    return found


BARE = pod()


def test_an_empty_one_changes_nothing() -> None:
    assert pod(containers=[{"name": "vllm"}]) == BARE


def test_nothing_that_was_given_is_changed() -> None:
    ours: KubeObject = {"spec": {"containers": [{"name": "vllm", "env": [{"name": "A"}]}]}}
    theirs: KubeObject = {"spec": {"containers": [{"name": "vllm", "env": [{"name": "B"}]}]}}
    laid_over(ours, theirs)
    assert (len(ours["spec"]["containers"][0]["env"]), len(theirs["spec"]["containers"][0]["env"])) == (1, 1)


def test_a_variable_is_added_after_ours() -> None:
    assert main(env=[{"name": "NEW", "value": "1"}])["env"] == [
        *BARE["containers"][0]["env"],
        {"name": "NEW", "value": "1"},
    ]


def test_a_variable_of_ours_is_replaced_whole() -> None:
    source = {"fieldRef": {"fieldPath": "metadata.name"}}
    assert named(main(env=[{"name": "USER", "valueFrom": source}])["env"], "USER") == {
        "name": "USER",
        "valueFrom": source,
    }


def test_a_volume_of_ours_is_replaced_whole() -> None:
    claim = {"name": "shm", "persistentVolumeClaim": {"claimName": "fast"}}
    assert named(pod(volumes=[claim])["volumes"], "shm") == claim


def test_a_volume_is_mounted_beside_ours() -> None:
    found = main(volumeMounts=[{"name": "data", "mountPath": "/data"}])["volumeMounts"]
    assert [m["mountPath"] for m in found] == ["/cache", "/dev/shm", "/tmp", "/data"]


def test_resources_are_merged() -> None:
    assert main(resources={"limits": {"rdma/ib": "1"}})["resources"]["limits"] == {
        "nvidia.com/gpu": "1",
        "rdma/ib": "1",
    }


def test_another_container_comes_after_ours_and_is_as_restricted() -> None:
    found = pod(containers=[{"name": "logs", "image": "logs:1", "securityContext": {"runAsUser": 7}}])["containers"]
    assert [c["name"] for c in found] == ["vllm", "logs"]
    assert found[1]["securityContext"] == RESTRICTED | {"runAsUser": 7}


def test_a_container_before_ours_is_as_restricted() -> None:
    [found] = pod(initContainers=[{"name": "fetch", "image": "fetch:1"}])["initContainers"]
    assert found["securityContext"] == RESTRICTED


def test_what_a_template_opens_is_open_alone() -> None:
    found = main(securityContext={"readOnlyRootFilesystem": False})
    assert found["securityContext"] == RESTRICTED | {"readOnlyRootFilesystem": False}


def test_the_pods_security_keeps_what_is_not_named() -> None:
    found = pod(securityContext={"runAsUser": 1000})["securityContext"]
    assert found == BARE["securityContext"] | {"runAsUser": 1000}


def test_labels_are_added_to_those_that_pick_the_pod() -> None:
    labels = template(metadata={"labels": {"team": "a"}})["metadata"]["labels"]
    assert labels == template()["metadata"]["labels"] | {"team": "a"}


def test_a_selector_of_all_is_not_a_selector_of_none() -> None:
    term = {"topologyKey": "zone", "labelSelector": {}}
    affinity = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    assert pod(affinity=affinity)["affinity"] == affinity
