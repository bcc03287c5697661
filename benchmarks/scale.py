"""`./dev bench scale`: memory with 2,000 open streams, 10,000 slow ones at once, and what backends and users cost.

The last as ratios within one run: routers that differ only in the number of backends, replicas or keys take turns on
one core. Never leaves loopback.
"""

import asyncio
import contextlib
import itertools
import statistics
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from benchmarks import clients, command, machine, routes
from benchmarks.load import Load
from benchmarks.marked import Ask
from benchmarks.proxies import Router, free_port, ours
from benchmarks.upstream import Seen, Upstream, chat_requests
from benchmarks.upstreams import upstreams
from benchmarks.verdict import Row
from modelroute.snapshot.types import Snapshot

MOST_MB = 80
SLOW_MS = 5000
"""Between two pieces of a slow stream."""
SPARE_FILES = 600
"""Descriptors that a process needs beside its streams."""
FLAT = 1.15
"""How much dearer a request may be and still count as costing the same; the noise of a quiet run is below it."""
CONNECTIONS, WINDOW_S = 32, 2.0
MOST_BACKENDS = 200


class Case(NamedTuple):
    """One router of a comparison; the first of its kind is what the others are compared with."""

    kind: str
    number: int


CASES = (
    *(Case("backends", n) for n in (1, 10, 50, 200)),
    *(Case("replicas", n) for n in (1, 200)),
    *(Case("users", n) for n in (1, 100, 5000)),
)


async def _wait(load: Load, streams: int, seconds: float) -> None:
    """Until every one of ``streams`` has begun, has failed, or ``seconds`` are over."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while load.started + sum(load.ends.values()) < streams:  # noqa: ASYNC110 - many places end it
                await asyncio.sleep(0.1)


async def _open(router: Router, streams: int, every_ms: int) -> Load:
    """So many streams through ``router``, none of which ends by itself."""
    load = Load(router.port, (Ask(mark, 100_000, every_ms, stream=True) for mark in itertools.count(1)), most=streams)
    for number in range(streams):
        load.ask()
        if number % 50 == 49:
            await asyncio.sleep(0.02)
    await _wait(load, streams, 30 + streams / 100)
    return load


async def memory(directory: Path, core: int, streams: int) -> list[Row]:
    """Resident memory of a fresh router, and of one with ``streams`` open ones."""
    async with upstreams(directory, "one", "two") as made:
        snapshot = routes.route([routes.backend("main", [one.endpoint for one in made])])
        async with ours(directory, snapshot, core) as router:
            before = machine.family_rss_mb(router.pid)
            load = await _open(router, streams, 1000)
            await asyncio.sleep(5)
            after = machine.family_rss_mb(router.pid)
            live = load.live
            await load.abandon()
    return [
        Row("RSS of a router at rest", before, "MB"),
        Row("streams open at once", live, "", streams, least=True, note="one piece a second each"),
        Row("RSS with them", after, "MB", MOST_MB, note=f"{(after - before) * 1e3 / max(1, live):.1f} kB a stream"),
    ]


async def crowd(directory: Path, core: int, streams: int, seconds: float, files: int) -> list[Row]:
    """Slow streams, as many as asked for or as descriptors allow, for ``seconds`` after the last has begun."""
    possible = min(streams, (files - SPARE_FILES) // 2)
    async with upstreams(directory, "one", "two") as made:
        snapshot = routes.route([routes.backend("main", [one.endpoint for one in made])])
        async with ours(directory, snapshot, core) as router:
            load = await _open(router, possible, SLOW_MS)
            began, spent = load.started, machine.family_cpu_seconds(router.pid)
            await asyncio.sleep(seconds)
            busy = (machine.family_cpu_seconds(router.pid) - spent) / seconds
            failed = {end.value: count for end, count in load.ends.items()}
            rss, live = machine.family_rss_mb(router.pid), load.live
            await load.abandon()
            await asyncio.sleep(1)
            left = await asyncio.to_thread(router.gauges)
    least = f"{files:,} descriptors a process allow {possible:,}" if possible < streams else ""
    return [
        Row("slow streams begun", began, "", possible, least=True, note=least),
        Row(
            "slow streams open to the end",
            live,
            "",
            possible,
            least=True,
            note=f"{seconds:.0f} s, {busy:.0%} of a core",
        ),
        Row("slow streams with an error", sum(failed.values()), "", 0, note=str(failed) if failed else ""),
        Row("RSS with them", rss, "MB"),
        Row("in flight, waiting or held 1 s after all hung up", left, "", 0),
    ]


def _snapshot(case: Case, port: int) -> Snapshot:
    addresses = [f"127.0.1.{i + 1}:{port}" for i in range(MOST_BACKENDS)]
    if case.kind == "backends":
        return routes.route([routes.backend(f"backend-{i}", [addresses[i]]) for i in range(case.number)])
    return routes.route([routes.backend("main", addresses[: case.number if case.kind == "replicas" else 1])])


async def costs(directory: Path, core: int, rounds: int) -> list[Row]:
    """CPU a request by the number of backends, of replicas of one backend, and of users with keys."""
    seen, port = Seen(), free_port()
    addresses = [f"127.0.1.{i + 1}" for i in range(MOST_BACKENDS)]
    server = await asyncio.get_running_loop().create_server(lambda: Upstream(seen), addresses, port, backlog=1024)
    samples: dict[Case, list[float]] = defaultdict(list)
    async with contextlib.AsyncExitStack() as stack:
        routers: dict[Case, Router] = {}
        for case in CASES:
            users = case.number if case.kind == "users" else 1
            own = directory / f"{case.kind}-{case.number}"
            routers[case] = await stack.enter_async_context(ours(own, _snapshot(case, port), core, users))
        for turn in range(rounds + 1):
            command.told(f"costs: round {turn} of {rounds}")
            for case, router in routers.items():
                cost = await _cost(case, router)
                if turn:  # the first one opens connections and meets every user
                    samples[case].append(cost)
    server.close()
    return _ratios(samples)


async def _cost(case: Case, router: Router) -> float:
    """CPU µs a request."""
    users = case.number if case.kind == "users" else 1
    requests = chat_requests(router.port, users)
    window = await clients.unary(
        router.port, CONNECTIONS, WINDOW_S, lambda: machine.family_cpu_seconds(router.pid), requests
    )
    return window.cpu_s / window.work * 1e6


def _ratios(samples: dict[Case, list[float]]) -> list[Row]:
    """Each case's median over that of the first of its kind."""
    rows = []
    first: dict[str, float] = {}
    for case, values in samples.items():
        middle = statistics.median(values)
        base = first.setdefault(case.kind, middle)
        note = f"{middle:.1f} µs ({min(values):.1f}-{max(values):.1f})"
        limit = FLAT if case.number > 1 else None
        rows.append(Row(f"request with {case.number:,} {case.kind}, over one", middle / base, "", limit, note=note))
    return rows


async def everything(core: int, size: float, rounds: int) -> list[Row]:
    """All parts, one after the other."""
    files = command.files()
    return await command.each(
        [
            lambda d: memory(d, core, max(100, int(2000 * size))),
            lambda d: crowd(d, core, max(200, int(10_000 * size)), max(6.0, 30 * size), files),
            lambda d: costs(d, core, rounds),
        ]
    )


def main() -> None:
    """Parse the command line, measure, print."""
    parser = command.parser("scale", __doc__)
    parser.add_argument("--size", type=float, default=1.0, help="part of the full numbers, to try it out (default: 1)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each router of a comparison (default: 3)")
    args = parser.parse_args()
    facts = machine.facts()
    core, _ = command.cores()
    rows = command.run(lambda: everything(core, args.size, args.rounds))
    command.show(rows, facts, as_json=args.json)


if __name__ == "__main__":
    main()
