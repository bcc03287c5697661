"""The number of replicas has one writer: what is written, and what is left to others, for every engine."""

from typing import Any

import pytest

from modelroute.api import types as t
from modelroute.planning import names
from modelroute.planning.observed import KubeObject, Observed
from modelroute.planning.resources import count
from modelroute.planning.resources.count import Count
from modelroute.planning.resources.drift import needs_apply
from tests.fakes import world

OTHERS = ("HPA", "KEDA", "External")
OWNED: list[dict[str, Any]] = [{"fieldsV1": {"f:spec": {"f:replicas": {}}}}]


def live(number: int, *, owned: bool = False, noted: int | None = None) -> KubeObject:
    notes = {} if noted is None else {names.REPLICAS_ANNOTATION: str(noted)}
    meta = {"annotations": notes, "managedFields": OWNED if owned else [], "resourceVersion": "7"}
    return {"metadata": meta, "spec": {"replicas": number}}


def backend(**scaling: Any) -> t.Backend:
    return world.of_vllm(scaling=scaling).backend("small")


def counted(engine: str, seen: KubeObject | None, decided: int = 3) -> Count:
    return count.count(backend(engine=engine), seen, decided, scaled_object=False)


def test_a_number_that_is_ours_is_written_and_noted() -> None:
    assert counted("BuiltIn", live(9)) == Count(3, notes={names.REPLICAS_ANNOTATION: "3"})


@pytest.mark.parametrize("engine", OTHERS)
def test_o23_the_first_number_is_ours_whoever_decides_then(engine: str) -> None:
    assert (counted(engine, None).number, counted(engine, None).version) == (3, None)


@pytest.mark.parametrize("engine", OTHERS)
def test_o23_what_nobody_changed_is_written_as_it_is_lest_it_becomes_one(engine: str) -> None:
    found = counted(engine, live(5, owned=True))
    assert (found.number, found.version) == (5, "7")


@pytest.mark.parametrize("engine", OTHERS)
def test_o23_what_someone_else_wrote_is_left_out(engine: str) -> None:
    assert (counted(engine, live(5)).number, counted(engine, live(5)).version) == (None, None)


def test_an_hpa_does_nothing_without_replicas_so_it_is_given_one() -> None:
    found = counted("HPA", live(0, owned=True), 0)
    assert (found.number, found.version) == (1, "7")
    assert counted("HPA", live(0, owned=True), 3).number == 3


@pytest.mark.parametrize(("engine", "owned"), [("HPA", False), ("KEDA", True), ("External", True)])
def test_none_of_anybody_else_stay_none(engine: str, owned: bool) -> None:
    """With an HPA that is how people switch it off."""
    assert counted(engine, live(0, owned=owned)).number in (None, 0)


def test_fields_that_are_not_known_are_nobodys() -> None:
    assert counted("HPA", {"metadata": {}, "spec": {"replicas": 5}}).number is None


def deployment(engine: str, seen: KubeObject | None = None, **scaling: Any) -> KubeObject:
    asked = world.of_vllm(scaling={"engine": engine, "maxReplicas": 8} | scaling)
    found = () if seen is None else (seen,)
    return world.made(asked, "Deployment", "chat--small", Observed(children=found))


def applied(engine: str, number: int, **managed: Any) -> KubeObject:
    """The Deployment as it came back, with so many replicas by now."""
    found = world.live(deployment(engine))
    found["spec"]["replicas"] = number
    found["metadata"] |= managed
    return found


def test_o11_an_edit_of_the_number_is_put_back() -> None:
    assert deployment("BuiltIn", applied("BuiltIn", 7))["spec"]["replicas"] == 1


def test_o23_from_ours_to_an_autoscaler_the_number_stays() -> None:
    found = deployment("HPA", applied("BuiltIn", 4, managedFields=OWNED))
    assert (found["spec"]["replicas"], found["metadata"]["resourceVersion"]) == (4, "7")
    assert names.REPLICAS_ANNOTATION not in found["metadata"]["annotations"]


def test_o23_from_an_autoscaler_to_ours_the_number_stays() -> None:
    assert deployment("BuiltIn", applied("HPA", 4))["spec"]["replicas"] == 4


def test_o23_a_note_that_is_no_longer_made_is_taken_away() -> None:
    """Or the next one to decide would start from a number of long ago."""
    seen = applied("BuiltIn", 4, managedFields=OWNED)
    assert needs_apply(deployment("External", seen), seen)


def test_a_number_is_no_reason_for_another_hash() -> None:
    hashes = {
        deployment("External", seen)["metadata"]["annotations"][names.CONTENT_ANNOTATION]
        for seen in (None, applied("External", 4), applied("External", 4, managedFields=OWNED))
    }
    assert len(hashes) == 1
