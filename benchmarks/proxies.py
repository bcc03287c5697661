"""The proxies that the router benchmark compares: how each is started, on one core, on loopback, and ended.

Called by ``router``. A further proxy is one more function in ``PROXIES``. Never measures.
"""

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.upstream import body

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "modelroute-bench"
PATIENCE = 30
"""Seconds that a proxy may take to answer its first request."""


class MissingError(Exception):
    """A proxy is not on this machine; the message says how to get it."""


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
    """This project's router, as its users run it without a cluster."""
    manifest = directory / "route.yaml"
    manifest.write_text(
        "apiVersion: modelroute.dev/v1alpha1\nkind: ModelRoute\nmetadata: {name: chat}\nspec:\n  backends:\n"
        f'  - {{name: only, model: upstream-model, external: {{baseURL: "http://127.0.0.1:{upstream}/v1"}}}}\n'
    )
    command = str(Path(sys.executable).parent / "modelroute")
    return [command, "serve", "-f", str(manifest), f"--port={port}", f"--admin-port={free_port()}"]


def nginx(directory: Path, port: int, upstream: int) -> list[str]:
    """Debian's nginx with one worker: keeps connections on both sides, passes each piece on at once, logs nothing."""
    user = "user root;" if os.geteuid() == 0 else ""
    temporary = " ".join(f"{kind}_temp_path {directory};" for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))
    (directory / "nginx.conf").write_text(f"""
daemon off; {user} worker_processes 1; pid {directory}/nginx.pid; error_log {directory}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; tcp_nodelay on; {temporary} client_body_temp_path {directory};
  keepalive_timeout 300s; keepalive_requests 1000000000;
  upstream model {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location / {{
      proxy_pass http://model; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
""")
    return [str(_nginx_binary()), "-p", str(directory), "-c", str(directory / "nginx.conf"), "-e", "error.log"]


def _nginx_binary() -> Path:
    """The nginx of this machine, else Debian's package, unpacked into the cache: nothing is installed or started."""
    found = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if found:
        return Path(found)
    unpacked = CACHE / "nginx"
    binary = unpacked / "usr/sbin/nginx"
    if not binary.exists():
        unpacked.mkdir(parents=True, exist_ok=True)
        try:
            subprocess.run(["apt-get", "download", "-q", "nginx"], cwd=unpacked, check=True, capture_output=True)
            package = next(unpacked.glob("nginx_*.deb"))
            subprocess.run(["dpkg-deb", "-x", str(package), str(unpacked)], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError, StopIteration):
            raise MissingError("nginx is missing; as root run: apt-get update && apt-get install nginx") from None
    if subprocess.run([binary, "-v"], check=False, capture_output=True).returncode:
        raise MissingError(f"{binary} does not run here; as root run: apt-get install nginx")
    return binary


def vllm_router(directory: Path, port: int, upstream: int) -> list[str]:
    """The Rust router of the vLLM project, without what would retry, break circuits or log each request."""
    command = CACHE / "vllm-router/bin/vllm-router"
    if not command.exists():
        home = command.parents[1]
        raise MissingError(f"to compare it: python3 -m venv {home} && {home}/bin/pip install vllm-router")
    return [
        *(str(command), "--host=127.0.0.1", f"--port={port}", "--policy=round_robin", "--log-level=error"),
        *(f"--prometheus-port={free_port()}", "--prometheus-host=127.0.0.1", f"--log-dir={directory}"),
        *("--worker-urls", f"http://127.0.0.1:{upstream}"),
    ]


PROXIES: dict[str, Callable[[Path, int, int], list[str]]] = {
    "modelroute": modelroute,
    "nginx": nginx,
    "vllm-router": vllm_router,
}
OPTIONAL = frozenset({"vllm-router"})


@contextlib.asynccontextmanager
async def running(name: str, directory: Path, upstream: int, core: int) -> AsyncIterator[Proxy]:
    """Run a proxy pinned to ``core``, from its first answer on, while the block runs.

    Raises MissingError when it is not here, RuntimeError with its last words when it does not come up.
    """
    port = free_port()
    process, log = _start(name, directory, port, upstream, core)
    try:
        limit = time.monotonic() + PATIENCE
        while not await asyncio.to_thread(_answers, port):
            if process.poll() is not None or time.monotonic() > limit:
                raise RuntimeError(
                    f"{name} did not come up; its last words:\n{log.read_text(errors='replace')[-2000:]}"
                )
            await asyncio.sleep(0.1)
        yield Proxy(name, port, process.pid)
    finally:
        _end(process)


def _start(name: str, directory: Path, port: int, upstream: int, core: int) -> tuple[subprocess.Popen[bytes], Path]:
    directory.mkdir()
    command = PROXIES[name](directory, port, upstream)
    log = directory / "output.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["taskset", "-c", str(core), *command], stdout=output, stderr=output, stdin=subprocess.DEVNULL
        )
    return process, log


def _end(process: subprocess.Popen[bytes]) -> None:
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
        headers={"content-type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
