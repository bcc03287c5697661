"""Routers that are replaced (SIGTERM) and killed (SIGKILL) under load: what their clients notice (G3).

Clients find a router as through a Service of Kubernetes: a new connection goes to one that its readiness probe found
ready, a kept one stays where it is. Called by ``faults``. Never ends a process that it did not start.
"""

import asyncio
import contextlib
import itertools
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from benchmarks import proxies, routes
from benchmarks.load import Load, mixed
from benchmarks.marked import Ask, End, Marked
from benchmarks.parts import RATE, pool, shown, statuses
from benchmarks.upstreams import doubles, upstreams
from benchmarks.verdict import Row
from modelroute.snapshot.types import Snapshot

LOOK_S = 0.05
"""Between two looks at the readiness of a router."""
PROBE_S = 1.0
"""What a probe may take."""
PATIENCE_S = 60.0
"""What a router may take to be ready, and to end."""
AGAIN_S = (0.5, 1.0)
"""After how many seconds a client asks again what was lost before its first byte, as the OpenAI clients do: twice."""


class Pod:
    """One place for a router: its process ends, and another begins on ports of its own, as a new pod's address is."""

    def __init__(self, directory: Path, core: int) -> None:
        self.port, self.admin = proxies.free_port(), proxies.free_port()
        self.ready = False
        self._directory, self._core = directory, core
        self._log = directory / "output.log"
        self._lives = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start its router."""
        self._lives += 1
        # The old ones may be a client's by now, which connects from any port that nobody listens on.
        self.port, self.admin = proxies.free_port(), proxies.free_port()
        self._log = self._directory / f"output-{self.port}-{self._lives}.log"
        command = proxies.router_command(self._directory, self.port, self.admin)
        self._process = proxies.start(command, self._log, self._core)

    def last_words(self) -> str:
        """The end of what its router has logged."""
        return self._log.read_text(errors="replace")[-2000:] if self._log.exists() else ""

    def signal(self, number: int) -> None:
        """Send a signal to its router."""
        assert self._process is not None
        self._process.send_signal(number)

    async def ended(self) -> int:
        """The exit status of its router, once it has ended; RuntimeError when it does not."""
        assert self._process is not None
        limit = time.monotonic() + PATIENCE_S
        while (status := self._process.poll()) is None:
            if time.monotonic() > limit:
                raise RuntimeError(f"a router has not ended {PATIENCE_S:.0f} s after it was told to")
            await asyncio.sleep(0.01)
        return status

    def end(self) -> None:
        """End its router, if it runs."""
        if self._process is not None:
            proxies.end(self._process)

    async def probe(self) -> bool:
        """Whether its router says that it is ready, as a kubelet asks."""
        try:
            async with asyncio.timeout(PROBE_S):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.admin)
                writer.write(b"GET /readyz HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n")
                first = await reader.readline()
                writer.close()
        except (OSError, TimeoutError):
            return False
        return b" 200 " in first


class Service:
    """Which of the pods are ready."""

    def __init__(self, pods: list[Pod]) -> None:
        self.pods = pods
        self._turns = itertools.count()

    async def watch(self) -> None:
        """Look at all of them until cancelled."""
        await asyncio.gather(*map(self._watch, self.pods))

    async def _watch(self, pod: Pod) -> None:
        while True:
            pod.ready = await pod.probe()
            await asyncio.sleep(LOOK_S)

    async def until(self, ready: int) -> None:
        """Wait until so many are ready; RuntimeError when that does not come to be."""
        limit = time.monotonic() + PATIENCE_S
        while sum(pod.ready for pod in self.pods) != ready:
            if time.monotonic() > limit:
                words = "\n".join(pod.last_words() for pod in self.pods)
                raise RuntimeError(f"not {ready} routers ready after {PATIENCE_S:.0f} s; their last words:\n{words}")
            await asyncio.sleep(LOOK_S / 5)

    def port(self) -> int:
        """Of the ready ones the next in turn; ConnectionRefusedError when none is."""
        ready = [pod.port for pod in self.pods if pod.ready]
        if not ready:
            raise ConnectionRefusedError
        return ready[next(self._turns) % len(ready)]


class Served(Load):
    """Load through a service. With ``again`` a client asks again what was lost before its first byte."""

    def __init__(self, service: Service, asks: Iterator[Ask], *, again: bool) -> None:
        super().__init__(0, asks)
        self._service = service
        self._most_again = len(AGAIN_S) if again else 0
        self.again: Counter[int] = Counter()  # by mark
        self._sleeping = 0
        self.cut_whole = 0  # answers that are not streamed, cut after their first byte
        self.unseen = 0  # streams that ended too early, and as if they had not

    @property
    def live(self) -> int:
        """Those that will be asked again, too."""
        return super().live + self._sleeping

    def _choose(self) -> int:
        return self._service.port()

    def _unconnected(self, ask: Ask) -> None:
        if not self._later(ask):
            super()._unconnected(ask)

    def _ended(self, client: Marked, ask: Ask, end: End) -> None:
        if end is End.LOST and self._later(ask):
            self._live.discard(client)
            self._all.discard(client)
            return
        if end is End.SILENT:
            self.cut_whole += not ask.stream
            self.unseen += client.clean
        super()._ended(client, ask, end)

    def _later(self, ask: Ask) -> bool:
        made = self.again[ask.mark]
        if made >= self._most_again:
            return False
        self.again[ask.mark] += 1
        self._sleeping += 1
        asyncio.get_running_loop().call_later(AGAIN_S[made], self._ask_again, ask)
        return True

    def _ask_again(self, ask: Ask) -> None:
        self._sleeping -= 1
        task = asyncio.create_task(self._connect(ask))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@contextlib.asynccontextmanager
async def service(directory: Path, core: int, snapshot: Snapshot) -> AsyncIterator[Service]:
    """Two routers by ``snapshot``, both ready."""
    routes.write(directory, snapshot)
    found = Service([Pod(directory, core) for _ in range(2)])
    watching = asyncio.create_task(found.watch())
    try:
        for pod in found.pods:
            pod.start()
        await found.until(ready=2)
        yield found
    finally:
        watching.cancel()
        for pod in found.pods:
            await asyncio.to_thread(pod.end)


async def replaced(directory: Path, core: int, times: int, requests: int) -> list[Row]:
    """G3: one of two routers is told to end, ends, and starts again, ``times`` times or more, under ``requests``."""
    done, by_force, slowest = 0, 0, 0.0
    async with (
        upstreams(directory, "one", "two", "spare") as made,
        service(directory, core, pool(made[:2], made[2])) as found,
    ):
        load = Served(found, mixed(3), again=False)
        running = asyncio.create_task(load.opened(3600, RATE))
        while done < times or load.offered < requests:
            await asyncio.sleep(0.3)
            pod = found.pods[done % 2]
            told = time.monotonic()
            pod.signal(signal.SIGTERM)
            by_force += await pod.ended() != 0
            slowest = max(slowest, time.monotonic() - told)
            pod.start()
            await found.until(ready=2)
            done += 1
        running.cancel()
        await load.finish()
        twice = doubles(made, load.begun)
    return [
        Row("G3 routers replaced", done, "", times, least=True, note=f"SIGTERM; ended within {slowest:.1f} s"),
        *shown("G3 replaced", load)[:-1],
        Row("G3 replaced: cut with an error event", load.ends[End.TOLD], "", 0),
        Row("G3 replaced: refused with an error", load.ends[End.REFUSED], "", 0, note=statuses(load)),
        Row("G3 replaced: executed again after its first byte", twice, "", 0),
        Row("G3 replaced: routers whose exit status was not 0", by_force, "", 0),
    ]


async def killed(directory: Path, core: int, times: int) -> list[Row]:
    """G3: one of two routers is killed and starts again, ``times`` times; only streams that have begun may be cut."""
    chance = random.Random(3)
    async with (
        upstreams(directory, "one", "two", "spare") as made,
        service(directory, core, pool(made[:2], made[2])) as found,
    ):
        load = Served(found, mixed(33), again=True)
        running = asyncio.create_task(load.opened(3600, RATE))
        await asyncio.sleep(1)
        for number in range(times):
            await asyncio.sleep(chance.uniform(1.0, 2.0))
            pod = found.pods[number % 2]
            pod.signal(signal.SIGKILL)
            await pod.ended()
            await found.until(ready=1)
            pod.start()
            await found.until(ready=2)
        await asyncio.sleep(1)
        running.cancel()
        await load.finish()
    ends, again = load.ends, len(load.again)
    cut = ends[End.SILENT] - load.cut_whole - load.unseen
    first = (load.offered - again - ends[End.SILENT] - ends[End.WRONG]) / load.offered * 100
    return [
        Row("G3 routers killed", times),
        Row("G3 killed: requests", load.offered),
        Row("G3 killed: lost, asked up to twice again", ends[End.LOST], "", 0),
        Row("G3 killed: asked again by their clients", again, note="killed or gone before the first byte"),
        Row("G3 killed: begun streams cut, their bodies have no end", cut),
        Row("G3 killed: streams that ended early, as if whole", load.unseen, "", 0),
        Row("G3 killed: whole answers cut", load.cut_whole, "", 0),
        Row("G3 killed: wrong, or another's", ends[End.WRONG], "", 0),
        Row("G3 killed: cut with an error event", ends[End.TOLD]),
        Row("G3 killed: refused with an error", ends[End.REFUSED], "", 0, note=statuses(load)),
        Row("G3 killed: well at the first try", first, "%", note=f"by {times} kills among {load.offered:,} requests"),
    ]
