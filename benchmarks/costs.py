"""What each fault of an upstream costs a client: how much later its answer comes, or how soon it is told of it.

One fault at a time, in a router of its own whose replicas are never ejected, so that each request meets it; the last
ones let it learn first. Another router, without a fault, is asked by turns, for what disturbs the machine. Called by
``faults``. Never bears load: what many notice of a fault is counted there.
"""

import asyncio
import contextlib
import itertools
import statistics
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks import routes
from benchmarks.faulty import Faulty, Seen, black_hole, once, upstream
from benchmarks.marked import Ask, End
from benchmarks.proxies import free_port, ours
from benchmarks.verdict import Row
from modelroute.snapshot.types import Backend, Health, Timeouts

QUICK = Timeouts(connect=1.0, first_token_streamed=1.0, first_token_whole=1.0, stream_idle=1.0, total=60.0)
NEVER = Health(consecutive_failures=1_000_000, success_percent=0, window_requests=1_000_000, interval=0.0)
"""No replica is ever taken out."""
EACH = 5
"""Requests at once where each takes a second or more."""
ATTEMPTS = 3
"""Requests at once where each may be tried again, so that the budget, which has place for three, bears all."""
LEARNING = 10
"""Requests by which a router comes to know that all is down; they come twice, for some wait meanwhile."""
APART_S = 0.06
PIECES, EVERY_MS = 5, 10
WARM = 5
"""Requests before the first one that counts."""
NOWHERE = ("refused", "black hole")
"""What is wrong with the way to an upstream, not with it."""
_MARKS = itertools.count(1)
WHOLE, TOLD, REFUSED = End.WHOLE, End.TOLD, End.REFUSED


class Case(NamedTuple):
    """One fault. ``mode`` is of ``faulty``, "refused" or "black hole"; ``expected`` what is to become of the request.

    The cost is, where the answer comes whole, what its first piece takes longer than without a fault; where it is cut,
    what the end takes from the fault on; where it is refused, what that takes from the request on.
    """

    name: str
    mode: str
    expected: End
    status: int = 200
    stream: bool = False
    fallback: bool = True
    limit: float | None = None  # ms, of the worst
    at_once: int = 1
    pause: float = 0.0
    fewer: int = 1  # how many times fewer tries: it takes long, and cannot be asked at once


CASES = (
    Case("R1 connect refused", "refused", WHOLE, limit=10),
    Case("R2 connect black-holed, 1 s allowed", "black hole", WHOLE, at_once=EACH),
    Case("R3 silent, 1 s allowed", "stall", WHOLE, at_once=EACH),
    Case("R3 silent, 1 s allowed, no fallback", "stall", REFUSED, 504, fallback=False, at_once=EACH),
    Case("R4 reset before the first byte", "reset", WHOLE),
    Case("R5 reset in mid-stream", "reset midway", TOLD, stream=True),
    Case("R6 stall in mid-stream, 1 s allowed", "hang midway", TOLD, stream=True, at_once=EACH),
    Case("R7 stream without [DONE]", "undone", TOLD, stream=True),
    Case("R8 status 500", "error", WHOLE),
    Case("R8 status 500, no fallback", "error", REFUSED, 500, fallback=False, at_once=ATTEMPTS),
    Case("R9 429, Retry-After 1 s", "limited", WHOLE, pause=1.1),
    Case("R9 429, Retry-After 1 s, no fallback", "limited", REFUSED, 429, fallback=False, pause=1.1, fewer=4),
    Case("R11 error in a 200, JSON", "error in JSON", WHOLE),
    Case("R11 error in a 200, first event", "error first", WHOLE, stream=True),
    Case("R11 error in a 200, later event", "error midway", TOLD, stream=True),
    Case("R12 truncated body", "truncated", WHOLE),
    Case("R12 truncated body, no fallback", "truncated", REFUSED, 502, fallback=False, at_once=ATTEMPTS),
    Case("R12 two lengths", "two lengths", WHOLE),
    Case("R12 two lengths, no fallback", "two lengths", REFUSED, 502, fallback=False, at_once=ATTEMPTS),
)
HEALTHY = Case("healthy", "well", WHOLE)
DOWN = (
    Case("R16 all down, fallback", "refused", WHOLE, pause=APART_S),
    Case("R17 all down, fallback too", "refused", REFUSED, 503, limit=50, pause=APART_S),
    Case("R17 all down, no fallback", "refused", REFUSED, 503, fallback=False, limit=50, pause=APART_S),
)
"""The same with replicas that are ejected as usual, after the router has met the fault."""


class Found(NamedTuple):
    """One try: what the client saw, and when its upstream failed in mid-stream, if so; else 0."""

    seen: Seen
    failed: float = 0.0


class Routed(NamedTuple):
    """A router's port, and the upstream that has the fault."""

    port: int
    bad: Faulty


def backend(name: str, endpoints: Sequence[str], health: Health, weight: int = 1) -> Backend:
    """A backend with quick deadlines."""
    return msgspec.structs.replace(routes.backend(name, endpoints, weight, QUICK), health=health)


def cost(found: Found, usual: float) -> float:
    """Milliseconds, see ``Case``; ``usual`` are those to the first piece without a fault."""
    seen = found.seen
    if seen.end is WHOLE:
        return (seen.first - seen.asked) * 1e3 - usual
    begin = found.failed if found.failed > seen.asked and seen.end is not REFUSED else seen.asked
    return (seen.last - begin) * 1e3


def row(case: Case, found: Sequence[Found], usual: float) -> Row:
    """The cost of a case: its worst where there is a limit, else its median."""
    costs = [cost(each, usual) for each in found]
    median, worst = statistics.median(costs), max(costs)
    saw = ", ".join(f"{count} x {what}" for what, count in Counter(str(each.seen) for each in found).most_common())
    what = {WHOLE: "added", TOLD: "till told", REFUSED: "till refused"}[case.expected]
    if case.limit is None:
        return Row(f"{case.name}: {what}, median", median, "ms", note=f"worst {worst:.1f}; {saw}")
    return Row(f"{case.name}: {what}, worst", worst, "ms", case.limit, note=f"median {median:.1f}; {saw}")


def otherwise(case: Case, found: Sequence[Found]) -> int:
    """Tries that ended in another way than the case expects; a refusal that others may serve later must say when."""
    later = case.status in (429, 503)
    good = [
        f for f in found if (f.seen.end, f.seen.status) == (case.expected, case.status) and f.seen.retry_after >= later
    ]
    return len(found) - len(good)


def _ask(case: Case) -> Ask:
    return Ask(next(_MARKS), PIECES if case.stream else 1, EVERY_MS, case.stream)


async def asked(router: Routed, well: int, case: Case, tries: int) -> tuple[list[Found], list[float]]:
    """What came of so many requests, as many at once and as far apart as the case says.

    And what the first piece took of the same requests at ``well``, the port of the router without a fault.
    """
    found, usual = list[Found](), list[float]()
    while len(found) < tries:
        asks = [_ask(case) for _ in range(min(case.at_once, tries - len(found)))]
        seen = await asyncio.gather(*(once(router.port, each) for each in asks))
        found += [Found(s, router.bad.failed.get(a.mark, 0.0)) for s, a in zip(seen, asks, strict=True)]
        for _ in asks:
            usual.append(cost(Found(await once(well, _ask(case))), 0.0))
        await asyncio.sleep(case.pause)
    return found, usual


@contextlib.asynccontextmanager
async def routed(directory: Path, core: int, case: Case, health: Health) -> AsyncIterator[Routed]:
    """A router whose backend has the fault, and whose fallback, if it has one, is well, or fails likewise."""
    down = case.mode == "refused" and case.expected is REFUSED
    async with upstream("well" if case.mode in NOWHERE else case.mode) as bad, upstream() as good:
        with black_hole() as nowhere:
            ways = {"refused": _refusing(), "black hole": [nowhere]}
            main = backend("main", ways.get(case.mode, [bad.endpoint]), health)
            spare = backend("spare", _refusing() if down else [good.endpoint], health, 0) if case.fallback else None
            snapshot = routes.route([main], spare)
            async with ours(directory / str(next(_MARKS)), snapshot, core) as router:
                yield Routed(router.port, bad)


def _refusing() -> list[str]:
    """Two replicas at which nobody listens."""
    return [f"127.0.0.1:{free_port()}" for _ in range(2)]


async def _tried(directory: Path, core: int, case: Case, tries: int, well: int) -> tuple[list[Found], list[float]]:
    """All tries of one fault; see ``asked``."""
    async with routed(directory, core, case, Health() if case in DOWN else NEVER) as router:
        if case in DOWN:
            for _ in range(2):
                await asked(router, well, case._replace(at_once=LEARNING), LEARNING)
        else:
            await asked(router, well, case, 1)  # connects to the fallback, and does what is done but once
        return await asked(router, well, case, max(2, tries // case.fewer))


async def of_faults(directory: Path, core: int, tries: int) -> list[Row]:
    """R1 to R17: ``tries`` of each fault, and how many of all did not end as they are to."""
    rows, wrong, healthy = list[Row](), Counter[str](), list[float]()
    async with routed(directory, core, HEALTHY, NEVER) as healthy_router:
        well = healthy_router.port
        await asked(healthy_router, well, HEALTHY, WARM)
        for case in (*CASES, *DOWN):
            found, usual = await _tried(directory, core, case, tries, well)
            rows.append(row(case, found, statistics.median(usual)))
            wrong[case.name] = otherwise(case, found)
            healthy += usual
    note = ", ".join(f"{count} of {name}" for name, count in wrong.items() if count)
    return [
        Row("without a fault: first piece, median", statistics.median(healthy), "ms", note=f"worst {max(healthy):.1f}"),
        *rows,
        Row("R1 to R17: tries that ended in another way", wrong.total(), "", 0, note=note),
    ]
