"""O26: an upgrade of the operator restarts no replica, nor does a downgrade. ``previous`` is what it made before.

The pod template of what runs must stay as it is, though a new backend's has a readiness gate. When a release is made,
``planning`` is copied over ``previous``, and the CRD beside it, which the tests of what is stored install.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from modelroute.planning import names
from modelroute.planning.observed import KubeObject, Observed
from modelroute.planning.resources.drift import needs_apply
from tests.fakes import world
from tests.golden.test_planning_golden import FULL, SEEN, SMALL

PREVIOUS = Path(__file__).parent / "previous"
WORLDS: dict[str, tuple[dict[str, Any], Observed]] = {"small": (SMALL, Observed()), "full": (FULL, SEEN)}
BACKENDS = [("small", "chat--small"), ("full", "chat--large"), ("full", "chat--shared")]


def previous(name: str) -> tuple[KubeObject, ...]:
    """What the operator of before had made, as it is in the cluster."""
    return tuple(world.live(o) for o in yaml.safe_load_all((PREVIOUS / f"{name}.yaml").read_text()))


def deployment(objects: tuple[KubeObject, ...], name: str) -> KubeObject:
    [found] = [o for o in objects if (o["kind"], o["metadata"]["name"]) == ("Deployment", name)]
    return found


def planned(name: str, live: tuple[KubeObject, ...], **changes: Any) -> tuple[KubeObject, ...]:
    """The objects of now, where ``live`` runs; ``changes`` are made to the first backend."""
    spec, seen = WORLDS[name]
    first, *others = spec["backends"]
    changed = spec | {"backends": [first | {k: first.get(k, {}) | v for k, v in changes.items()}, *others]}
    world_seen = Observed(children=live, slices=seen.slices, services=seen.services, secrets=seen.secrets)
    return world.planned(world.route(**changed), world_seen).objects


@pytest.mark.parametrize(("name", "backend"), BACKENDS)
def test_o26_no_replica_is_restarted(name: str, backend: str) -> None:
    before = deployment(previous(name), backend)
    after = deployment(planned(name, previous(name)), backend)
    assert after["spec"]["template"] == before["spec"]["template"]


@pytest.mark.parametrize(("name", "backend"), BACKENDS)
def test_o26_the_rest_of_a_deployment_stays_but_for_notes(name: str, backend: str) -> None:
    before = deployment(previous(name), backend)
    after = deployment(planned(name, previous(name)), backend)
    assert after["spec"] == before["spec"]
    assert needs_apply(after, before)


@pytest.mark.parametrize("name", WORLDS)
def test_o26_one_write_later_all_is_at_rest(name: str) -> None:
    once = planned(name, previous(name))
    live = tuple(world.live(o) for o in once)
    again = planned(name, live)
    assert again == once
    assert not any(needs_apply(o, found) for o, found in zip(again, live, strict=True))


def test_o26_the_number_of_replicas_may_change_without_a_restart() -> None:
    live = tuple(world.live(o) for o in planned("small", previous("small")))
    before = deployment(previous("small"), "chat--small")
    after = deployment(planned("small", live, scaling={"minReplicas": 3}), "chat--small")
    assert after["spec"]["template"] == before["spec"]["template"]
    assert after["spec"]["replicas"] == 3


def test_o26_a_change_of_the_spec_brings_the_gate_since_it_restarts_anyway() -> None:
    live = tuple(world.live(o) for o in planned("small", previous("small")))
    after = deployment(planned("small", live, vllm={"image": "vllm:next"}), "chat--small")
    assert after["spec"]["template"]["spec"]["readinessGates"] == [{"conditionType": names.WARM_GATE}]
    assert names.FORM_ANNOTATION not in after["metadata"]["annotations"]


def test_o26_a_field_that_was_not_known_before_is_a_change() -> None:
    after = deployment(planned("small", previous("small"), vllm={"nodeSelector": {"a": "b"}}), "chat--small")
    assert "readinessGates" in after["spec"]["template"]["spec"]


def test_o26_an_edit_by_hand_does_not_end_what_is_kept() -> None:
    live = tuple(world.live(o) for o in planned("small", previous("small")))
    edited = deployment(live, "chat--small")
    edited["spec"]["template"]["spec"]["containers"][0]["image"] = "mine"
    after = deployment(planned("small", live), "chat--small")
    assert after["spec"]["template"] == deployment(previous("small"), "chat--small")["spec"]["template"]


def test_o26_who_turns_the_gate_on_later_gets_it() -> None:
    off = {"warmup": {"readinessGate": False}}
    live = tuple(world.live(o) for o in planned("small", previous("small"), **off))
    assert "readinessGates" not in deployment(live, "chat--small")["spec"]["template"]["spec"]
    after = deployment(planned("small", live), "chat--small")
    assert "readinessGates" in after["spec"]["template"]["spec"]


@pytest.mark.parametrize(("name", "backend"), BACKENDS)
def test_o26_the_operator_of_before_finds_the_template_that_it_would_make(name: str, backend: str) -> None:
    upgraded = world.live(deployment(planned(name, previous(name)), backend))
    downgraded = deployment(previous(name), backend)
    assert not needs_apply(downgraded["spec"]["template"], upgraded["spec"]["template"])
    assert upgraded["spec"]["template"] == downgraded["spec"]["template"]


def test_what_is_new_has_the_gate() -> None:
    found = deployment(planned("small", ()), "chat--small")
    assert "readinessGates" in found["spec"]["template"]["spec"]
