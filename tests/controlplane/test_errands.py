"""Errands on a real API server and with servers that answer: slots of schedules, sleep and wake."""

import asyncio
import json
from typing import Any

import pytest

from modelroute.controller import metrics
from modelroute.planning.errands import Errand, Mark, Sleep, Wake, WarmUp
from modelroute.planning.names import SLEEPING_ANNOTATION
from modelroute.planning.times.moments import rfc3339
from tests.controlplane.inside import Inside
from tests.controlplane.plane import Operator, Plane, until
from tests.controlplane.replicas import COLD, address, make_replica, notes
from tests.controlplane.routes import create, route
from tests.fakes.standin import Standin, standin

SCHEDULED = COLD | {"warmup": {"schedules": [{"name": "often", "cron": "* * * * *"}]}}


@pytest.fixture
def replicas(plane: Plane, stopped: Operator, namespace: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses of two replicas that are ready, named small-a and small-b; the operator is the test's own."""
    monkeypatch.setenv("KUBECONFIG", str(plane.operator_kubeconfig))
    hosts = [address(), address()]
    create(plane, namespace, backends=[SCHEDULED])
    for name in ("small-a", "small-b"):
        make_replica(plane, namespace, name, gated=False)
    plane.make_pods_ready(namespace, "backend", *hosts)
    return hosts


def served(host: str) -> Any:
    """A vLLM at that address."""
    return standin("--served-model-name", "small", host=host, port=8000, VLLM_SERVER_DEV_MODE="1")


def status(plane: Plane, namespace: str) -> dict[str, Any]:
    """What is told of the backend's warm-ups."""
    found: dict[str, Any] = route(plane, namespace)["status"]["backends"][0].get("warmup", {})
    return found


async def comes(operator: Inside) -> str:
    """The slot of the next minute, once it has come: a schedule begins with what comes after it was first seen."""
    slot = (operator.now // 60 + 1) * 60
    operator.now = slot - 1
    await operator.look()
    operator.now = slot + 3
    return rfc3339(slot)


def test_o22_a_slot_is_one_warm_up_of_every_ready_replica_told_in_the_status_metrics_and_events(
    plane: Plane, replicas: list[str], namespace: str
) -> None:
    async def carried_out() -> float:
        async with Inside(namespace) as operator:
            slot = await comes(operator)
            for _ in range(3):
                await operator.look()
                await operator.idle()
            labels = (namespace, "chat", "small")
            assert metrics.WARMUP_FAILURES.labels(*labels)._value.get() == 1
            assert metrics.WARMUP_SECONDS.labels(*labels)._sum.get() > 0
            assert status(plane, namespace)["slots"] == {"often": slot}
            return operator.now

    with served(replicas[0]) as server:
        now = asyncio.run(carried_out())
        assert 'handler="/v1/chat/completions",method="POST",status="2xx"} 1.0' in server.ask("GET", "/metrics")[1]
    found = status(plane, namespace)
    why = "often: 1 of 2 replicas did not answer: small-b: the connection is refused"
    assert (found["time"], found["failures"], found["message"]) == (rfc3339(now), 1, why)
    assert found["milliseconds"] > 0
    assert notes(plane, namespace, "WarmupFailed") == [f"small, {why}"]


def test_o22_an_operator_that_ends_in_the_middle_of_a_slot_counts_it_once(
    plane: Plane, replicas: list[str], namespace: str
) -> None:
    async def twice() -> None:
        async with Inside(namespace) as first:
            slot = await comes(first)
            await first.look()
            await first.idle()  # all have answered, and the status does not have it yet
        assert status(plane, namespace)["slots"] != {"often": slot}
        async with Inside(namespace) as second:
            second.now = first.now
            for _ in range(3):
                await second.look()
                await second.idle()

    with served(replicas[0]), served(replicas[1]) as server:
        asyncio.run(twice())
        assert 'handler="/v1/chat/completions",method="POST",status="2xx"} 2.0' in server.ask("GET", "/metrics")[1]
    assert status(plane, namespace)["failures"] == 0
    assert len(notes(plane, namespace, "WarmedUp")) == 1


def sleeping(plane: Plane, namespace: str, server: Standin) -> tuple[bool, bool]:
    """Whether the replica small-a sleeps, and whether it is marked so."""
    said = json.loads(server.ask("GET", "/is_sleeping")[1])["is_sleeping"]
    pod = plane.admin.must("GET", f"/api/v1/namespaces/{namespace}/pods/small-a")
    return said, SLEEPING_ANNOTATION in pod["metadata"].get("annotations", {})


def test_a_replica_sleeps_and_wakes_and_its_mark_goes_when_it_has_answered(
    plane: Plane, replicas: list[str], namespace: str
) -> None:
    place = f"{replicas[0]}:8000"
    mark = Mark("small-a", ((SLEEPING_ANNOTATION, rfc3339(0)),))

    async def sent(*errands: Errand) -> str:
        async with Inside(namespace) as operator:
            await operator.list()
            for errand in errands:
                operator.beside.errands.hand(operator.key, [errand], ["small-a"], ["small"])
                await operator.idle()
            return " ".join(operator.beside.errands.seen(operator.key).stuck.values())

    with served(replicas[0]) as server:
        assert asyncio.run(sent(mark, Sleep("small", "small-a", place))) == ""
        assert sleeping(plane, namespace, server) == (True, True)
        asked = WarmUp("small", "small-a", place, "small", "ping", 1, 60.0)
        assert asyncio.run(sent(Wake(asked), Wake(asked))) == ""
        assert sleeping(plane, namespace, server) == (False, False)
    until("its story is told", lambda: notes(plane, namespace, "FellAsleep") and notes(plane, namespace, "WokeUp"))
