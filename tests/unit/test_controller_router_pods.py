"""Router pods, as a reconcile deals with them: told of a new snapshot, and listened to."""

from typing import Any, cast

import pytest

from modelroute.controller.beside import Beside
from modelroute.controller.kube.calls import ApiError
from modelroute.controller.kube.kinds import CONFIG_MAP, MODEL_ROUTE, POD, Kind
from modelroute.controller.watching.cache import Key
from modelroute.planning.asking import Asking
from modelroute.planning.names import REVISION_ANNOTATION, router_selector
from modelroute.planning.observed import Told
from modelroute.planning.plan import Plan
from modelroute.planning.settings import Settings
from tests.fakes.kube import FakeCluster
from tests.fakes.manifests import HOSTED
from tests.fakes.reconcilers import reconciler
from tests.unit.test_controller_reconciler import World, pod


def test_a_new_operator_tells_those_router_pods_that_lag() -> None:
    world = World()
    world.reconcile()
    revision = world.cluster.objects[MODEL_ROUTE.name, "chat"]["status"]["router"]["revision"]
    world.cluster.keep(POD, pod("told", **{"modelroute.dev/revision": revision}))
    world.cluster.keep(POD, pod("old", **{"modelroute.dev/revision": "before"}))
    world.cluster.keep(POD, pod("young", made="2026-05-01T09:00:00Z"))
    written = world.cluster.objects[CONFIG_MAP.name, "chat-router-snapshot"]
    written["metadata"]["managedFields"] = [{"manager": "modelroute", "time": "2026-05-01T08:30:00Z"}]
    world.cache.put(CONFIG_MAP, world.cluster.keep(CONFIG_MAP, written))
    world.reconciler = reconciler(world.cluster, world.cache)
    world.reconcile()
    assert world.cluster.writes == ["patch Pod/old"]


def test_all_router_pods_are_told_of_what_was_just_written() -> None:
    world = World()
    world.cluster.keep(POD, pod("a", made="2999-01-01T00:00:00Z"))
    world.cluster.keep(POD, pod("b"))
    world.reconcile()
    assert {"patch Pod/a", "patch Pod/b"} <= set(world.cluster.writes)


def test_router_pods_are_told_of_a_snapshot_that_comes_back() -> None:
    """The one between was seen by some: the API server was in trouble before the others were told."""
    world = World()
    for name in "ab":
        world.cluster.keep(POD, pod(name, made="2999-01-01T00:00:00Z"))
    world.reconcile()
    first = world.cluster.objects[MODEL_ROUTE.name, "chat"]
    world.cluster.keep(MODEL_ROUTE, first | {"spec": {"backends": [HOSTED]}})
    world.cluster.deny("patch", POD, "b", 500)
    with pytest.raises(ApiError):
        world.reconcile()
    world.cluster.refuse.clear()
    world.cluster.keep(MODEL_ROUTE, world.cluster.objects[MODEL_ROUTE.name, "chat"] | {"spec": first["spec"]})
    world.reconcile()
    assert "patch Pod/a" in world.cluster.writes
    assert "patch Pod/b" not in world.cluster.writes


@pytest.mark.parametrize(
    ("mode", "selector"),
    [
        ("Gateway", "modelroute.dev/route=chat,app.kubernetes.io/component=router"),
        ("Sidecar", "modelroute.dev/sidecar=chat"),
        ("None", None),
    ],
)
def test_the_pods_that_mount_the_snapshot_are_told(mode: str, selector: str | None) -> None:
    class Listing(FakeCluster):
        async def select(self, kind: Kind, *where: Any, **more: Any) -> tuple[list[dict[str, Any]], int]:
            asked.append(where[1])
            return await super().select(kind, *where, **more)

    asked: list[str] = []
    world = World(Listing(), router={"mode": mode})
    for name in "abc":
        world.cluster.keep(POD, pod(name))
    world.reconcile()
    assert asked == ([selector] if selector else [])
    told = [write for write in world.cluster.writes if "Pod/" in write]
    assert told == (["patch Pod/a", "patch Pod/b", "patch Pod/c"] if selector else [])


def test_pods_are_not_told_of_a_snapshot_that_could_not_be_written() -> None:
    world = World()
    world.reconcile()
    world.cluster.keep(POD, pod("old"))
    world.cluster.deny("patch", CONFIG_MAP, "chat-router-snapshot", 403)
    route = world.cluster.objects[MODEL_ROUTE.name, "chat"]
    world.cluster.keep(MODEL_ROUTE, route | {"spec": route["spec"] | {"models": ["another"]}})
    with pytest.raises(ApiError):
        world.reconcile()
    assert "patch Pod/old" not in world.cluster.writes


def test_what_pods_say_is_looked_at_and_they_are_asked_on() -> None:
    class Listening:
        """As what goes on beside it: two routers run what they should."""

        followed: Asking | None = None

        def seen(self, _: Key) -> dict[str, Any]:
            return {"told": {f"chat-router-{n}": Told(revision(), 1) for n in "01"}}

        def follow(self, _: Key, planned: Plan, *_more: Any) -> None:
            self.followed = planned.asking

        def forget(self, _: Key) -> None:
            self.followed = None

    def revision() -> str:
        written = world.cluster.objects.get((CONFIG_MAP.name, "chat-router-snapshot"), {"metadata": {}})
        return str(written["metadata"].get("annotations", {}).get(REVISION_ANNOTATION, ""))

    world, listening = World(), Listening()
    settings = Settings("modelroute/router:test")
    world.reconciler = reconciler(world.cluster, world.cache, settings, beside=cast("Beside", listening))
    for number in "01":
        made = pod(f"chat-router-{number}")
        made["metadata"]["labels"] = router_selector("chat")
        made["status"] = {"podIP": f"10.0.9.{number}", "conditions": [{"type": "Ready", "status": "True"}]}
        world.cache.put(POD, made | {"metadata": made["metadata"] | {"uid": number, "resourceVersion": "1"}})
    world.reconcile()
    assert world.cluster.objects[MODEL_ROUTE.name, "chat"]["status"]["router"]["currentReplicas"] == 2
    assert listening.followed is not None
    assert [address for _, address in listening.followed.routers] == ["10.0.9.0:8001", "10.0.9.1:8001"]
    route = world.cluster.objects[MODEL_ROUTE.name, "chat"]
    world.cluster.keep(
        MODEL_ROUTE, route | {"metadata": route["metadata"] | {"deletionTimestamp": "2026-05-01T08:00:00Z"}}
    )
    world.reconcile()
    assert listening.followed is None
