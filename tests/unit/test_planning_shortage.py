"""No GPU to be had is told apart from a slow start: in the pod's trouble, in Ready, and in one Event."""

from dataclasses import replace
from typing import Any

import pytest

from modelroute.api.status import condition_of
from modelroute.planning.observed import Observed
from modelroute.planning.pods import lacks_device, trouble
from tests.fakes import world
from tests.fakes.manifests import HOSTED, VLLM

LACKS = "no node has 1 free nvidia.com/gpu"
COLD = world.with_router(world.settled(world.route(backends=[VLLM, HOSTED])), readyReplicas=2)


def unscheduled(why: str, *gpus: str, resource: str = "nvidia.com/gpu") -> str:
    """The trouble of a pod whose containers ask for so many GPUs each."""
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": why}
    containers = [{"resources": {"limits": {resource: count}}} for count in gpus]
    return trouble({"metadata": {}, "spec": {"containers": containers}, "status": {"conditions": [condition]}})


@pytest.mark.parametrize(
    ("gpus", "said"),
    [(("4",), "no node has 4 free nvidia.com/gpu"), (("1", "1"), "no node has 2 free nvidia.com/gpu"), ((), LACKS)],
    ids=["one container", "two", "unknown"],
)
def test_o21_what_is_lacking_is_counted(gpus: tuple[str, ...], said: str) -> None:
    assert unscheduled("0/3 nodes are available: 3 Insufficient nvidia.com/gpu.", *gpus) == said


def test_o21_other_devices_are_named() -> None:
    why = "0/1 nodes are available: 1 Insufficient amd.com/gpu. preemption: none."
    assert unscheduled(why, "2", resource="amd.com/gpu") == "no node has 2 free amd.com/gpu"


def test_o21_why_others_do_not_take_it_is_said_beside() -> None:
    found = unscheduled(
        "0/9 nodes are available: 1 node(s) had untolerated taint {a: b}, 8 Insufficient nvidia.com/gpu.", "1"
    )
    assert found == f"{LACKS} (of others: node(s) had untolerated taint {{a: b}})"


@pytest.mark.parametrize(
    "other", ["Insufficient cpu", "Insufficient memory", "node(s) didn't match Pod's node affinity"]
)
def test_o20_other_reasons_are_no_lack_of_devices(other: str) -> None:
    assert not lacks_device(unscheduled(f"0/3 nodes are available: 3 {other}.", "1"))


def short(seen: Observed = COLD) -> Observed:
    return replace(seen, troubles={"chat--small": LACKS})


def ready(seen: Observed, **spec: Any) -> tuple[str, str, str]:
    found = condition_of(world.planned(world.route(**spec), seen).status, "Ready")
    assert found is not None
    return found.status, found.reason, found.message


def test_o21_nobody_answers_for_want_of_a_gpu() -> None:
    seen = world.with_router(world.settled(world.route(backends=[VLLM])), readyReplicas=2)
    message = f"small 0/1 warm; small: 0 of 1 replicas are ready: {LACKS}"
    assert ready(short(seen), backends=[VLLM]) == ("False", "InsufficientGPU", message)


def test_o21_others_stand_in_for_want_of_a_gpu() -> None:
    assert ready(short(), backends=[VLLM, HOSTED])[:2] == ("True", "InsufficientGPU")


def test_a_slow_start_is_only_that() -> None:
    assert ready(COLD, backends=[VLLM, HOSTED])[:2] == ("True", "SomeBackendsNotReady")


def test_o20_why_one_does_not_run_is_said_though_another_does() -> None:
    pulled = 'image "vllm:none" cannot be pulled'
    seen = replace(world.settled(world.route(), slices=world.ready("10.0.0.1")), troubles={"chat--small": pulled})
    message = f"small 1/1 warm, big external; small: 1 of 1 replicas are ready: {pulled}"
    assert ready(world.with_router(seen, readyReplicas=2)) == ("True", "AllBackendsReady", message)


def test_o21_it_is_told_once_and_by_its_name() -> None:
    asked: dict[str, Any] = {"backends": [VLLM, HOSTED]}
    old = world.planned(world.route(**asked), COLD).status
    first = world.planned(world.route(old=old, **asked), short(), world.LATER)
    again = world.planned(world.route(old=first.status, **asked), short(), world.LATER)
    assert [e.reason for e in first.events if e.type == "Warning"] == ["InsufficientGPU"]
    assert again.events == ()


def test_o20_a_pod_that_is_refused_is_told_without_its_name() -> None:
    message = 'pods "chat--small-7f9c-x2b1" is forbidden: exceeded quota: gpus'
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}
    seen = world.with_backend(COLD, conditions=[failure])
    found = world.planned(world.route(backends=[VLLM, HOSTED]), seen).status.backends[0].message
    assert found == "0 of 1 replicas are ready: FailedCreate: pods are forbidden: exceeded quota: gpus"
