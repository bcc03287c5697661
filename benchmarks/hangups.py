"""Clients that hang up while they are queued, wait for the first byte, or read a stream: how soon it shows (R20).

Called by ``faults``. Never bears load.
"""

import asyncio
import itertools
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from benchmarks import routes
from benchmarks.faulty import Faulty, Once, Seen, connected, once, upstream
from benchmarks.marked import Ask, End
from benchmarks.proxies import Router, ours
from benchmarks.verdict import Row
from modelroute.snapshot.types import Limits, Snapshot

LIMIT_MS = 100.0
PATIENCE_S = 5.0
"""After which a hang-up that did not show counts as that late."""
LOOK_S = 0.001
_MARKS = itertools.count(1)


def _route(bad: Faulty, most: int) -> Snapshot:
    """One backend that takes ``most`` requests at once."""
    limits = Limits(max_in_flight=most, max_wait=60.0)
    return routes.route([msgspec.structs.replace(routes.backend("main", [bad.endpoint]), limits=limits)])


async def _until(shows: Callable[[], Awaitable[bool]]) -> float:
    """The moment from which on ``shows`` is true; the end of patience when it is not."""
    limit = time.monotonic() + PATIENCE_S
    while not await shows() and time.monotonic() < limit:  # noqa: ASYNC110 - gauges tell nobody
        await asyncio.sleep(LOOK_S)
    return time.monotonic()


async def _upstream_sees(router: Router, bad: Faulty, number: int, *, stream: bool) -> float:
    """Milliseconds from a hang-up, by a FIN or by a reset in turns, until the upstream's connection is closed."""
    mark = next(_MARKS)
    client = await connected(router.port)
    client.send(Ask(mark, 1000, 20, stream))

    async def begun() -> bool:
        return bool(client.first if stream else mark in bad.came)

    async def closed() -> bool:
        return mark in bad.closed

    await _until(begun)
    gone = client.hang_up(by_reset=bool(number % 2))
    late = await _until(closed)
    return (bad.closed.get(mark, late) - gone) * 1e3


async def _line_sees(router: Router, number: int) -> tuple[int, float]:
    """The mark of a request that waits in line, and milliseconds from its hang-up until the gauges have it no more."""
    mark = next(_MARKS)
    before = await asyncio.to_thread(router.gauges)
    client = await connected(router.port)
    client.send(Ask(mark, 1, 20, stream=False))

    async def queued() -> bool:
        return await asyncio.to_thread(router.gauges) > before

    async def left() -> bool:
        return await asyncio.to_thread(router.gauges) <= before

    await _until(queued)
    gone = client.hang_up(by_reset=bool(number % 2))
    return mark, (await _until(left) - gone) * 1e3


def _row(name: str, late: list[float]) -> Row:
    note = f"median {statistics.median(late):.1f}; {len(late)} tries, half by a reset"
    return Row(f"R20 hung up {name}: cancelled, worst", max(late), "ms", LIMIT_MS, note=note)


async def _queued(directory: Path, core: int, tries: int) -> list[Row]:
    """One request has the only place; others wait in line for it and hang up."""
    async with upstream("stall") as bad, ours(directory, _route(bad, 1), core) as router:
        first: Once = await connected(router.port)
        first.send(Ask(next(_MARKS), 1, 20, stream=False))
        await asyncio.sleep(0.1)
        found = [await _line_sees(router, number) for number in range(tries)]
        bad.mode = "well"
        first.hang_up(by_reset=False)
        after: Seen = await once(router.port, Ask(next(_MARKS), 1, 20, stream=False))
        reached = sum(mark in bad.came for mark, _ in found)
        left = await asyncio.to_thread(router.gauges)
    return [
        _row("in line", [late for _, late in found]),
        Row("R20 hung up in line: reached the upstream", reached, "", 0),
        Row("R20 hung up in line: the next is served", after.end is End.WHOLE, "", 1, least=True, note=str(after)),
        Row("R20 hung up in line: in flight or waiting at the end", left, "", 0),
    ]


async def hung_up(directory: Path, core: int, tries: int) -> list[Row]:
    """R20: so many hang-ups of each kind, and what is left of them."""
    rows = await _queued(directory / "line", core, tries)
    async with upstream("stall") as bad, ours(directory / "answer", _route(bad, routes.MANY), core) as router:
        silent = [await _upstream_sees(router, bad, number, stream=False) for number in range(tries)]
        bad.mode = "well"
        streams = [await _upstream_sees(router, bad, number, stream=True) for number in range(tries)]
        await asyncio.sleep(0.1)
        left = await asyncio.to_thread(router.gauges)
    return [
        *rows,
        _row("before the first byte", silent),
        _row("in mid-stream", streams),
        Row("R20 hung up: in flight or waiting at the end", left, "", 0),
    ]
