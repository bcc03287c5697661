"""What is said of pods that do not run: the cause, in words that stay while it stays."""

from typing import Any

import pytest

from modelroute.planning.pods import deployment_of, facts, trouble
from modelroute.planning.times.moments import unix

MINUTES = (("logs", 1), ("vllm", 5))
BACK_OFF = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container"}}
ENDED = {"terminated": {"reason": "Error", "exitCode": 1, "finishedAt": "2026-01-01T00:00:00Z"}}
CRASHES = "container vllm ended (Error, exit code 1) and is started again; see `kubectl logs --previous`"
UNPULLED = 'image "vllm:none" cannot be pulled; check its name, and whether the node may pull it'


def pod(state: Any = None, *, meta: Any = None, phase: str = "Pending", **container: Any) -> Any:
    listed = {"name": "vllm", "image": "vllm:none", "ready": False, "state": state or {}, **container}
    return {"metadata": meta or {}, "status": {"phase": phase, "containerStatuses": [listed]}}


def unscheduled(message: str) -> Any:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return {"metadata": {}, "status": {"phase": "Pending", "conditions": [condition]}}


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"])
def test_an_image_is_named_in_the_same_words_at_every_try(reason: str) -> None:
    assert trouble(pod({"waiting": {"reason": reason, "message": "lookup failed at 10:00"}})) == UNPULLED


@pytest.mark.parametrize(
    "states",
    [{"state": BACK_OFF, "lastState": ENDED}, {"state": ENDED}, {"state": {"running": {}}, "lastState": ENDED}],
    ids=["waits", "ended", "runs again"],
)
def test_a_crash_loop_reads_the_same_all_the_way_round(states: Any) -> None:
    assert trouble(pod(restartCount=7, **states)) == CRASHES


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"waiting": {"reason": "ImagePullBackOff"}}, UNPULLED),
        (ENDED, CRASHES.replace("vllm", "fetch")),
        ({"running": {}}, ""),
        ({"terminated": {"reason": "Completed", "exitCode": 0}}, ""),
    ],
    ids=["pull", "crash", "runs", "done"],
)
def test_o20_what_must_run_before_a_container_may_be_in_trouble(state: Any, said: str) -> None:
    found = pod({"waiting": {"reason": "PodInitializing"}})
    done = "terminated" in state and state != ENDED  # the kubelet calls one ready that is
    first = {"name": "fetch", "image": "vllm:none", "ready": done, "state": state}
    found["status"]["initContainerStatuses"] = [first]
    assert trouble(found) == said


def test_what_ended_once_and_is_ready_is_forgiven() -> None:
    assert trouble(pod({"running": {}}, lastState=ENDED, ready=True)) == ""


@pytest.mark.parametrize("reason", ["ContainerCreating", "PodInitializing"])
def test_a_start_is_no_trouble(reason: str) -> None:
    assert trouble(pod({"waiting": {"reason": reason}})) == ""


def test_a_container_that_cannot_be_made() -> None:
    said = trouble(pod({"waiting": {"reason": "CreateContainerError", "message": "id 0a1b2c"}}))
    assert said == "container vllm cannot be started: CreateContainerError; see `kubectl describe pod`"


TAINTED = "node(s) had untolerated taint {a: b}, Insufficient cpu"
NO_HELP = " preemption: 0/9 nodes are available: 9 Preemption is not helpful for scheduling."


@pytest.mark.parametrize(
    ("scheduler", "said"),
    [
        ("0/9 nodes are available: 1 node(s) had untolerated taint {a: b}, 8 Insufficient cpu." + NO_HELP, TAINTED),
        ('persistentvolumeclaim "models" not found', 'persistentvolumeclaim "models" not found'),
        ("no nodes available to schedule pods", "no nodes available to schedule pods"),
        ("", "unknown why"),
    ],
)
def test_no_node_takes_it_whatever_their_number(scheduler: str, said: str) -> None:
    assert trouble(unscheduled(scheduler)) == f"no node can take the pod: {said}"


@pytest.mark.parametrize(
    "ending", [{"meta": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}, {"phase": "Failed"}, {"phase": "Succeeded"}]
)
def test_what_ends_is_nobodys_trouble(ending: Any) -> None:
    assert trouble(pod(BACK_OFF, lastState=ENDED, **ending)) == ""


@pytest.mark.parametrize(
    ("labels", "name"),
    [
        ({"app.kubernetes.io/component": "router"}, "chat-router"),
        ({"app.kubernetes.io/component": "backend", "modelroute.dev/backend": "small"}, "chat--small"),
        ({}, ""),
    ],
)
def test_a_pod_is_told_by_its_labels(labels: dict[str, str], name: str) -> None:
    assert deployment_of(pod(meta={"labels": {"modelroute.dev/route": "chat", **labels}})) == name


def test_a_container_of_a_template_does_not_tell_when_a_replica_started() -> None:
    logs, vllm = ({"name": n, "state": {"running": {"startedAt": f"2026-01-01T00:0{m}:00Z"}}} for n, m in MINUTES)
    found = facts({"metadata": {"name": "p"}, "status": {"containerStatuses": [logs, vllm]}})
    assert found.started == unix("2026-01-01T00:05:00Z")


def test_devices_are_counted_however_their_number_is_written() -> None:
    asking = unscheduled("0/1 nodes are available: 1 Insufficient nvidia.com/gpu.")
    asking["spec"] = {"containers": [{"resources": {"limits": {"nvidia.com/gpu": "1k"}}}]}
    assert trouble(asking) == "no node has 1000 free nvidia.com/gpu"
