"""O17 on a real API server: certificates are renewed and the authority rotates, and no admission fails meanwhile.

The certificates' clock is moved; the API server has its own, so all moments are such that it takes what was made then.
"""

import asyncio
import base64
import threading
import time
from collections.abc import Iterator
from typing import Self

import pytest

from modelroute.controller.kube.cluster import Cluster, credentials
from modelroute.controller.kube.kinds import MODEL_ROUTE, SECRET
from modelroute.controller.webhooks.certificates import AUTHORITY_DAYS, RETIRE_SECONDS, SERVING_DAYS
from modelroute.controller.webhooks.hooks import Hooks, Options
from modelroute.planning.settings import Settings
from tests.controlplane import hooks
from tests.controlplane.plane import Plane, free_port, until
from tests.fakes.manifests import HOSTED, manifest

DAY, HOUR = 86400.0, 3600.0


class Asking:
    """Someone who makes ModelRoutes all the time, without keeping them."""

    def __init__(self, plane: Plane, namespace: str) -> None:
        self._plane, self._namespace = plane, namespace
        self.refused: list[str] = []
        self.taken = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    async def __aenter__(self) -> Self:
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._end.set()
        await asyncio.to_thread(self._thread.join)  # its last question is answered by this loop

    async def more(self) -> None:
        """Wait for some more."""
        enough = self.taken + 5
        await asyncio.to_thread(until, "more admissions", lambda: self.taken > enough or self.refused)

    def _run(self) -> None:
        while not self._end.wait(0.02):
            if problem := ask(self._plane, self._namespace):
                self.refused.append(problem)
            else:
                self.taken += 1


def ask(plane: Plane, namespace: str) -> str:
    """What is wrong with making a good one; empty when nothing."""
    given = manifest(namespace=namespace, backends=[HOSTED])
    answer = plane.admin.ask("POST", MODEL_ROUTE.path(namespace), given, dryRun="All")
    return "" if answer.is_success else answer.text


def state(plane: Plane, namespace: str) -> tuple[int, str]:
    """How many authorities are trusted, and the certificate that is served."""
    bundle = base64.b64decode(hooks.bundles(plane)[0]).decode()
    stored: str = plane.admin.get(SECRET, namespace, "modelroute-webhook")["data"]["tls.crt"]
    return bundle.count("BEGIN CERTIFICATE"), stored


class World:
    """Two replicas that look when the test says so, by a clock that it sets."""

    def __init__(self, namespace: str, cluster: Cluster) -> None:
        self.now = time.time()
        self.port = free_port()
        settings = Settings("modelroute/router:test")
        ports = (self.port, free_port())
        self._replicas = [Hooks(cluster, settings, Options(p, namespace), lambda: self.now) for p in ports]

    async def look(self, asking: Asking | None = None) -> None:
        for replica in self._replicas:
            await replica.keeper.look()
            if asking:
                await asking.more()

    def serve(self) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(replica.serve()) for replica in self._replicas]


async def rotate(plane: Plane, namespace: str, asking: Asking) -> list[tuple[int, str]]:
    """The state at each of the moments, while it is asked all the time."""
    cluster = Cluster(await credentials())
    world, began, seen = World(namespace, cluster), time.time(), []
    world.now = began - (AUTHORITY_DAYS / 2 + 1) * DAY
    await world.look()
    world.now = began - (SERVING_DAYS / 2 + 1) * DAY  # the first certificate was over, and is made anew
    hooks.install(plane, f"https://localhost:{world.port}", everywhere=False)
    await world.look()
    serving = world.serve()
    await asyncio.to_thread(hooks.taken_up, plane, namespace)  # it would go by what was installed, without a bundle
    await asyncio.to_thread(until, "an admission", lambda: not ask(plane, namespace))
    async with asking:
        for moment in (
            began - 3 * HOUR,  # the authority is past half of its life: another one is told of
            began - 2 * HOUR,  # that one has settled, and signs
            began - 2 * HOUR + RETIRE_SECONDS + 1,  # the old one goes
        ):
            world.now = moment
            await world.look(asking)
            await asyncio.to_thread(hooks.taken_up, plane, namespace)  # it has minutes for that, but for this clock
            seen.append(state(plane, namespace))
    for task in serving:
        task.cancel()
    await asyncio.gather(*serving, return_exceptions=True)
    await cluster.close()
    await goodbye()
    return seen


async def goodbye() -> None:
    """Until all connections of this loop are closed: TLS ends by a word of both sides."""
    files = asyncio.get_running_loop()._selector.get_map()  # type: ignore[attr-defined]
    await asyncio.to_thread(until, "all are closed but the loop's own", lambda: len(files) == 1)


@pytest.fixture
def marked(plane: Plane, nobody: None, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A namespace that is asked about, in which the certificates are, too; no other operator says whom to trust."""
    monkeypatch.setenv("KUBECONFIG", str(plane.directory / "kubeconfig"))
    hooks.mark(plane, namespace)
    yield namespace
    hooks.remove(plane)


def test_o17_no_admission_fails_while_certificates_are_renewed_and_the_authority_rotates(
    plane: Plane, marked: str
) -> None:
    asking = Asking(plane, marked)
    told, signed, retired = asyncio.run(rotate(plane, marked, asking))
    assert asking.refused == []
    assert [told[0], signed[0], retired[0]] == [2, 2, 1]
    assert told[1] != signed[1] == retired[1]
