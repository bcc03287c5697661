"""`./dev bench faults`: what clients notice of backends that die, fail and change, and of a thousand streams at once.

Parts here: killed backends (G4), all backends failing (G5), 200 new configurations (G7), a slow replica and a flapping
one (R14, R15), 1,000 streams (G2). In modules of their own: ``rolls``, routers that are replaced and killed (G3);
``crawl``, slow clients (R22); ``costs``, what each fault costs (R1 to R17); ``hangups``, clients that hang up (R20).
Every answer is checked for its request's mark. Never leaves loopback.
"""

import asyncio
import itertools
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import command, costs, crawl, hangups, machine, rolls, routes
from benchmarks.load import Load, mixed
from benchmarks.marked import Ask, End
from benchmarks.parts import RATE, SOON, pool, shown, statuses
from benchmarks.proxies import Router, ours
from benchmarks.upstreams import Process, doubles, tries, upstreams
from benchmarks.verdict import Row
from modelroute.snapshot.types import Balancing, Snapshot

PATIENCE = 5.0


async def killed(directory: Path, core: int, times: int) -> list[Row]:
    """G4: one of two replicas is killed at a random instant, ``times`` times."""
    chance = random.Random(4)
    async with (
        upstreams(directory, "one", "two", "spare") as made,
        ours(directory, pool(made[:2], made[2]), core) as router,
    ):
        load = Load(router.port, mixed(4))
        running = asyncio.create_task(load.opened(1 + times * 0.6, RATE))
        await asyncio.sleep(1)
        for i in range(times):
            await asyncio.sleep(chance.uniform(0.1, 0.6))
            made[i % 2].kill()
            await made[i % 2].start()
        await running
        await load.finish()
        twice = doubles(made, load.begun)
        rows = shown("G4 killed", load)
    return [
        Row("G4 backends killed", times),
        *rows,
        Row("G4 killed: refused with an error", load.ends[End.REFUSED], "", 0, note=statuses(load)),
        Row("G4 killed: executed again after its first byte", twice, "", 0),
    ]


async def failing(directory: Path, core: int, seconds: float, *, fallback: bool) -> list[Row]:
    """G5: all replicas of the backend answer 500; with a fallback, or without one."""
    settle = min(3.0, seconds / 3)
    name = "G5 all fail, fallback" if fallback else "G5 all fail, no fallback"
    async with (
        upstreams(directory, "one", "two", "spare") as made,
        ours(directory, pool(made[:2], made[2] if fallback else None), core) as router,
    ):
        for one in made[:2]:
            one.behave("error")
        await asyncio.sleep(0.2)
        load = Load(router.port, mixed(5))
        began = time.monotonic()
        await load.opened(seconds, RATE)
        await load.finish()
        arrived = sum(tries(made).values()) / load.offered
        took = [took for at, took in load.refusals if at > began + settle]
        rows = [*shown(name, load), Row(f"{name}: upstream load / offered", arrived, "", 1.2)]
    if fallback:
        return [*rows, Row(f"{name}: refused with an error", load.ends[End.REFUSED], "", 0, note=statuses(load))]
    rows.append(Row(f"{name}: refused with an error", load.ends[End.REFUSED], note=statuses(load)))
    if not took:
        return [*rows, Row(f"{name}: refusals after {settle:.0f} s", 0, "", 1, least=True)]
    late = machine.percentile(took, 0.99) * 1e3
    everything = machine.percentile([took for _, took in load.refusals], 0.99) * 1e3
    note = f"after the first {settle:.0f} s; of all {everything:.0f} ms"
    return [*rows, Row(f"{name}: refusal p99", late, "ms", 50, note=note)]


def weighted(made: Sequence[Process], weights: tuple[int, int], generation: int) -> Snapshot:
    """Two backends that share the requests by weight."""
    backends = [
        routes.backend(one.name, [one.endpoint], weight, SOON) for one, weight in zip(made, weights, strict=True)
    ]
    return routes.route(backends, None, generation)


async def _in_force(router: Router, generation: int) -> None:
    """Wait until the router runs this configuration; RuntimeError when it does not for long."""
    limit = time.monotonic() + PATIENCE
    while json.loads(await asyncio.to_thread(router.status))["generation"] != generation:
        if time.monotonic() > limit:
            raise RuntimeError(f"generation {generation} is not in force after {PATIENCE:.0f} s")
        await asyncio.sleep(0.02)


async def reloaded(directory: Path, core: int, times: int, requests: int) -> list[Row]:
    """G7: ``times`` new configurations under load; how fast all weight moves; how exact the last weights are."""
    async with (
        upstreams(directory, "one", "two") as made,
        ours(directory, weighted(made, (100, 0), 1), core) as router,
    ):
        load = Load(router.port, mixed(7))
        running = asyncio.create_task(load.opened(3600, RATE))
        late: list[float] = []
        for generation in range(2, times + 2):
            to = generation % 2  # all weight to this one
            put = time.monotonic()
            routes.put(directory, weighted(made, (0, 100) if to else (100, 0), generation))
            await _in_force(router, generation)
            await asyncio.sleep(0.1)
            if generation % 10 == 0:
                old = made[1 - to]
                late.append(max((at - put for _, at in old.arrivals()), default=0.0))
        routes.put(directory, weighted(made, (70, 30), times + 2))
        await _in_force(router, times + 2)
        running.cancel()
        await load.finish()
        exact = Load(router.port, (Ask(mark, 1, 20, stream=False) for mark in itertools.count(10_000_000)))
        before = [len(one.arrivals()) for one in made]
        while exact.offered < requests:
            await exact.closed(min(2.0, requests / 1000), 32)
        await exact.finish()
        counts = [len(one.arrivals()) - b for one, b in zip(made, before, strict=True)]
        share = counts[0] / sum(counts) * 100
    return [
        Row("G7 configurations taken up under load", times),
        *shown("G7 reload", load),
        Row("G7 reload: refused with an error", load.ends[End.REFUSED], "", 0, note=statuses(load)),
        Row("G7 last request to the old backend, worst", max(0.0, *late), "s", 1.0),
        Row(f"G7 share of weight 70 off by, {sum(counts):,} requests", abs(share - 70), "points", 2.0),
    ]


async def lame(directory: Path, core: int, seconds: float) -> list[Row]:
    """R14: one of three replicas becomes ten times slower; R15: one is up for a second and down for a second."""
    async with (
        upstreams(directory, "one", "two", "three", "spare") as made,
        ours(directory, pool(made[:3], made[3], Balancing()), core) as router,
    ):
        late: list[float] = []
        for mode in ("well", "slow"):
            made[0].behave(mode)
            await asyncio.sleep(0.2)
            before = sum(len(one.arrivals()) for one in made), len(made[0].arrivals())
            marks = itertools.count(len(late) * 1_000_000)
            load = Load(router.port, (Ask(mark, 5, 10, stream=True) for mark in marks))
            await load.opened(seconds, RATE)
            await load.finish()
            late.append(machine.percentile(load.streamed, 0.99))
        came = len(made[0].arrivals()) - before[1], sum(len(one.arrivals()) for one in made) - before[0]
        flaps = Load(router.port, mixed(15, first=5_000_000))
        running = asyncio.create_task(flaps.opened(seconds, RATE))
        for number in range(int(seconds)):
            made[0].behave("well" if number % 2 else "refuse")
            await asyncio.sleep(1)
        made[0].behave("well")
        await running
        await flaps.finish()
        refused = flaps.ends[End.REFUSED] / flaps.offered * 100
    return [
        Row("R14 one of three ten times slower: p99, over healthy", late[1] / late[0], "", 2.0),
        Row("R14 share of the slow one", came[0] / came[1] * 100, "%"),
        *shown("R15 flapping", flaps),
        Row("R15 flapping: refused with an error", refused, "%", 0.1, note=statuses(flaps)),
    ]


async def streaming(directory: Path, core: int, streams: int, seconds: float) -> list[Row]:
    """G2: ``streams`` at once, 20 pieces a second each, beside the same without a router."""
    pieces = int(seconds * 20)

    async with (
        upstreams(directory, "one", "two") as made,
        ours(directory, routes.route([routes.backend("main", [one.endpoint for one in made])]), core) as router,
    ):
        direct = Load(made[0].port, (Ask(m, pieces // 4, 50, stream=True) for m in itertools.count(1)), delays=True)
        through = Load(router.port, (Ask(m, pieces, 50, stream=True) for m in itertools.count(1)), delays=True)
        figures = []
        for load in (direct, through):
            spent, own, began = machine.family_cpu_seconds(router.pid), time.process_time(), time.monotonic()
            for _ in range(streams):
                load.ask()
                await asyncio.sleep(1 / streams)
            await load.finish(seconds * 2 + 30)
            wall = time.monotonic() - began
            busy = (machine.family_cpu_seconds(router.pid) - spent) / wall, (time.process_time() - own) / wall
            assert load.delays is not None
            figures.append((machine.percentile(load.delays, 0.99) * 1e3, busy))
    (alone, _), (late, busy) = figures
    note = f"{late:.1f} ms through, {alone:.1f} without; router's core {busy[0]:.0%}, clients {busy[1]:.0%} of theirs"
    return [
        Row("G2 streams at once, 20 pieces a second each", streams, note=f"{seconds:.0f} s"),
        *shown("G2 streams", through),
        Row("G2 streams: whole", through.ends[End.WHOLE], "", streams, least=True),
        Row("G2 delay added to a piece, p99", late - alone, "ms", 20, note=note),
    ]


async def everything(core: int, size: float) -> list[Row]:
    """All parts, one after the other, each with a router of its own."""
    return await command.each(
        [
            lambda d: rolls.replaced(d, core, max(2, int(20 * size)), max(300, int(10_000 * size))),
            lambda d: rolls.killed(d, core, max(1, int(5 * size))),
            lambda d: killed(d, core, max(2, int(50 * size))),
            lambda d: failing(d, core, max(4.0, 20 * size), fallback=True),
            lambda d: failing(d, core, max(4.0, 20 * size), fallback=False),
            lambda d: reloaded(d, core, max(10, int(200 * size)), max(500, int(10_000 * size))),
            lambda d: lame(d, core, max(4.0, 20 * size)),
            lambda d: streaming(d, core, max(50, int(1000 * size)), max(3.0, 60 * size)),
            lambda d: crawl.crowded(d, core, max(50, int(1000 * size)), max(4.0, 40 * size)),
            lambda d: costs.of_faults(d, core, max(3, int(20 * size))),
            lambda d: hangups.hung_up(d, core, max(3, int(20 * size))),
        ]
    )


def main() -> None:
    """Parse the command line, measure, print."""
    parser = command.parser("faults", __doc__)
    parser.add_argument("--size", type=float, default=1.0, help="part of the full numbers, to try it out (default: 1)")
    args = parser.parse_args()
    facts = machine.facts()
    core, _ = command.cores()
    command.files()
    rows = command.run(lambda: everything(core, args.size))
    command.show(rows, facts, as_json=args.json)


if __name__ == "__main__":
    main()
