"""`./dev bench soak`: mixed load for minutes through a router whose upstreams misbehave by turns; nothing may be lost.

Three replicas fail one after the other in every way that ``upstreams`` knows, a fallback stays well; 80 % of the
requests are streams. What is held: every request's end, its mark, the router's memory, sockets and gauges.
"""

import asyncio
import itertools
import random
import time
from pathlib import Path

from benchmarks import command, machine
from benchmarks.load import Load, mixed
from benchmarks.marked import End
from benchmarks.parts import pool
from benchmarks.proxies import Router, ours
from benchmarks.upstreams import FAULTS, KILLED, Process, doubles, tries, upstreams
from benchmarks.verdict import Row

PEAK_S, PEAK_AT_ONCE = 4.0, (400, 800, 1600, 3200)
"""How long so many requests at once are tried, one number after the other while the rate still grows by a twentieth."""
SHARE = 0.7
"""Of the measured peak."""
FAULTY_S, WELL_S = 4.0, 2.0
"""How long a replica misbehaves, and how long all are well before the next does."""
MIB_RISE = 1.0
"""MiB that memory may grow in ten minutes; in a shorter window, in all of it."""
IDLE_S = 45.0
"""Seconds after which the router has closed connections that nobody uses, with some to spare."""
REFUSED = 0.1
"""Percent of the requests that may be refused with an error while backends flap."""


class Clock:
    """How busy the router and the clients are, from when this is made."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._began = self._now()

    def _now(self) -> tuple[float, float, float]:
        return machine.family_cpu_seconds(self._pid), time.process_time(), time.monotonic()

    def __str__(self) -> str:
        spent, own, wall = (now - began for now, began in zip(self._now(), self._began, strict=True))
        return f"router's core {spent / wall:.0%} busy, clients take {own / wall:.0%} of theirs"


class Watch:
    """The router's memory over time, once a second."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.points: list[tuple[float, float]] = []

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            mib = machine.family_rss_mb(self._pid) * 1e6 / 2**20
            self.points.append((time.monotonic(), mib))
            await asyncio.sleep(1)

    def rows(self, warm: float) -> list[Row]:
        """How memory grew after ``warm`` seconds."""
        began = self.points[0][0]
        points = [point for point in self.points if point[0] >= began + warm]
        window = points[-1][0] - points[0][0]
        slope = machine.slope(points)
        limit = MIB_RISE * max(1.0, window / 600)
        return [
            Row("memory slope per 10 minutes", slope * 600, "MiB", note=f"over {window:.0f} s after {warm:.0f} s"),
            Row("memory rise over that window", slope * window, "MiB", limit),
            Row("memory at the end", points[-1][1], "MiB"),
        ]


async def misbehave(replicas: list[Process], load: Load, turns: list[str]) -> None:
    """Without end: one replica after the other does the next of FAULTS; notes each turn, and tells ``load`` of it."""
    for number in itertools.count():
        mode = FAULTS[number % len(FAULTS)]
        one = replicas[(number + number // len(FAULTS)) % len(replicas)]
        turns.append(mode)
        load.phase = mode
        one.behave(mode)
        if mode == KILLED:
            await asyncio.sleep(FAULTY_S / 4)
            one.behave("well")
            await asyncio.sleep(FAULTY_S * 3 / 4)
        else:
            await asyncio.sleep(FAULTY_S)
        one.behave("well")
        await asyncio.sleep(WELL_S)


async def peak(directory: Path, core: int) -> Row:
    """Mixed requests a second that a router with well upstreams ends, and how busy it and the clients are then."""
    best = Row("peak of the same mix, upstreams well", 0.0)
    async with (
        upstreams(directory, "one", "two", "three", "spare") as made,
        ours(directory, pool(made[:3], made[3]), core) as router,
    ):
        for at_once in PEAK_AT_ONCE:
            load, clock = Load(router.port, mixed(first=at_once * 1_000_000)), Clock(router.pid)
            rate = await load.closed(PEAK_S, at_once)
            note = f"{at_once} at once; {clock}"
            await load.finish()
            if rate < best.value * 1.05:
                break
            best = best._replace(value=rate, unit="/s", note=note)
    return best


async def _settled(router: Router, base: int) -> tuple[int, float]:
    """Sockets above ``base`` and gauges, when they are back or IDLE_S is over."""
    until = time.monotonic() + IDLE_S
    while True:
        sockets, gauges = machine.sockets(router.pid), await asyncio.to_thread(router.gauges)
        if (sockets <= base and not gauges) or time.monotonic() > until:
            return sockets, gauges
        await asyncio.sleep(1)


def _ends(load: Load, made: list[Process]) -> list[Row]:
    """What became of the requests."""
    ends, refused = load.ends, load.ends[End.REFUSED] / load.offered * 100
    statuses = ", ".join(f"{count} x {where}" for where, count in load.refused_in.most_common(6))
    slow = {phase: machine.percentile(seconds, 0.99) for phase, seconds in load.seconds_in.items()}
    slowest = ", ".join(f"{s:.1f} s in {phase}" for phase, s in sorted(slow.items(), key=lambda i: -i[1])[:4])
    short = load.offered - sum(ends.values())
    whole = machine.percentile(load.seconds, 0.99) * 1e3 if load.seconds else 0.0
    return [
        Row("requests", load.offered, note=f"{load.skipped} not asked: too many under way" if load.skipped else ""),
        Row("answered whole", ends[End.WHOLE]),
        Row("hung up on by the client", ends[End.LEFT]),
        Row("lost", ends[End.LOST] + short, "", 0),
        Row("cut without an error event", ends[End.SILENT], "", 0),
        Row("wrong, or another's", ends[End.WRONG], "", 0),
        Row("executed again after the first byte", doubles(made, load.begun), "", 0),
        Row("cut with an error event", ends[End.TOLD]),
        Row("refused with an error", refused, "%", REFUSED, note=statuses),
        Row("arrivals at upstreams / requests", sum(tries(made).values()) / load.offered, "", 1.2),
        Row("answers that were not streamed, p99", whole, "ms", note=slowest),
    ]


async def soak(directory: Path, core: int, minutes: float, rate: float) -> list[Row]:
    """Load at ``rate`` requests a second for ``minutes``, with faults all the time but at its very end."""
    seconds, turns = minutes * 60, list[str]()
    async with (
        upstreams(directory, "one", "two", "three", "spare") as made,
        ours(directory, pool(made[:3], made[3]), core) as router,
    ):
        base = machine.sockets(router.pid)
        watch, load = Watch(router.pid), Load(router.port, mixed(seed=random.Random().randrange(10**9)))
        clock = Clock(router.pid)
        beside = [asyncio.create_task(watch.run()), asyncio.create_task(misbehave(made[:3], load, turns))]
        await load.opened(seconds, rate)
        for task in beside:
            task.cancel()
        busy = str(clock)
        for one in made:
            one.behave("well")
        await load.finish()
        command.told("load has ended; waiting for idle connections to be closed")
        sockets, gauges = await _settled(router, base)
        rows = _ends(load, made)
    return [
        Row("load", rate, "/s", note=busy),
        Row("turns of misbehaving", len(turns), note=", ".join(dict.fromkeys(turns))),
        *rows,
        *watch.rows(min(300.0, seconds / 2)),
        Row("sockets open at the end", sockets, "", base + len(made), note=f"{base} before the load"),
        Row("in flight, waiting or held at the end", gauges, "", 0),
    ]


async def everything(core: int, minutes: float, rate: float | None) -> list[Row]:
    """Find the peak, unless ``rate`` is given, and soak at a share of it."""
    async with command.directory() as directory:
        first: list[Row] = []
        if rate is None:
            own = directory / "peak"
            await asyncio.to_thread(own.mkdir)
            first.append(await peak(own, core))
            rate = first[0].value * SHARE
        command.told(f"{rate:.0f} requests a second for {minutes:g} minutes")
        own = directory / "soak"
        await asyncio.to_thread(own.mkdir)
        return [*first, *await soak(own, core, minutes, rate)]


def main() -> None:
    """Parse the command line, measure, print."""
    parser = command.parser("soak", __doc__)
    parser.add_argument(
        "--minutes", type=float, default=10.0, help="length of the load (default: 10; 1 is enough to try)"
    )
    parser.add_argument(
        "--rate", type=float, help="requests a second (default: 70 %% of a peak that is measured first)"
    )
    args = parser.parse_args()
    facts = machine.facts()
    core, _ = command.cores()
    command.files()
    rows = command.run(lambda: everything(core, args.minutes, args.rate))
    command.show(rows, facts, as_json=args.json)


if __name__ == "__main__":
    main()
