"""What the parts of the faults' benchmark share: a usual route, a usual load, and how the end of a load is told.

Called by ``faults``, ``rolls``, ``crawl`` and ``soak``. Never starts anything.
"""

from collections.abc import Sequence

from benchmarks import routes
from benchmarks.load import Load
from benchmarks.marked import End
from benchmarks.upstreams import Process
from benchmarks.verdict import Row
from modelroute.snapshot.types import Balancing, Snapshot, Timeouts

SOON = Timeouts(connect=1.0, first_token_streamed=2.0, first_token_whole=2.0, stream_idle=2.0, total=60.0)
"""Deadlines short enough that every fault shows within a run."""
RATE = 150.0
"""Requests a second; well below what the router can do, so that what is measured is the fault."""


def pool(replicas: Sequence[Process], spare: Process | None, balancing: Balancing = routes.AFFINE) -> Snapshot:
    """A route over one backend with ``replicas`` and, if there is one, a fallback of one replica."""
    main = routes.backend("main", [one.endpoint for one in replicas], timeouts=SOON, balancing=balancing)
    other = routes.backend("spare", [spare.endpoint], weight=0, timeouts=SOON) if spare else None
    return routes.route([main], other)


def shown(name: str, load: Load) -> list[Row]:
    """How the requests of a load ended, as far as it must not be."""
    none = ((End.LOST, "lost"), (End.SILENT, "cut without an error event"), (End.WRONG, "wrong, or another's"))
    return [
        Row(f"{name}: requests", load.offered, note=f"{load.skipped} not asked" if load.skipped else ""),
        *(Row(f"{name}: {words}", load.ends[end], "", 0) for end, words in none),
        Row(f"{name}: cut with an error event", load.ends[End.TOLD]),
    ]


def statuses(load: Load) -> str:
    """The statuses other than 200 that a load met, for a row's note."""
    return ", ".join(f"{count} x {status}" for status, count in sorted(load.statuses.items()) if status != 200)
