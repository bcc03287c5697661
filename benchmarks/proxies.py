"""The proxies that the benchmarks run: how each is started, on one core, on loopback, and ended.

Called by ``router``, and for our own by every benchmark of it. A further proxy is one more function in ``PROXIES``.
Never measures.
"""

import asyncio
import contextlib
import os
import re
import socket
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks import installed, routes
from benchmarks.installed import MissingError
from benchmarks.upstream import ADDRESSES, body
from modelroute.snapshot.types import Snapshot

PATIENCE = 30
"""Seconds that a proxy may take to answer its first request."""

_GAUGES = re.compile(r"^modelroute_\w*(?:in_flight|waiting|held|retrying)(?:\{[^}]*\})? (\S+)$", re.MULTILINE)


class Proxy(NamedTuple):
    """A running proxy: where it listens, and the process that is it or is above it."""

    name: str
    port: int
    pid: int


def free_port() -> int:
    """A loopback port that nobody uses right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def modelroute(directory: Path, port: int, upstream: int) -> list[str]:
    """This project's router as a router pod runs it, with every feature on (``routes``)."""
    replicas = [f"{address}:{upstream}" for address in ADDRESSES]
    spare = routes.backend("spare", replicas[:1], weight=0)
    routes.write(directory, routes.route([routes.backend("main", replicas)], spare))
    return router_command(directory, port, free_port())


def router_command(directory: Path, port: int, admin: int) -> list[str]:
    """How our router is run by the snapshot in ``directory``."""
    command = [installed.python(), "-m", "modelroute.cli.main", "router"]
    files = [f"--snapshot={directory}/snapshot.json", f"--secrets={directory}/secrets"]
    return [*command, *files, "--host=127.0.0.1", f"--port={port}", f"--admin-port={admin}"]


def nginx(directory: Path, port: int, upstream: int) -> list[str]:
    """Debian's nginx with one worker: keeps connections on both sides, passes each piece on at once, logs nothing."""
    user = "user root;" if os.geteuid() == 0 else ""
    temporary = " ".join(f"{kind}_temp_path {directory};" for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))
    servers = " ".join(f"server {address}:{upstream};" for address in ADDRESSES)
    (directory / "nginx.conf").write_text(f"""
daemon off; {user} worker_processes 1; pid {directory}/nginx.pid; error_log {directory}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; tcp_nodelay on; {temporary} client_body_temp_path {directory};
  keepalive_timeout 300s; keepalive_requests 1000000000;
  upstream model {{ {servers} keepalive 256; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location / {{
      proxy_pass http://model; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
""")
    return [str(installed.nginx()), "-p", str(directory), "-c", str(directory / "nginx.conf"), "-e", "error.log"]


def vllm_router(directory: Path, port: int, upstream: int) -> list[str]:
    """The Rust router of the vLLM project as it comes, by its policy cache_aware; it logs errors only."""
    return [
        *(str(installed.vllm_router()), "--host=127.0.0.1", f"--port={port}"),
        *("--log-level=error", f"--prometheus-port={free_port()}", "--prometheus-host=127.0.0.1"),
        *(f"--log-dir={directory}", "--worker-urls", *(f"http://{address}:{upstream}" for address in ADDRESSES)),
    ]


def vllm_router_rr(directory: Path, port: int, upstream: int) -> list[str]:
    """The same by a cheap policy, which looks at no request: the next replica in turn."""
    return [*vllm_router(directory, port, upstream), "--policy=round_robin"]


PROXIES: dict[str, Callable[[Path, int, int], list[str]]] = {
    "modelroute": modelroute,
    "nginx": nginx,
    "vllm-router": vllm_router,
    "vllm-router-rr": vllm_router_rr,
}
OPTIONAL = frozenset({"vllm-router", "vllm-router-rr"})


@contextlib.asynccontextmanager
async def running(name: str, directory: Path, upstream: int, core: int) -> AsyncIterator[Proxy]:
    """Run a proxy pinned to ``core``, from its first answer on, while the block runs.

    Raises MissingError when it is not here, RuntimeError with its last words when it does not come up.
    """
    port = free_port()
    command = await asyncio.to_thread(_prepared, name, directory, port, upstream)
    async with _process(name, command, directory, core, lambda: _answers(port)) as pid:
        yield Proxy(name, port, pid)


def _prepared(name: str, directory: Path, port: int, upstream: int) -> list[str]:
    directory.mkdir()
    return PROXIES[name](directory, port, upstream)


class Router(NamedTuple):
    """A running router of ours, with its admin port and the directory that holds its snapshot."""

    port: int
    admin: int
    pid: int
    directory: Path

    def gauges(self) -> float:
        """All that its metrics say is in flight, waiting or held, summed."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=10) as page:
            return sum(map(float, _GAUGES.findall(page.read().decode())))

    def status(self) -> bytes:
        """What its admin port says of itself, JSON."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/status", timeout=10) as page:
            return bytes(page.read())


@contextlib.asynccontextmanager
async def ours(directory: Path, snapshot: Snapshot, core: int, keys: int = 1) -> AsyncIterator[Router]:
    """Run our router by ``snapshot``, pinned to ``core``; RuntimeError with its last words when it does not come up."""
    routes.write(directory, snapshot, keys)
    port, admin = free_port(), free_port()
    command = router_command(directory, port, admin)
    async with _process("modelroute", command, directory, core, lambda: _healthy(port)) as pid:
        yield Router(port, admin, pid, directory)


@contextlib.asynccontextmanager
async def _process(
    name: str, command: list[str], directory: Path, core: int, ready: Callable[[], bool]
) -> AsyncIterator[int]:
    log = directory / "output.log"
    process = start(command, log, core)
    try:
        limit = time.monotonic() + PATIENCE
        while not await asyncio.to_thread(ready):
            if process.poll() is not None or time.monotonic() > limit:
                raise RuntimeError(
                    f"{name} did not come up; its last words:\n{log.read_text(errors='replace')[-2000:]}"
                )
            await asyncio.sleep(0.1)
        yield process.pid
    finally:
        end(process)


def start(command: list[str], log: Path, core: int) -> subprocess.Popen[bytes]:
    """Start a process pinned to ``core`` whose output goes to ``log``; whoever starts it ends it."""
    with log.open("wb") as output:
        return subprocess.Popen(
            ["taskset", "-c", str(core), *command],
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            env={"PYTHONPATH": str(installed.ROOT / "operator"), **os.environ},
        )


def end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, a second one, after which our router waits for nobody, and SIGKILL when neither is of use."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(0.2)
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    """Whether a chat request is answered; in a thread, since the upstream runs on this process's event loop."""
    request = urllib.request.Request(  # a literal loopback address
        f"http://127.0.0.1:{port}/v1/chat/completions",
        data=body(stream=False),
        headers={"content-type": "application/json", "authorization": f"Bearer {routes.key()}"},
    )
    return _ok(request)


def _healthy(port: int) -> bool:
    return _ok(urllib.request.Request(f"http://127.0.0.1:{port}/readyz"))


def _ok(request: urllib.request.Request) -> bool:
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


__all__ = [
    "OPTIONAL",
    "PROXIES",
    "MissingError",
    "Proxy",
    "Router",
    "end",
    "free_port",
    "ours",
    "router_command",
    "running",
    "start",
]
