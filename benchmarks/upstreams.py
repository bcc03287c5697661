"""The near side of ``scripted``: starts such processes, tells them how to behave, kills them, reads what came to them.

Called by ``scale``, ``soak``, and ``faults`` with its parts. Never answers a request.
"""

import asyncio
import contextlib
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from benchmarks.proxies import free_port
from benchmarks.scripted import MODES, arrivals

KILLED = "killed"
FAULTS = (*(mode for mode in MODES if mode != "well"), KILLED)
"""All ways to misbehave."""
PATIENCE = 20.0


class Process:
    """One scripted upstream; its core is that of this process."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.port = free_port()
        self.log = directory / f"{name}.arrivals"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it, and wait until it takes connections; RuntimeError when it does not."""
        self.start_soon()
        limit = time.monotonic() + PATIENCE
        while not await asyncio.to_thread(self._takes_connections):
            if time.monotonic() > limit:
                raise RuntimeError(f"the upstream {self.name} does not take connections")
            await asyncio.sleep(0.02)

    def start_soon(self) -> None:
        """Start it and wait for nothing."""
        command = [sys.executable, "-m", "benchmarks.scripted", str(self.port), str(self.log)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE)

    def behave(self, mode: str) -> None:
        """From now on do as ``mode`` says; starts it again where it was killed, KILLED ends it at once."""
        if mode == KILLED:
            self.kill()
            return
        if self._process is None:
            self.start_soon()
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(mode.encode() + b"\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        """SIGKILL; nothing is said to anybody."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    self._process.stdin.close()
            self._process = None

    def arrivals(self) -> list[tuple[int, float]]:
        """The marks that came to it, over all its lives, each with its monotonic second."""
        return arrivals(self.log)

    def _takes_connections(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@contextlib.asynccontextmanager
async def upstreams(directory: Path, *names: str) -> AsyncIterator[list[Process]]:
    """Scripted upstreams of these names, from when all of them take connections."""
    made = [Process(name, directory) for name in names]
    try:
        for one in made:
            await one.start()
        yield made
    finally:
        for one in made:
            one.kill()


def tries(made: list[Process]) -> Counter[int]:
    """How often each mark came to any upstream."""
    return Counter(mark for one in made for mark, _ in one.arrivals())


def doubles(made: list[Process], begun: Mapping[int, float]) -> int:
    """Arrivals of a mark after its client had got its first byte, at the second that ``begun`` says."""
    never = float("inf")
    return sum(at > begun.get(mark, never) for one in made for mark, at in one.arrivals())
