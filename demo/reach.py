"""Finds where the demo's router is reached from this machine. Used by ``demo`` alone."""

import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from demo.progress import StageError

NODE_PORT = 30080


@contextmanager
def reachable(kube: Sequence[str], provider: str) -> Iterator[str]:
    """The base URL of the OpenAI API: the node's port on this machine, else a port-forward while the block runs."""
    if provider != "context":
        yield _waited(f"http://127.0.0.1:{NODE_PORT}")
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    forward = subprocess.Popen(
        [*kube, "-n", "demo", "port-forward", "service/chat-router", f"{port}:80"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield _waited(f"http://127.0.0.1:{port}")
    finally:
        forward.terminate()
        forward.wait()


def _waited(url: str) -> str:
    """A Service answers about a second after its pods are ready."""
    limit = time.monotonic() + 30
    while time.monotonic() < limit:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=2):
                return f"{url}/v1"
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise StageError(f"nothing answers at {url}", "`kubectl -n demo get pods,svc` tells whether the router runs")
