"""Warm before traffic: a replica's readiness gate opens by its own answer, and by nothing else."""

import signal
import time

import pytest

from tests.controlplane.plane import Operator, Plane, until
from tests.controlplane.replicas import COLD, address, conditions, gate, make_replica, notes, restart
from tests.controlplane.routes import (
    ROUTER,
    SMALL,
    at_rest,
    create,
    route,
    settle,
)
from tests.fakes.standin import Standin, standin

RUNNING = 'vllm:num_requests_running{engine="0",model_name="small"} 1.0'
NAMED = ("--served-model-name", "small")


def chats(server: Standin) -> int:
    """How often it has answered, or refused, a chat."""
    lines = [line for line in server.ask("GET", "/metrics")[1].splitlines() if "/v1/chat/completions" in line]
    return sum(int(float(line.rsplit(" ", 1)[1])) for line in lines)


def start(plane: Plane, namespace: str, host: str) -> None:
    """A route, and a replica whose containers are ready."""
    create(plane, namespace, backends=[COLD])
    make_replica(plane, namespace, "small-a")
    plane.make_pods_ready(namespace, "backend", host)


def opened(plane: Plane, namespace: str, seconds: float = 60) -> str:
    """The message of the gate once it is open."""

    def met() -> str:
        found = gate(plane, namespace, "small-a")
        return found["message"] if found["status"] == "True" else ""

    message: str = until("the gate is open", met, seconds)
    return message


def test_a_replica_takes_traffic_after_its_first_answer_and_not_before(
    plane: Plane, operator: Operator, namespace: str
) -> None:
    host = address()
    start(plane, namespace, host)
    why = "small-a gets no requests before its first answer: the connection is refused"
    until("its trouble is told", lambda: why in notes(plane, namespace, "WarmupFailed"), seconds=60)
    until("and stays told", lambda: why in route(plane, namespace)["status"]["backends"][0]["message"])
    assert conditions(plane, namespace, "small-a")["Ready"] == "False"
    with standin(*NAMED, host=host, port=8000):
        figures = opened(plane, namespace)
    assert "/health " in figures
    assert ", first answer " in figures
    plane.make_pods_ready(namespace, "backend")
    found = conditions(plane, namespace, "small-a")
    assert {kind: found[kind] for kind in ("PodScheduled", "ContainersReady", "Ready")} == dict.fromkeys(
        ("PodScheduled", "ContainersReady", "Ready"), "True"
    )
    until("its story is told", lambda: notes(plane, namespace, "WarmedUp"))
    assert notes(plane, namespace, "WarmedUp") == [f"small-a: {figures}; takes traffic now"]
    until("the status says when", lambda: "warmup" in route(plane, namespace)["status"]["backends"][0])


def test_a_replica_that_serves_another_model_stays_out_and_is_told_why(
    plane: Plane, operator: Operator, namespace: str
) -> None:
    host = address()
    with standin("--served-model-name", "other", host=host, port=8000):
        start(plane, namespace, host)
        [note] = until("its trouble is told", lambda: notes(plane, namespace, "WarmupFailed"), seconds=60)
    assert "/v1/chat/completions said 404: The model `small` does not exist" in note
    assert gate(plane, namespace, "small-a")["status"] == ""


def test_a_server_of_embeddings_is_warmed_by_one(plane: Plane, operator: Operator, namespace: str) -> None:
    host = address()
    with standin(*NAMED, "--task", "embed", host=host, port=8000):
        start(plane, namespace, host)
        opened(plane, namespace)


def test_a_container_that_is_started_again_has_to_answer_again(
    plane: Plane, operator: Operator, namespace: str
) -> None:
    host = address()
    with standin(*NAMED, host=host, port=8000) as server:
        start(plane, namespace, host)
        opened(plane, namespace)
        plane.make_pods_ready(namespace, "backend")
        time.sleep(1.1)  # the API's times are whole seconds
        restart(plane, namespace, "small-a")
        until("the gate is closed", lambda: gate(plane, namespace, "small-a")["reason"] == "Restarted")
        before = chats(server)
        plane.make_pods_ready(namespace, "backend")
        assert conditions(plane, namespace, "small-a")["Ready"] == "False"
        opened(plane, namespace)
        assert chats(server) == before + 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_o09_an_operator_that_ends_in_the_middle_of_a_ping_asks_once_more(
    plane: Plane, stopped: Operator, namespace: str, number: signal.Signals
) -> None:
    host = address()
    with standin(*NAMED, "--standin-first-request", "60s", host=host, port=8000) as server:
        start(plane, namespace, host)
        stopped.start()
        until("it is asked", lambda: RUNNING in server.ask("GET", "/metrics")[1], seconds=60)
        stopped.end(number)
        stopped.start()
        opened(plane, namespace)
        assert chats(server) == 1


def test_while_no_operator_runs_a_replica_waits(plane: Plane, stopped: Operator, namespace: str) -> None:
    host = address()
    with standin(*NAMED, host=host, port=8000) as server:
        start(plane, namespace, host)
        assert (gate(plane, namespace, "small-a")["status"], chats(server)) == ("", 0)
        stopped.start()
        opened(plane, namespace)


def test_warming_up_done_nothing_is_written(plane: Plane, operator: Operator, namespace: str) -> None:
    host = address()
    with standin(*NAMED, host=host, port=8000) as server:
        start(plane, namespace, host)
        opened(plane, namespace)
        plane.make_pods_ready(namespace, "backend")
        settle(plane, namespace, ROUTER | SMALL)
        until("the status says when", lambda: "warmup" in route(plane, namespace)["status"]["backends"][0])
        mark, asked = at_rest(plane, namespace), chats(server)
        time.sleep(7)  # longer than what was done rests
        assert (plane.writes(mark, namespace), chats(server)) == ([], asked)
