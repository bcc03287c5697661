"""Events: one for each step that a person would want to know of, none for the rest."""

from dataclasses import replace
from typing import Any

from modelroute.planning.observed import Observed
from modelroute.planning.status.events import Event
from tests.fakes import world
from tests.fakes.manifests import HOSTED, VLLM

BOTH: dict[str, Any] = {"backends": [VLLM, HOSTED]}
WARM = world.settled(world.route(**BOTH), slices=world.ready("10.0.0.1"))
COLD = world.settled(world.route(**BOTH))
ONLY: dict[str, Any] = {"backends": [VLLM]}
FAILED = [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "quota"}]


def told(before: Observed | None, after: Observed, spec: Any = None, then: Any = None) -> list[tuple[str, str]]:
    """Type and reason of what is told on the way from ``before`` (None: nothing yet) to ``after``."""
    return [(event.type, event.reason) for event in events(before, after, spec or BOTH, then)]


def events(before: Observed | None, after: Observed, spec: Any, then: Any = None) -> tuple[Event, ...]:
    old = world.planned(world.route(**spec), before).status if before else None
    return world.planned(world.route(old=old, **(then or spec)), after, world.LATER).events


def test_nothing_is_told_at_rest() -> None:
    assert told(WARM, WARM) + told(COLD, COLD) == []


def test_nothing_is_told_of_a_start_that_has_just_begun() -> None:
    assert told(None, Observed(), ONLY) == []


def test_nothing_is_told_of_a_route_that_is_well_from_the_first_look() -> None:
    assert told(None, WARM) == []


def test_a_backend_that_became_ready() -> None:
    [event] = events(COLD, WARM, BOTH)
    message = "small takes traffic now: 1 of 1 replicas are ready"
    assert event == Event("Normal", "BackendReady", message)


def test_a_backend_that_is_lost() -> None:
    assert told(WARM, COLD) == [("Warning", "BackendNotReady")]


def test_a_backend_that_became_an_external_one_is_not_lost() -> None:
    assert told(WARM, WARM, then={"backends": [HOSTED | {"name": "small"}, HOSTED]}) == []


def test_a_backend_that_was_sent_to_rest_is_not_lost() -> None:
    then = {"backends": [VLLM | {"scaling": {"minReplicas": 0}}, HOSTED]}
    assert told(WARM, COLD, then=then) == [("Normal", "Scaled")]


def test_a_number_of_replicas() -> None:
    then = {"backends": [VLLM | {"scaling": {"minReplicas": 2}}, HOSTED]}
    [event] = events(WARM, WARM, BOTH, then)
    assert event == Event("Normal", "Scaled", "small 1 → 2: minReplicas is 2")


def test_a_backend_of_another_kind_is_not_scaled() -> None:
    then = {"backends": [HOSTED | {"name": "small"}, HOSTED]}
    assert told(COLD, COLD, then=then) == []


def test_replicas_that_cannot_be_made_are_told_once() -> None:
    failing = world.with_backend(COLD, conditions=FAILED)
    assert (told(COLD, failing), told(failing, failing)) == ([("Warning", "BackendFailing")], [])


def test_a_route_that_answers_and_one_that_does_not() -> None:
    down = world.with_router(WARM, readyReplicas=0)
    assert told(down, WARM) == [("Normal", "Programmed"), ("Normal", "Ready")]
    assert told(WARM, down) == [("Warning", "RouterNotReady")]


def test_a_router_pod_that_restarts_is_no_news() -> None:
    assert told(WARM, world.with_router(WARM, readyReplicas=1)) == []


def test_a_secret_that_is_missing_and_comes() -> None:
    spec = {"backends": [VLLM, world.KEYED]}
    there = Observed(secrets={"openai": frozenset({"api-key"})})
    assert told(None, Observed(), spec) == [("Warning", "SecretNotFound")]
    assert told(Observed(), Observed(), spec) == []
    assert told(Observed(), there, spec) == [("Normal", "ResolvedRefs")]


def test_a_second_secret_that_is_missing() -> None:
    both = {"backends": [world.KEYED, world.KEYED | {"name": "huge"}]}
    assert told(Observed(), Observed(), {"backends": [world.KEYED]}, both) == [("Warning", "SecretNotFound")]


def test_a_name_that_is_taken() -> None:
    taken, another = Observed(foreign=("Service/chat-router",)), Observed(foreign=("ConfigMap/chat-router-snapshot",))
    assert told(None, taken, ONLY) == told(taken, another, ONLY) == [("Warning", "NameConflict")]
    assert told(taken, taken, ONLY) == []


def test_pods_that_cannot_run_are_told_once() -> None:
    failing = replace(COLD, troubles={"chat--small": "no image", "chat-router": "no image"})
    told_of = [("Warning", "RoutersFailing"), ("Warning", "BackendFailing")]
    assert (told(COLD, failing), told(failing, failing)) == (told_of, [])
    assert told(None, failing) == told_of


def test_pods_that_lack_a_claim_are_told_of_by_the_claim_once() -> None:
    spec = {"backends": [VLLM | {"vllm": {"model": "Qwen/Qwen2.5-7B", "modelCache": {"claimName": "models"}}}]}
    failing = replace(COLD, troubles={"chat--small": "unschedulable"})
    assert told(None, failing, spec) == [("Warning", "ClaimNotFound")]
    assert told(failing, failing, spec) == []
