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


def told(text: str) -> None:
    """Say on standard error what is being done."""
    print(text, file=sys.stderr, flush=True)


def show(rows: Sequence[verdict.Row], facts: dict[str, str | int], *, as_json: bool) -> None:
    """Print ``rows`` for people and, if asked, for programs."""
    print(machine.described(facts))
    print(verdict.table(rows))
    if as_json:
        print(json.dumps({"rows": verdict.as_json(rows), "machine": facts}, ensure_ascii=False))
