"""What the operator says of itself, and what it forgets when it leads again."""

import asyncio
from collections.abc import Awaitable, Callable

from modelroute.controller.app import DEAF, STUCK_SECONDS, Operator, Options
from modelroute.controller.kube.fencing import Fence
from modelroute.controller.kube.kinds import MODEL_ROUTE, WATCHED
from modelroute.controller.leading import Leadership, LeaseOptions
from modelroute.controller.watching.cache import Key
from modelroute.planning.settings import Settings
from tests.fakes.clock import InstantLoop
from tests.fakes.kube import FakeCluster
from tests.fakes.manifests import manifest

SILENCE = 70.0
LIMIT = DEAF * SILENCE


class World:
    """An operator whose parts a test sets by hand."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.leadership = Leadership(self.cluster, Fence(), LeaseOptions())
        settings = Settings(router_image="modelroute/router:test")
        self.operator = Operator(self.cluster, self.leadership, Options((), settings, 0, watch_silence=SILENCE))
        self.ear = self.operator._watches.ear
        self.ear.begin()
        self.leadership.reachable_since = 0.0

    def hear(self, *but: str) -> None:
        """Of all kinds but those."""
        for kind in WATCHED:
            if kind.plural not in but:
                self.ear._note(kind.path())


def play(script: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        world = World()
        await script(world)
        world.ear.end()

    with asyncio.Runner(loop_factory=InstantLoop) as runner:
        runner.run(main())


def test_o07_a_watch_that_is_dead_is_named() -> None:
    async def script(world: World) -> None:
        await asyncio.sleep(LIMIT + 1)
        world.hear("deployments")
        assert world.operator.unwell() == "nothing was heard for 175 s of deployments, though the API server answers"

    play(script)


def test_o07_as_long_as_a_watch_may_be_begun_anew_all_is_well() -> None:
    async def script(world: World) -> None:
        await asyncio.sleep(SILENCE + 100)
        assert world.operator.unwell() == ""

    play(script)


def test_o07_an_api_server_that_is_away_is_no_reason_to_restart() -> None:
    async def script(world: World) -> None:
        world.leadership.reachable_since = None
        await asyncio.sleep(10_000)
        assert world.operator.unwell() == ""

    play(script)


def test_o07_nor_is_one_that_has_just_come_back() -> None:
    async def script(world: World) -> None:
        await asyncio.sleep(10_000)
        world.leadership.reachable_since = asyncio.get_running_loop().time()
        await asyncio.sleep(LIMIT - 1)
        assert world.operator.unwell() == ""
        await asyncio.sleep(2)
        assert "deployments" in world.operator.unwell()

    play(script)


def test_before_anything_is_watched_nothing_is_silent() -> None:
    async def script(world: World) -> None:
        world.ear.end()
        await asyncio.sleep(10_000)
        assert world.operator.unwell() == ""

    play(script)


def test_o08_a_reconcile_that_hangs_in_spite_of_its_timeout_is_told() -> None:
    async def hang(key: Key) -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if stop.is_set():
                    raise

    stop = asyncio.Event()

    async def script(world: World) -> None:
        queue = world.operator._queue
        queue._handle = hang
        running = asyncio.create_task(queue.run(1, world.operator._watches.ready))
        world.operator._watches.ready.set()
        queue.add(Key("a", "chat"))
        await asyncio.sleep(STUCK_SECONDS + 1)
        world.hear()
        assert world.operator.unwell() == "a reconcile has been running for 301 s"
        stop.set()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    play(script)


def test_it_is_ready_when_it_has_seen_all_and_the_lease() -> None:
    async def script(world: World) -> None:
        operator = world.operator
        assert operator.unready() == "the first listing of what is watched is not complete yet"
        operator._watches.ready.set()
        assert operator.unready() == "the lease was not reached yet"
        world.leadership.answered = True
        assert operator.unready() == ""

    play(script)


def test_each_time_that_it_leads_it_looks_at_all_routes_with_nothing_remembered() -> None:
    async def script(world: World) -> None:
        operator = world.operator
        for name in ("chat", "code"):
            found = world.cluster.keep(MODEL_ROUTE, manifest(name=name, namespace="team-a"))
            operator._cache.put(MODEL_ROUTE, found)
        operator._watches.ready.set()
        looked: list[Key] = []
        used = []

        async def note(key: Key) -> None:
            looked.append(key)

        operator._queue._handle = note
        for _ in range(2):
            leading = asyncio.create_task(operator._lead())
            await asyncio.sleep(0.1)
            used.append(operator._reconciler)
            leading.cancel()
            await asyncio.gather(leading, return_exceptions=True)
        assert used[0] is not used[1]
        assert looked == [Key("team-a", "chat"), Key("team-a", "code")] * 2

    play(script)
