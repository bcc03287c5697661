"""The operator's process: at rest, ended, killed, without a right that it needs, and with the API server gone."""

import asyncio
import signal

import pytest

from modelroute.controller.kube.cluster import Cluster, credentials
from modelroute.controller.kube.kinds import POD, WATCHED
from modelroute.controller.watching.cache import Cache, Key
from modelroute.planning.observed import KubeObject
from modelroute.planning.settings import Settings
from tests.controlplane.plane import Operator, Plane, until
from tests.controlplane.routes import (
    CACHE,
    CACHED,
    ROUTER,
    ROUTER_PODS,
    SMALL,
    at_rest,
    create,
    names,
    route,
    settle,
    touch,
)
from tests.fakes.manifests import HOSTED
from tests.fakes.reconcilers import reconciler

SETTINGS = Settings(router_image="modelroute/router:test")


def test_at_rest_nothing_is_written(plane: Plane, operator: Operator, namespace: str) -> None:
    create(plane, namespace)
    settle(plane, namespace, ROUTER | SMALL)
    touch(plane, operator, namespace)
    mark = at_rest(plane, namespace)
    for _ in range(5):
        touch(plane, operator, namespace)
    assert plane.writes(mark, namespace) == []


def test_a_restart_writes_nothing(plane: Plane, operator: Operator, namespace: str) -> None:
    create(plane, namespace)
    settle(plane, namespace, ROUTER | SMALL)
    until("2 router pods", lambda: len(plane.admin.all(POD, namespace, ROUTER_PODS)) == 2)
    touch(plane, operator, namespace)
    at_rest(plane, namespace)
    operator.end()
    mark = plane.mark()
    operator.start()
    until("the operator works again", operator.leads, 60)
    touch(plane, operator, namespace)
    assert plane.writes(mark, namespace) == []


def test_it_ends_when_it_is_told_to(plane: Plane, stopped: Operator) -> None:
    stopped.start()
    until("the operator works", stopped.ready, 60)
    assert stopped.end() == 0


def test_o09_a_killed_operator_goes_on_where_it_was(plane: Plane, stopped: Operator, namespace: str) -> None:
    create(plane, namespace)
    stopped.start()
    until("a first child", lambda: names(plane, namespace), 60)  # to wait until it leads could be to miss it
    stopped.end(signal.SIGKILL)
    stopped.start()
    until("its lease has run out, and it leads", stopped.leads, 60)
    settle(plane, namespace, ROUTER | SMALL)


def test_one_namespace_is_served_with_the_rights_of_that_one(plane: Plane, stopped: Operator, namespace: str) -> None:
    other = plane.namespace()
    create(plane, other)
    alone = Operator(plane.identity(namespace, clusterwide=False), f"--namespace={namespace}")
    try:
        until("it is ready, though there is nothing to see", alone.ready, 60)
        create(plane, namespace)
        settle(plane, namespace, ROUTER | SMALL)
    finally:
        alone.end()
    assert names(plane, other) == set()


class Cut(Cluster):
    """A way to the API server that is lost, with the process, after so many writes."""

    def __init__(self, cluster: Cluster, left: int) -> None:
        self._client, self._fence = cluster._client, None
        self.left = left

    def _spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise asyncio.CancelledError

    async def apply(self, desired: KubeObject) -> KubeObject:
        self._spend()
        return await super().apply(desired)

    async def write_status(self, live: KubeObject, status: KubeObject) -> KubeObject | None:
        self._spend()
        return await super().write_status(live, status)


async def reconcile(plane: Plane, namespace: str, writes: int) -> bool:
    """One run of a fresh operator, cut short after so many writes; whether it came to its end."""
    whole = Cluster(await credentials())
    cache = Cache()
    for kind in WATCHED:
        for found in (await whole.select(kind, namespace, kind.selector))[0]:
            cache.put(kind, found)
    try:
        await reconciler(Cut(whole, writes), cache, SETTINGS).reconcile(Key(namespace, "chat"))
    except asyncio.CancelledError:
        return False
    finally:
        await whole.close()
    return True


def test_o09_a_crash_after_any_write_is_made_good(
    plane: Plane, stopped: Operator, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(plane.operator_kubeconfig))
    create(plane, namespace, backends=[CACHED, HOSTED])
    # One write a run: each of these operators dies in another place.
    crashes = 0
    while not asyncio.run(reconcile(plane, namespace, 1)):
        crashes += 1
    assert crashes >= len(ROUTER | SMALL | {CACHE})
    assert names(plane, namespace) == ROUTER | SMALL | {CACHE}
    assert route(plane, namespace)["status"]["observedGeneration"] == 1
