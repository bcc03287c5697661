"""The operator dies at its worst moments, and what comes of it is what would have come without that."""

import random
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import pytest

from modelroute.controller.kube.kinds import MODEL_ROUTE
from tests.controlplane.endstate import end_state, states_when_alike
from tests.controlplane.plane import HOME, Operator, Plane, until
from tests.controlplane.routes import CACHED, KEYED, ROUTER, SMALL, becomes, create, put_service, route, settle, touch
from tests.fakes.manifests import BOTH, HOSTED, MISTAKES, VLLM, manifest
from tests.fakes.mortal_operator import DEATH
from tests.fakes.specs import spec

FIRST = {"backends": [CACHED, HOSTED], "fallbacks": [{"backend": "big"}]}
SECOND = {"backends": [VLLM | {"weight": 3}, KEYED], "router": {"replicas": 3}}
AUTOSCALED = {"engine": "HPA", "maxReplicas": 4}
CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any], int]] = {
    "all": (FIRST, SECOND, 4),
    "HPA to BuiltIn": (
        {"backends": [VLLM | {"scaling": AUTOSCALED}]},
        {"backends": [VLLM | {"scaling": AUTOSCALED | {"engine": "BuiltIn"}}]},
        2,
    ),
    "Gateway to Sidecar": ({}, {"backends": BOTH, "router": {"mode": "Sidecar"}}, 4),
    "Sidecar to None": ({"router": {"mode": "Sidecar"}}, {"backends": BOTH, "router": {"mode": "None"}}, 1),
    "a cache less": ({"backends": [CACHED]}, {"backends": [HOSTED]}, 4),
}
"""A change, and how many writes it takes at least."""
MOST_WRITES = 20
SHORT = "--lease-duration=2"  # it waits for someone who may have worked there without a lease
ROUNDS, ROUTES = 20, 10


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """A control plane where no other operator works."""
    made = Plane(tmp_path_factory.mktemp("alone"))
    yield made
    made.stop()


def work(
    plane: Plane,
    namespaces: list[str],
    *arguments: str,
    lease_in: str = HOME,
    program: tuple[str, ...] = ("modelroute.cli.main",),
) -> int:
    """Run an operator until it has told of all that is there, and is at rest, and end it.

    Its exit code, which is of its own making when it died.
    """
    operator = Operator(plane.directory / "kubeconfig", *arguments, lease_in=lease_in, program=program)

    def done() -> bool:
        return operator.ready() and all(is_all_told(plane, n) for n in namespaces) and rests(operator)

    until("it is dead, or at rest", lambda: not operator.running() or done(), 120)
    return operator.end() if operator.running() else operator.wait()


def rests(operator: Operator) -> bool:
    """Whether nothing was reconciled for half a second."""
    before = operator.metric("modelroute_reconcile_seconds_count")
    time.sleep(0.5)
    return before > 0 and operator.metric("modelroute_reconcile_seconds_count") == before


def deaths(plane: Plane, namespaces: Iterable[str], begin: Callable[[str], object]) -> list[str]:
    """Begin in one namespace after the other, with an operator that dies after one write, two, ...; all used ones.

    The last of them is that where it did not come to die.
    """
    used: list[str] = []
    for writes, namespace in enumerate(namespaces, 1):
        begin(namespace)
        used.append(namespace)
        program = ("tests.fakes.mortal_operator", str(writes))
        if work(plane, [namespace], f"--namespace={namespace}", SHORT, lease_in=namespace, program=program) != DEATH:
            return used
    pytest.fail(f"more than {len(used)} writes")


def ends(plane: Plane, namespaces: list[str]) -> list[dict[str, Any]]:
    """What is there when an operator that lives has had its time: as soon as all is alike, or at last."""
    operator = Operator(plane.directory / "kubeconfig", lease_in=HOME)
    try:
        for namespace in namespaces:
            until(f"{namespace} is told", partial(is_all_told, plane, namespace), seconds=120)
        until("it is at rest", lambda: rests(operator), 60)
        return states_when_alike(plane, namespaces)
    finally:
        operator.end()


def test_o09_g10_killed_after_each_write_of_a_first_reconcile_it_ends_alike(alone: Plane) -> None:
    fresh = (alone.namespace() for _ in range(MOST_WRITES))
    used = deaths(alone, fresh, lambda namespace: create(alone, namespace, **FIRST))
    assert len(used) > 8, "it wrote less than the children that there are"
    *killed, unharmed = ends(alone, used)
    for state in killed:
        assert state == unharmed


@pytest.mark.parametrize(("before", "after", "least"), CHANGES.values(), ids=CHANGES)
def test_o09_g10_killed_after_each_write_of_a_change_it_ends_alike(
    alone: Plane, before: dict[str, Any], after: dict[str, Any], least: int
) -> None:
    prepared = [alone.namespace() for _ in range(MOST_WRITES)]
    for namespace in prepared:
        create(alone, namespace, **before)
    work(alone, prepared)
    used = deaths(alone, prepared, lambda n: alone.admin.replace(MODEL_ROUTE, n, "chat", "/spec", after))
    assert len(used) > least, "it wrote less than what changes"
    *killed, unharmed = ends(alone, used)
    for state in killed:
        assert state == unharmed
    for namespace in prepared:
        alone.admin.must("DELETE", f"/api/v1/namespaces/{namespace}")


@pytest.mark.timeout(900)
def test_two_hundred_changes_end_as_if_there_had_been_none_before(
    plane: Plane, operator: Operator, namespace: str
) -> None:
    chance = random.Random(20)
    names = [f"r{i}" for i in range(ROUTES)]
    put_service(plane, namespace, "legacy")
    for name in names:
        plane.admin.create(MODEL_ROUTE, namespace, manifest(name, namespace) | {"spec": spec(chance)})
    for _ in range(ROUNDS):
        straight = plane.namespace()
        put_service(plane, straight, "legacy")
        for name in names:
            wanted = spec(chance)
            plane.admin.replace(MODEL_ROUTE, namespace, name, "/spec", wanted)
            plane.admin.create(MODEL_ROUTE, straight, manifest(name, straight) | {"spec": wanted})
        settle_alike(plane, namespace, straight)
        plane.admin.must("DELETE", f"/api/v1/namespaces/{straight}")


def settle_alike(plane: Plane, one: str, other: str) -> None:
    """Wait until both namespaces hold the same, and all is told of; what differs is shown if they never do."""
    for where in (one, other):
        until(f"{where} is told", partial(is_all_told, plane, where), seconds=120)
    mine, theirs = states_when_alike(plane, (one, other))
    assert mine == theirs


def is_all_told(plane: Plane, namespace: str) -> bool:
    routes = plane.admin.all(MODEL_ROUTE, namespace)
    return all(r.get("status", {}).get("observedGeneration") == r["metadata"]["generation"] for r in routes)


def test_a_refused_change_leaves_what_was(plane: Plane, operator: Operator, namespace: str) -> None:
    create(plane, namespace)
    settle(plane, namespace, ROUTER | SMALL)
    # What the scheduler has to say of the pods comes a moment later, and is told.
    becomes(plane, namespace, "Programmed", "False", "RoutersFailing")
    until("why there is no replica", lambda: "no node" in route(plane, namespace)["status"]["backends"][0]["message"])
    before = end_state(plane, namespace)
    for mistake in MISTAKES.values():
        change = [{"op": "replace", "path": "/spec", "value": manifest(**mistake.spec)["spec"]}]
        path = MODEL_ROUTE.path(namespace, "chat")
        answer = plane.admin.ask("PATCH", path, change, "json-patch+json", fieldValidation="Strict")
        assert answer.status_code in (400, 422), mistake
    touch(plane, operator, namespace)
    assert end_state(plane, namespace) == before
