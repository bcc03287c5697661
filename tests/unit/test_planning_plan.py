"""The plan as a whole: what is written, what is deleted, what is left alone."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from modelroute.api.status import Status
from modelroute.errors import InvalidManifestError
from modelroute.planning.observed import KubeObject, Observed
from modelroute.planning.plan import Plan
from modelroute.planning.status import report
from modelroute.planning.status.report import Refusal, refused
from tests.fakes import world
from tests.fakes.manifests import HOSTED, VLLM

CACHED = {"name": "small", "vllm": {"model": "m", "modelCache": {"size": "1Gi"}}}
ROUTER = {
    "ConfigMap/chat-router-snapshot",
    "ServiceAccount/chat-router",
    "Service/chat-router",
    "PodDisruptionBudget/chat-router",
    "Deployment/chat-router",
}
OF_SMALL = {f"{kind}/chat--small" for kind in ("Service", "PodDisruptionBudget", "Deployment")}
OF_SMALL |= {"PersistentVolumeClaim/chat--small-cache"}
LONG: dict[str, Any] = {
    "backends": [HOSTED | {"name": f"b{i}", "parameters": {"systemPrompt": "x" * 32768}} for i in range(30)]
}


def names(objects: tuple[KubeObject, ...]) -> set[str]:
    return {f"{o['kind']}/{o['metadata']['name']}" for o in objects}


def condition(status: Status, type_: str) -> tuple[str, str, str]:
    found = next(c for c in status.conditions if c.type == type_)
    return found.status, found.reason, found.message


class TestObjects:
    def test_a_vllm_backend_has_children_and_others_have_none(self) -> None:
        found = names(world.planned(world.route(backends=[CACHED, world.BEHIND, world.KEYED])).objects)
        assert found - ROUTER == OF_SMALL

    def test_what_pods_need_comes_before_them(self) -> None:
        kinds = [o["kind"] for o in world.planned(world.route(backends=[CACHED])).objects]
        assert kinds.index("ConfigMap") < kinds.index("Deployment")
        assert kinds.index("PersistentVolumeClaim") < kinds.index("Deployment")

    def test_what_belongs_to_someone_else_is_left_alone(self) -> None:
        foreign = ("Deployment/chat--small", "Service/chat-router")
        assert names(world.planned(world.route(), Observed(foreign=foreign)).objects).isdisjoint(foreign)

    def test_one_input_gives_one_plan(self) -> None:
        one, other = (world.planned(world.route(), world.settled(world.route())) for _ in range(2))
        assert (one, msgspec.json.encode(one.status)) == (other, msgspec.json.encode(other.status))


class TestOrphans:
    def plan(self, *backends: KubeObject, **metadata: str) -> Plan:
        """A route that had a backend with a cache, now with these."""
        seen = world.settled(world.route(backends=[CACHED, HOSTED]))
        for child in seen.children:
            child["metadata"] |= metadata
        return world.planned(world.route(backends=list(backends)), seen)

    def test_a_backend_takes_its_children_along(self) -> None:
        found = names(self.plan(HOSTED).orphans)
        assert found == OF_SMALL

    def test_a_claim_goes_when_it_is_no_longer_asked_for(self) -> None:
        assert names(self.plan(VLLM, HOSTED).orphans) == {"PersistentVolumeClaim/chat--small-cache"}

    def test_what_is_asked_for_stays(self) -> None:
        assert self.plan(CACHED, HOSTED).orphans == ()

    def test_what_is_going_is_not_deleted_again(self) -> None:
        assert self.plan(HOSTED, deletionTimestamp=world.NOW).orphans == ()


class TestOversize:
    def test_the_snapshot_is_not_written_and_the_last_one_stays(self) -> None:
        seen = world.settled(world.route())
        found = world.planned(world.route(**LONG), seen)
        assert "ConfigMap/chat-router-snapshot" not in names(found.objects) | names(found.orphans)

    def test_the_revision_is_that_of_the_last_one(self) -> None:
        seen = world.settled(world.route())
        found = world.planned(world.route(**LONG), seen)
        last = world.planned(world.route()).revision
        assert (found.revision, found.status.router.revision) == (last, last)

    @pytest.mark.parametrize(
        ("seen", "stays"),
        [
            (world.settled(world.route()), f"revision {world.planned(world.route()).revision} stays in force"),
            (Observed(), "no earlier one is in force"),
        ],
    )
    def test_it_is_said_what_to_do(self, seen: Observed, stays: str) -> None:
        status, reason, message = condition(world.planned(world.route(**LONG), seen).status, "Programmed")
        assert (status, reason, stays in message, "shorten" in message) == ("False", "SnapshotTooLarge", True, True)

    def test_what_just_fits_is_written(self, monkeypatch: pytest.MonkeyPatch) -> None:
        data = world.made(world.route(), "ConfigMap", "chat-router-snapshot")["data"]["snapshot.json"]
        monkeypatch.setattr(report, "MAX_SNAPSHOT_BYTES", len(data))
        assert "ConfigMap/chat-router-snapshot" in names(world.planned(world.route()).objects)


class TestNearlyTooLarge:
    """O25: a person hears of it while there is room still."""

    SHORT = len(world.made(world.route(), "ConfigMap", "chat-router-snapshot")["data"]["snapshot.json"])

    def accepted(self, monkeypatch: pytest.MonkeyPatch, percent: float, old: Status | None = None) -> tuple[str, str]:
        """Status and reason where the snapshot takes so much of what it may."""
        monkeypatch.setattr(report, "MAX_SNAPSHOT_BYTES", int(self.SHORT * 100 / percent))
        return condition(world.planned(world.route(old=old)).status, "Accepted")[:2]

    @pytest.mark.parametrize(("percent", "reason"), [(79.5, "Accepted"), (81, "SnapshotLarge"), (100, "SnapshotLarge")])
    def test_o25_over_four_fifths_there_is_a_warning(
        self, monkeypatch: pytest.MonkeyPatch, percent: float, reason: str
    ) -> None:
        assert self.accepted(monkeypatch, percent) == ("True", reason)

    @pytest.mark.parametrize(("percent", "reason"), [(76, "SnapshotLarge"), (74, "Accepted")])
    def test_it_ends_well_below(self, monkeypatch: pytest.MonkeyPatch, percent: float, reason: str) -> None:
        monkeypatch.setattr(report, "MAX_SNAPSHOT_BYTES", self.SHORT)
        warned = world.planned(world.route()).status
        assert self.accepted(monkeypatch, percent, warned) == ("True", reason)

    def test_it_is_told_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        calm = world.planned(world.route()).status
        monkeypatch.setattr(report, "MAX_SNAPSHOT_BYTES", self.SHORT)
        first = world.planned(world.route(old=calm))
        again = world.planned(world.route(old=first.status))
        assert [[e.reason for e in found.events] for found in (first, again)] == [["SnapshotLarge"], []]

    def test_o25_endpoints_count_too_and_never_half_of_them_is_written(self) -> None:
        many = [f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(60_000)]
        seen = world.settled(world.route(), slices=world.ready("10.0.0.1"))
        found = world.planned(world.route(), replace(seen, slices=world.ready(*many)))
        assert condition(found.status, "Programmed")[1] == "SnapshotTooLarge"
        assert "ConfigMap/chat-router-snapshot" not in names(found.objects)
        assert found.revision == found.asking.revision == world.planned(world.route(), seen).revision


class TestRefused:
    ERROR = InvalidManifestError("spec.backends[0].weight", "is not a number")

    def refuse(self, old: Status | None) -> Refusal:
        metadata = msgspec.structs.replace(world.route().metadata, generation=9)
        return refused(metadata, old, self.ERROR, world.moment(world.LATER))

    def good(self) -> Status:
        return world.planned(world.route(), world.settled(world.route())).status

    def test_the_field_and_the_mistake_are_named(self) -> None:
        found = condition(self.refuse(self.good()).status, "Accepted")
        assert found == ("False", "InvalidSpec", "spec.backends[0].weight: is not a number")

    def test_all_else_stays(self) -> None:
        old = self.good()
        new = self.refuse(old).status
        assert (new.conditions[1:], new.backends, new.router) == (old.conditions[1:], old.backends, old.router)
        assert new.observed_generation == 9

    def test_a_route_that_never_ran_is_not_ready(self) -> None:
        found = condition(self.refuse(None).status, "Ready")
        assert found == ("False", "InvalidSpec", "nothing runs yet: the spec is not valid")

    def test_it_is_told_once(self) -> None:
        first = self.refuse(self.good())
        assert [e.reason for e in first.events] == ["InvalidSpec"]
        assert self.refuse(first.status).events == ()

    def test_it_is_forgotten_when_the_spec_is_mended(self) -> None:
        mended = world.planned(world.route(old=self.refuse(self.good()).status), world.settled(world.route()))
        assert condition(mended.status, "Accepted")[0] == "True"
        assert [(e.type, e.reason) for e in mended.events] == [("Normal", "Accepted")]
