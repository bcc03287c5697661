"""A route whose errands are run against an API server and pods in memory, on a clock that passes at once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from modelroute.controller.errands.errands import Errands
from modelroute.controller.kube.kinds import MODEL_ROUTE, POD
from modelroute.controller.watching.cache import Cache, Key
from modelroute.planning import names
from modelroute.planning.errands import Errand
from modelroute.planning.observed import Pod
from tests.fakes.clock import InstantLoop
from tests.fakes.kube import FakeCluster
from tests.fakes.manifests import manifest
from tests.fakes.pods import FakePods
from tests.fakes.replicas import NOW

KEY = Key("team-a", "chat")


class World:
    """A route with the pods small-1, small-2 ..., and one who hands the same errands over at every look."""

    def __init__(self, count: int = 1, **says: Any) -> None:
        self.cluster, self.cache, self.pods = FakeCluster(), Cache(), FakePods(**says)
        self.cluster.keep(MODEL_ROUTE, manifest(namespace="team-a"))
        labels = names.backend_selector("chat", "small") | {"app.kubernetes.io/managed-by": "modelroute"}
        for number in range(count):
            self.cluster.keep(POD, {"metadata": {"name": f"small-{number + 1}", "labels": labels}})
        self.cluster.fill(self.cache)
        self.looks = 0
        self.backends = {"small"}
        self.wanted: list[Errand] = []
        self.errands = Errands(self.cluster, self.cache, self.pods, self.look, lambda: NOW)

    def look(self, key: Key) -> None:
        """What a reconcile does."""
        self.looks += 1
        self.errands.hand(key, self.wanted, {pod.name for pod in self.cache.pods(key)}, self.backends)

    def pod(self, name: str = "small-1") -> Pod:
        [found] = [pod for pod in self.cache.pods(KEY) if pod.name == name]
        return found

    def conditions(self) -> list[dict[str, str]]:
        found: list[dict[str, str]] = self.cluster.objects[POD.name, "small-1"].get("status", {}).get("conditions", [])
        return found

    def annotations(self) -> dict[str, str]:
        found: dict[str, str] = self.cluster.objects[POD.name, "small-1"]["metadata"].get("annotations", {})
        return found

    def run(self, *wanted: Errand, seconds: float = 0.5) -> "World":
        """Want these for so long."""

        async def test() -> None:
            await asyncio.sleep(seconds)

        return self.within(test, *wanted)

    def within(self, test: Callable[[], Awaitable[None]], *wanted: Errand) -> "World":
        async def whole() -> None:
            running = asyncio.create_task(self.errands.run())
            self.wanted = list(wanted)
            self.look(KEY)
            await test()
            self.seen = self.errands.seen(KEY)
            running.cancel()
            await asyncio.wait([running])

        with asyncio.Runner(loop_factory=InstantLoop) as runner:
            runner.run(whole())
        return self

    def forgotten_meanwhile(self, answer: asyncio.Event, *wanted: Errand) -> "World":
        """The route goes while a pod has yet to give its ``answer``."""

        async def test() -> None:
            await asyncio.sleep(1)
            self.errands.forget(KEY)
            self.wanted = []
            answer.set()
            await asyncio.sleep(1)

        return self.within(test, *wanted)

    def without_the_pod(self, *wanted: Errand) -> "World":
        """The pod goes when that is done."""

        async def test() -> None:
            await asyncio.sleep(1)
            self.cache.remove(POD, self.cluster.objects[POD.name, "small-1"])
            self.look(KEY)

        return self.within(test, *wanted)
