"""What the router's benchmarks have in common: two cores, one interrupt, one table, one JSON object as the last line.

Called by ``router``, ``scale``, ``faults`` and ``soak``. Never measures.
"""

import argparse
import asyncio
import contextlib
import json
import os
import resource
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import TypeVar

import uvloop

from benchmarks import machine, verdict
from benchmarks.clients import BadAnswerError
from benchmarks.installed import MissingError

T = TypeVar("T")

_ENOUGH_FILES = 32_768
"""Two descriptors in the router for each of 10,000 streams, and more."""


def parser(name: str, doc: str | None) -> argparse.ArgumentParser:
    """A parser for ``./dev bench NAME``."""
    made = argparse.ArgumentParser(prog=f"./dev bench {name}", description=doc)
    made.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return made


def cores() -> tuple[int, int]:
    """The core of what is measured, and the load's, to which this process is pinned; exits when there is one only."""
    found = sorted(os.sched_getaffinity(0))
    if len(found) < 2:
        sys.exit("error: this needs two cores, one for the proxy and one for the load; here is one")
    os.sched_setaffinity(0, {found[-1]})
    return found[0], found[-1]


def files() -> int:
    """Descriptors that a process may have from now on: all that the machine allows, or what is enough where it may."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    most = max(hard, _ENOUGH_FILES)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    except (ValueError, OSError):  # only root may have more than the hard limit
        most = hard
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return most


def run(work: Callable[[], Coroutine[None, None, T]]) -> T:
    """Run ``work`` to its end; problems that a person can mend, and an interrupt, end the process with one line."""

    async def whole() -> T:
        if this := asyncio.current_task():
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
        return await work()

    try:
        return uvloop.run(whole())
    except (MissingError, RuntimeError, BadAnswerError) as error:
        sys.exit(f"error: {error}")
    except (asyncio.CancelledError, KeyboardInterrupt):
        sys.exit("interrupted; all that was started has ended")


@contextlib.asynccontextmanager
async def directory() -> AsyncIterator[Path]:
    """A directory that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="modelroute-bench-") as made:
        yield Path(made)


async def each(parts: Sequence[Callable[[Path], Coroutine[None, None, list[verdict.Row]]]]) -> list[verdict.Row]:
    """The rows of all parts, one after the other, each in a directory of its own; also told as they come."""
    rows: list[verdict.Row] = []
    async with directory() as made:
        for number, part in enumerate(parts):
            told(f"part {number + 1} of {len(parts)}")
            own = made / str(number)
            await asyncio.to_thread(own.mkdir)
            found = await part(own)
            told(verdict.table(found))
            rows += found
    return rows


def told(text: str) -> None:
    """Say on standard error what is being done."""
    print(text, file=sys.stderr, flush=True)


def show(rows: Sequence[verdict.Row], facts: dict[str, str | int], *, as_json: bool) -> None:
    """Print ``rows`` for people and, if asked, for programs."""
    print(machine.described(facts))
    print(verdict.table(rows))
    if as_json:
        print(json.dumps({"rows": verdict.as_json(rows), "machine": facts}, ensure_ascii=False))
